"""Storage credentials of a service, as KServe's webhook passes them to the storage initializer.

Source: ``pkg/credentials`` of KServe v0.13.1. The predictor's service account (or ``default``) lists secrets. A secret
with AWS keys becomes environment variables, with the endpoint from its annotations; one with a Google key file becomes
that file.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from pdk_stack.common.service import write_private
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kinds import SECRETS, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import ObjectStore

ANNOTATION = "serving.kserve.io/"
# The secret's key for gs:// (pkg/credentials/gcs/gcs_secret.go).
GOOGLE_KEY_FILE = "gcloud-application-credentials.json"


def storage_environment(store: ObjectStore, namespace: str, predictor: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the environment variables for fetching a predictor's model.

    Args:
        store: The cluster's objects.
        namespace: The service's namespace.
        predictor: ``spec.predictor``.
        folder: Folder for key files; deleted with the revision.

    Raises:
        StatusError: The named service account doesn't exist.
    """
    account = predictor.get("serviceAccountName") or "default"
    try:
        found = store.get(SERVICE_ACCOUNTS, namespace, account)
    except StatusError:
        if predictor.get("serviceAccountName"):
            raise
        return {}
    environment: dict[str, str] = {}
    for reference in found.get("secrets") or []:
        try:
            secret = store.get(SECRETS, namespace, reference.get("name", ""))
        except StatusError:
            # KServe also skips missing secrets.
            continue
        data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
        environment |= _s3_environment(data, secret["metadata"].get("annotations") or {})
        if GOOGLE_KEY_FILE in data:
            path = folder / GOOGLE_KEY_FILE
            write_private(path, data[GOOGLE_KEY_FILE].decode())
            environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(path)
    return environment


def _s3_environment(given: dict[str, bytes], notes: dict[str, str]) -> dict[str, str]:
    data = {key: value.decode(errors="replace") for key, value in given.items()}
    if "AWS_SECRET_ACCESS_KEY" not in data and "awsSecretAccessKey" not in data:
        return {}
    environment = {
        "AWS_ACCESS_KEY_ID": data.get("AWS_ACCESS_KEY_ID", data.get("awsAccessKeyID", "")),
        "AWS_SECRET_ACCESS_KEY": data.get("AWS_SECRET_ACCESS_KEY", data.get("awsSecretAccessKey", "")),
    }
    endpoint = notes.get(f"{ANNOTATION}s3-endpoint", "")
    if endpoint:
        scheme = "http" if notes.get(f"{ANNOTATION}s3-usehttps") == "0" else "https"
        environment |= {"S3_ENDPOINT": endpoint, "AWS_ENDPOINT_URL": f"{scheme}://{endpoint}"}
        environment["S3_USE_HTTPS"] = "0" if scheme == "http" else "1"
    if f"{ANNOTATION}s3-region" in notes:
        environment["AWS_DEFAULT_REGION"] = environment["S3_REGION"] = notes[f"{ANNOTATION}s3-region"]
    if notes.get(f"{ANNOTATION}s3-verifyssl") == "0":
        environment["S3_VERIFY_SSL"] = "0"
    return environment
