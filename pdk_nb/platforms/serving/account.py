"""The account that predictors read their model as, with its secret."""

from __future__ import annotations

import base64
import contextlib
import re
from typing import Any

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, Object, api_errors, covers, resolve
from pdk_nb.platforms.creating import create_or_accept
from pdk_nb.settings import Settings
from pdk_shared.errors import NotFound

__all__ = [
    "PREDICTOR_ACCOUNT",
    "PREDICTOR_SECRET",
    "UNCHECKED_KEY",
    "ensure_service_account",
    "predictor_account",
    "predictor_account_for",
]

PREDICTOR_ACCOUNT, PREDICTOR_SECRET = "pach-deploy", "pach-kserve-creds"
# boto3 signs requests even where the server does not check them, and needs a key to sign with.
UNCHECKED_KEY = "pachyderm-without-auth"


def predictor_account(endpoint: str, namespace: str = "models", key: str = "", secret_key: str = "") -> list[Object]:
    """Service account and secret with which KServe reads models through Pachyderm's S3 gateway, or from MinIO.

    KServe takes the endpoint from the secret's annotations (``pkg/credentials/s3`` of KServe 0.13) and the keys from
    its data. With authentication on, both keys of the gateway are a Pachyderm token; without, they only have to be
    there.

    Args:
        endpoint: ``host:port`` or URL of the gateway or of MinIO, as pods reach it.
        namespace: Namespace of the InferenceServices.
        key: Access key id, or Pachyderm token; empty without authentication.
        secret_key: Secret access key; the same as the key when empty.
    """
    notes = {
        "serving.kserve.io/s3-endpoint": re.sub(r"^https?://", "", endpoint).rstrip("/"),
        "serving.kserve.io/s3-usehttps": "1" if endpoint.startswith("https://") else "0",
        "serving.kserve.io/s3-region": "us-east-1",
        "serving.kserve.io/s3-useanoncredential": "false",
    }
    key = key or UNCHECKED_KEY
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PREDICTOR_SECRET, "namespace": namespace, "annotations": notes},
        "type": "Opaque",
        "stringData": {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret_key or key},
    }
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": PREDICTOR_ACCOUNT, "namespace": namespace},
        "secrets": [{"name": PREDICTOR_SECRET}],
    }
    return [secret, account]


def predictor_account_for(settings: Settings) -> list[Object]:
    """The account that predictors read their model as, with its secret.

    None in a cloud, whose bucket lets the namespace's default account in; the account alone where MinIO's keys are not
    known, so that a secret which somebody made stays as it is.

    Args:
        settings: The lab's settings: where models are, and the keys for it.
    """
    namespace = settings.kserve_model_namespace
    if not settings.kserve_model_bucket_name:
        return predictor_account(settings.mldm_s3_endpoint, namespace, settings.pac_token.reveal())
    if not settings.models_in_minio:
        return []
    keys = (settings.minio_access_key.reveal(), settings.minio_secret_key.reveal())
    secret, account = predictor_account(settings.minio_url, namespace, *keys)
    return [secret, account] if all(keys) else [account]


def ensure_service_account(where: Settings) -> bool:
    """The predictor's service account for models behind Pachyderm's S3 gateway or in MinIO, with its secret.

    Args:
        where: The lab's settings: namespace, place of the models, keys.

    Returns:
        Whether anything was created or changed; a bucket of a cloud needs no account.
    """
    cluster = resolve(where)
    changed = False
    for each in predictor_account_for(where):
        if "stringData" in each:
            # Compared with what is there, so in the form that the API gives back.
            given = each.pop("stringData").items()
            each["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in given}
        kind = {"Secret": "secret", "ServiceAccount": "service_account"}[each["kind"]]
        changed = _ensure(cluster, kind, each) or changed
    return changed


def _ensure(cluster: Cluster, kind: str, body: Object) -> bool:
    """Create a core object, or bring the given fields of an existing one up to date."""
    name, what = body["metadata"]["name"], f"{kind.replace('_', ' ')} {cluster.namespace}/{body['metadata']['name']}"
    options = {"_request_timeout": REQUEST_TIMEOUT_S}

    def find() -> Any:
        with contextlib.suppress(NotFound), api_errors(cluster, what):
            return getattr(cluster.core, f"read_namespaced_{kind}")(name, cluster.namespace, **options)
        return None

    @api_errors(cluster, what)
    def create() -> Any:
        return getattr(cluster.core, f"create_namespaced_{kind}")(cluster.namespace, body, **options)

    found, created = create_or_accept(find, create)
    if created:
        return True
    with api_errors(cluster, what):
        have = cluster.core.api_client.sanitize_for_serialization(found)
        wanted = dict(body)
        if "secrets" in wanted:
            # Other secrets of the account stay.
            listed = have.get("secrets") or []
            wanted["secrets"] = listed + [each for each in wanted["secrets"] if each not in listed]
        if covers(have, wanted):
            return False
        getattr(cluster.core, f"patch_namespaced_{kind}")(name, cluster.namespace, wanted, **options)
        return True
