"""A connection to the Kubernetes API for the lab's own objects, and its client's errors as errors of the lab."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdk_nb.settings import Settings, api_client
from pdk_shared.errors import DeploymentError, NoAnswer, NotFound, ServiceUnreachable

__all__ = ["REQUEST_TIMEOUT_S", "Cluster", "Conflict", "Object", "Where", "api_errors", "connect", "covers", "resolve"]

# A Kubernetes object as it stands in a manifest: the client's own classes refuse fields that they do not know.
Object = dict[str, Any]
# Connect, then read.
REQUEST_TIMEOUT_S = (5.0, 30.0)


class Conflict(DeploymentError):
    """An object exists already, or was changed since it was read."""


@dataclass(frozen=True)
class Cluster:
    """A connection to one namespace's InferenceServices.

    Attributes:
        custom: A ``CustomObjectsApi``.
        core: A ``CoreV1Api``.
        namespace: Namespace of the InferenceServices.
        server: URL of the Kubernetes API.
        ingress: ``host:port`` that predictions go to; empty when unknown.
    """

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
    """The connection that settings stand for; one is kept for each kubeconfig and namespace."""
    if isinstance(where, Cluster):
        return where
    return _connected(where.kubeconfig, where.kserve_model_namespace, where.ingress)


@contextmanager
def api_errors(cluster: Cluster, what: str) -> Iterator[None]:
    """Raise an error of the lab in place of one of the client.

    Args:
        cluster: The connection.
        what: The object that is asked for.

    Raises:
        NotFound: There is no such object.
        Conflict: The object exists already, or was changed since it was read.
        DeploymentError: The cluster refuses the object.
        ServiceUnreachable: The cluster does not answer, or does not allow it.
    """
    import kubernetes
    import urllib3

    try:
        yield
    except kubernetes.client.ApiException as error:
        try:
            message = str(json.loads(error.body or "{}").get("message", ""))
        except (ValueError, AttributeError):
            message = ""
        message = message or f"{error.status} {error.reason}"
        if error.status == 404:
            raise NotFound(f"The cluster has no such object: {message}", where=what) from error
        if error.status == 409:
            raise Conflict(f"The object was changed meanwhile: {message}", where=what) from error
        if error.status in (401, 403):
            raise ServiceUnreachable(
                f"The cluster doesn't allow it: {message}",
                where=what,
                fix=f"kubectl -n {cluster.namespace} auth can-i --list  shows what this user may do. An administrator "
                "gives the pipelines' account its rights: pdk-nb config init --apply  (docs/cluster/worker-rbac.yaml).",
            ) from error
        if error.status in (400, 422):
            raise DeploymentError(f"The cluster refuses the object: {message}", where=what) from error
        raise ServiceUnreachable(
            f"The Kubernetes API failed: {message}", where=f"{what} at {cluster.server}"
        ) from error
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise NoAnswer(f"The Kubernetes API doesn't answer: {reason}", where=cluster.server) from error


def covers(have: Any, want: Any) -> bool:
    """Whether a merge patch would change nothing."""
    if isinstance(want, dict):
        if not isinstance(have, dict):
            return False
        return all(key not in have if value is None else covers(have.get(key), value) for key, value in want.items())
    return bool(have == want)
