"""KServe's configuration: the ConfigMap ``inferenceservice-config`` in the namespace ``kserve``.

Read for each use, as KServe does, so that a change takes effect at once. Sources: ``pkg/credentials`` and
``pkg/apis/serving/v1beta1/configmap.go`` of KServe v0.13.1; the defaults are those of
``config/configmap/inferenceservice.yaml``.
"""

from __future__ import annotations

import json
from typing import Any

from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS
from pdk_stack.kubernetes.store.objects import ObjectStore

__all__ = ["CONFIG_MAP", "NAMESPACE", "credentials", "default_mode"]

NAMESPACE, CONFIG_MAP = "kserve", "inferenceservice-config"
SHIPPED: dict[str, Any] = {
    "storageSecretNameAnnotation": "serving.kserve.io/storageSecretName",
    "gcs": {"gcsCredentialFileName": "gcloud-application-credentials.json"},
    "s3": {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID", "s3SecretAccessKeyName": "AWS_SECRET_ACCESS_KEY"},
}


def _section(store: ObjectStore, name: str, default: dict[str, Any]) -> dict[str, Any]:
    """Return a section of the ConfigMap; the default where it is absent.

    Raises:
        StatusError: It is not JSON (500, as KServe's webhooks panic).
    """
    try:
        text = (store.get(CONFIG_MAPS, NAMESPACE, CONFIG_MAP).get("data") or {}).get(name)
    except StatusError:
        return default
    if text is None:
        return default
    try:
        found = json.loads(text)
    except ValueError as error:
        why = f"{name} in ConfigMap {NAMESPACE}/{CONFIG_MAP} is not JSON: {error}"
        raise StatusError(500, "InternalError", f"Internal error occurred: {why}") from error
    return found if isinstance(found, dict) else default


def default_mode(store: ObjectStore) -> str:
    """Return the deployment mode of services that name none, where it is not the serverless one; empty otherwise."""
    mode = str(_section(store, "deploy", {}).get("defaultDeploymentMode", ""))
    return mode if mode in ("RawDeployment", "ModelMesh") else ""


def credentials(store: ObjectStore) -> dict[str, Any]:
    """Return which keys of secrets hold storage credentials, and the defaults for S3."""
    return _section(store, "credentials", SHIPPED)
