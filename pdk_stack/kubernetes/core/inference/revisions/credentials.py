"""Storage credentials of a service, as KServe's webhook passes them to the storage initializer.

Source: ``pkg/credentials`` of KServe v0.13.1. The predictor's service account (or ``default``) lists secrets; an
annotation of the service can name another one. A secret with AWS keys becomes environment variables, with the endpoint
from its annotations or from ``credentials`` in KServe's configuration; one with a Google key file becomes that file;
one for an HTTPS host becomes that host's headers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdk_stack.common.service import write_private
from pdk_stack.kubernetes.core.inference.configuration import credentials
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kinds import SECRETS, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import ObjectStore

ANNOTATION = "serving.kserve.io/"
# An IAM role of the service account (service_account_credentials.go).
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
# The names of keys where the configuration has none (s3_secret.go, gcs_secret.go).
ACCESS_KEY, SECRET_KEY = "awsAccessKeyID", "awsSecretAccessKey"
GOOGLE_KEY_FILE = "gcloud-application-credentials.json"
# Variables by the suffix of their annotation, with their name in the configuration (s3/utils.go).
VARIABLES = {
    "s3-verifyssl": ("s3VerifySSL", "S3_VERIFY_SSL"),
    "s3-useanoncredential": ("s3UseAnonymousCredential", "awsAnonymousCredential"),
    "s3-region": ("s3Region", "AWS_DEFAULT_REGION"),
    "s3-usevirtualbucket": ("s3UseVirtualBucket", "S3_USER_VIRTUAL_BUCKET"),
    "s3-useaccelerate": ("s3UseAccelerate", "S3_USE_ACCELERATE"),
    "s3-cabundle": ("s3CABundle", "AWS_CA_BUNDLE"),
    "s3-cabundle-configmap": ("s3CABundleConfigMap", "AWS_CA_BUNDLE_CONFIGMAP"),
}


def storage_environment(store: ObjectStore, service: Object, folder: Path) -> dict[str, str]:
    """Return the environment variables for fetching a service's model.

    Args:
        store: The cluster's objects.
        service: The InferenceService.
        folder: Folder for key files; deleted with the revision.

    Raises:
        StatusError: The named service account or a secret doesn't exist.
    """
    namespace, config = service["metadata"]["namespace"], credentials(store)
    named = service["spec"]["predictor"].get("serviceAccountName")
    try:
        account = store.get(SERVICE_ACCOUNTS, namespace, named or "default")
    except StatusError:
        if named:
            raise
        return {}
    environment: dict[str, str] = {}
    notes = account["metadata"].get("annotations") or {}
    if ROLE_ANNOTATION in notes:
        environment |= _s3_variables(notes, config.get("s3") or {})
    secrets = [str(each.get("name") or "") for each in account.get("secrets") or []]
    chosen = (service["metadata"].get("annotations") or {}).get(config.get("storageSecretNameAnnotation") or "")
    for name in [chosen] if chosen else secrets:
        environment |= _environment(store.get(SECRETS, namespace, name), config, folder)
    return environment


def _environment(secret: Object, config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the variables for one secret; none when it holds no credentials."""
    data = {key: base64.b64decode(value or "") for key, value in (secret.get("data") or {}).items()}
    s3 = config.get("s3") or {}
    key_file = (config.get("gcs") or {}).get("gcsCredentialFileName") or GOOGLE_KEY_FILE
    if (secret_key := s3.get("s3SecretAccessKeyName") or SECRET_KEY) in data:
        access_key = s3.get("s3AccessKeyIDName") or ACCESS_KEY
        return {
            "AWS_ACCESS_KEY_ID": data.get(access_key, b"").decode(errors="replace"),
            "AWS_SECRET_ACCESS_KEY": data[secret_key].decode(errors="replace"),
            **_s3_variables(secret["metadata"].get("annotations") or {}, s3),
        }
    if key_file in data:
        path = folder / GOOGLE_KEY_FILE
        write_private(path, data[key_file].decode())
        return {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}
    if "https-host" in data and "headers" in data:
        return {f"{data['https-host'].decode()}-headers": data["headers"].decode()}
    return {}


def _s3_variables(notes: Mapping[str, str], config: Mapping[str, str]) -> dict[str, str]:
    """Return S3's variables: from annotations, or else from the configuration."""
    endpoint, use_https = notes.get(f"{ANNOTATION}s3-endpoint"), notes.get(f"{ANNOTATION}s3-usehttps")
    if endpoint is None:
        endpoint = config.get("s3Endpoint") or ""
        # Only "0" is passed on from here.
        use_https = "0" if config.get("s3UseHttps") == "0" else None
    environment = {}
    if endpoint:
        scheme = "http" if use_https == "0" else "https"
        environment = {"S3_ENDPOINT": endpoint, "AWS_ENDPOINT_URL": f"{scheme}://{endpoint}"}
        environment |= {} if use_https is None else {"S3_USE_HTTPS": use_https}
    for suffix, (name, variable) in VARIABLES.items():
        if value := notes.get(f"{ANNOTATION}{suffix}", config.get(name) or ""):
            environment[variable] = value
    return environment
