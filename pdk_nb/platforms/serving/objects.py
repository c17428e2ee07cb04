"""InferenceService objects through the Kubernetes API: read, patch with care, try again after a conflict."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, Conflict, Object, Where, api_errors, covers, resolve
from pdk_nb.platforms.serving.status import read_status
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import DeploymentError, NotFound

__all__ = [
    "GROUP",
    "PLURAL",
    "VERSION",
    "Applied",
    "Patch",
    "change",
    "create",
    "find",
    "need",
    "patch",
    "refusal",
    "retry_on_conflict",
    "where_text",
]

GROUP, VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
CONFLICT_TIMEOUT_S = 4.0
# Metadata and spec to merge into an object.
Patch = tuple[dict[str, Any], dict[str, Any]]
# Changing these alone makes no new revision.
SHARE_FIELDS = {"canaryTrafficPercent"}


@dataclass(frozen=True)
class Applied:
    """What a change of a service did.

    Attributes:
        name: The service.
        action: ``created``, ``updated`` or ``unchanged``.
        previous_revision: Latest revision before, to be handed to ``wait_ready``; empty when no new one is made.
    """

    name: str
    action: str
    previous_revision: str = ""


def where_text(cluster: Cluster, name: str) -> str:
    """A service, as errors name it."""
    return f"InferenceService {cluster.namespace}/{name}"


def find(cluster: Cluster, name: str) -> Object | None:
    """The object; None only when the API says 404."""
    with contextlib.suppress(NotFound), api_errors(cluster, where_text(cluster, name)):
        found: Object = cluster.custom.get_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL, name, _request_timeout=REQUEST_TIMEOUT_S
        )
        return found
    return None


def need(cluster: Cluster, name: str) -> Object:
    """The object.

    Raises:
        DeploymentError: There is none.
    """
    found = find(cluster, name)
    if found is None:
        raise DeploymentError(
            "There is no such InferenceService.",
            where=f"{cluster.namespace}/{name}",
            fix=f"kubectl -n {cluster.namespace} get inferenceservices  lists those that there are; "
            "the deploy pipeline's job makes it.",
        )
    return found


def create(cluster: Cluster, body: Object) -> Applied:
    """Create a service."""
    name = body["metadata"]["name"]
    with api_errors(cluster, where_text(cluster, name)):
        cluster.custom.create_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL, body, _request_timeout=REQUEST_TIMEOUT_S
        )
    return Applied(name, "created")


def refusal(where: Where, body: Object) -> str:
    """Why the cluster would refuse to create a service; empty when it wouldn't. A dry run creates nothing.

    Args:
        where: Settings or connection.
        body: The InferenceService.

    Raises:
        ServiceUnreachable: The cluster doesn't respond, or doesn't allow the question.
    """
    cluster = resolve(where)
    try:
        with api_errors(cluster, where_text(cluster, body["metadata"]["name"])):
            cluster.custom.create_namespaced_custom_object(
                GROUP, VERSION, cluster.namespace, PLURAL, body, dry_run="All", _request_timeout=REQUEST_TIMEOUT_S
            )
    except Conflict:
        return ""  # only an object that would be accepted can meet another of its name
    except (DeploymentError, NotFound) as error:
        return error.what
    return ""


def patch(cluster: Cluster, current: Object, metadata: dict[str, Any], spec: dict[str, Any]) -> Applied:
    """Merge fields into a service, unless it was changed since it was read."""
    name = current["metadata"]["name"]
    if covers(current, {"metadata": metadata, "spec": spec}):
        return Applied(name, "unchanged")
    body = {"metadata": {**metadata, "resourceVersion": current["metadata"]["resourceVersion"]}, "spec": spec}
    with api_errors(cluster, where_text(cluster, name)):
        cluster.custom.patch_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL, name, body, _request_timeout=REQUEST_TIMEOUT_S
        )
    only_shares = not metadata and set(spec["predictor"]) <= SHARE_FIELDS
    return Applied(name, "updated", "" if only_shares else read_status(current).latest_created)


def retry_on_conflict(cluster: Cluster, name: str, step: Callable[[], Applied]) -> Applied:
    """Make a change, and retry while others change the service at the same time.

    Raises:
        DeploymentError: Others keep changing the service.
    """

    def attempt() -> Applied | None:
        with contextlib.suppress(Conflict, NotFound):
            return step()
        return None

    applied = wait(
        attempt,
        lambda applied: applied is not None,
        timeout=CONFLICT_TIMEOUT_S,
        reason=lambda _: DeploymentError("Others keep changing the InferenceService.", where=where_text(cluster, name)),
    )
    assert applied is not None
    return applied


def change(where: Where, name: str, make: Callable[[Object], Patch]) -> Applied:
    """Patch an existing service.

    Args:
        where: Settings or connection.
        name: The service.
        make: Gives metadata and spec to merge for the object as it is now.

    Raises:
        DeploymentError: There is no such service, or others keep changing it.
    """
    cluster = resolve(where)

    def step() -> Applied:
        current = need(cluster, name)
        return patch(cluster, current, *make(current))

    return retry_on_conflict(cluster, name, step)
