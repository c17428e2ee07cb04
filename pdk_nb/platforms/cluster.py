"""A connection to the Kubernetes API for the lab's own objects, with errors in plain words."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdk_nb.configure import manifests
from pdk_nb.settings import Settings, api_client
from pdk_shared.errors import DeploymentError, ServiceUnreachable

__all__ = ["REQUEST_TIMEOUT_S", "Cluster", "api_errors", "connect", "covers", "ensure_service_account", "resolve"]

# Connect, then read.
REQUEST_TIMEOUT_S = (5.0, 30.0)


@dataclass(frozen=True)
class Cluster:
    """A connection to one namespace's InferenceServices."""

    custom: Any
    core: Any
    namespace: str
    server: str
    ingress: str = ""


Where = Settings | Cluster


def connect(settings: Settings | None = None, *, kubeconfig: str | Path | None = None, namespace: str = "") -> Cluster:
    """Connect to the cluster that serves models.

    Args:
        settings: The lab's settings; inside a pipeline there are none.
        kubeconfig: A kubeconfig; ``KUBECONFIG`` or the pod's service account when empty.
        namespace: Namespace of the services.

    Raises:
        SettingsError: There is no usable kubeconfig.
    """
    import kubernetes

    client = api_client(settings.kubeconfig if settings else kubeconfig)
    return Cluster(
        custom=kubernetes.client.CustomObjectsApi(client),
        core=kubernetes.client.CoreV1Api(client),
        namespace=namespace or (settings.kserve_model_namespace if settings else "models"),
        server=client.configuration.host,
        ingress=settings.ingress if settings else "",
    )


@functools.lru_cache(maxsize=8)
def _connected(kubeconfig: str | None, namespace: str, ingress: str) -> Cluster:
    return replace(connect(kubeconfig=kubeconfig, namespace=namespace), ingress=ingress)


def resolve(where: Where) -> Cluster:
    if isinstance(where, Cluster):
        return where
    return _connected(where.kubeconfig, where.kserve_model_namespace, where.ingress)


@contextmanager
def api_errors(cluster: Cluster, what: str) -> Iterator[None]:
    """Errors of the Kubernetes client in plain words; 404 and 409 are the caller's."""
    import kubernetes
    import urllib3

    try:
        yield
    except kubernetes.client.ApiException as error:
        if error.status in (404, 409):
            raise
        try:
            message = str(json.loads(error.body or "{}").get("message", ""))
        except (ValueError, AttributeError):
            message = ""
        message = message or f"{error.status} {error.reason}"
        if error.status in (401, 403):
            raise ServiceUnreachable(
                f"The cluster does not allow it: {message}",
                where=what,
                fix=f"kubectl -n {cluster.namespace} auth can-i --list  shows what this user may do.",
            ) from error
        if error.status in (400, 422):
            raise DeploymentError(f"The cluster refuses the object: {message}", where=what) from error
        raise ServiceUnreachable(
            f"The Kubernetes API failed: {message}", where=f"{what} at {cluster.server}"
        ) from error
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise ServiceUnreachable(f"The Kubernetes API does not answer: {reason}", where=cluster.server) from error


def covers(have: Any, want: Any) -> bool:
    """Whether a merge patch would change nothing."""
    if isinstance(want, dict):
        if not isinstance(have, dict):
            return False
        return all(key not in have if value is None else covers(have.get(key), value) for key, value in want.items())
    return bool(have == want)


def ensure_service_account(where: Settings) -> bool:
    """The predictor's service account for models behind Pachyderm's S3 gateway or in MinIO, with its secret.

    Args:
        where: The lab's settings: namespace, place of the models, keys.

    Returns:
        Whether anything was created or changed; a bucket of a cloud needs no account.
    """
    cluster = resolve(where)
    changed = False
    for each in manifests.predictors_account(where):
        if "stringData" in each:
            # Compared with what is there, so in the form that the API gives back.
            given = each.pop("stringData").items()
            each["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in given}
        kind = {"Secret": "secret", "ServiceAccount": "service_account"}[each["kind"]]
        changed = _ensure(cluster, kind, each) or changed
    return changed


def _ensure(cluster: Cluster, kind: str, body: dict[str, Any]) -> bool:
    """Create a core object, or bring the given fields of an existing one up to date."""
    import kubernetes

    name, what = body["metadata"]["name"], f"{kind.replace('_', ' ')} {cluster.namespace}/{body['metadata']['name']}"
    options = {"_request_timeout": REQUEST_TIMEOUT_S}
    with api_errors(cluster, what):
        try:
            found = getattr(cluster.core, f"read_namespaced_{kind}")(name, cluster.namespace, **options)
        except kubernetes.client.ApiException as error:
            if error.status != 404:
                raise
            getattr(cluster.core, f"create_namespaced_{kind}")(cluster.namespace, body, **options)
            return True
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
