"""Why a service doesn't become ready, as early as its pods and events tell it, and what to do about it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, Object, api_errors
from pdk_nb.platforms.serving.installation import FEATURES, REFUSED_FIELDS, features_fix
from pdk_nb.platforms.serving.pods import BAD_NAME, CANNOT_PULL, Pod, Trouble, holders, pods_of
from pdk_nb.platforms.serving.status import TERMINAL, ServiceStatus, is_terminal
from pdk_shared.errors import PdkError

__all__ = ["Failure", "Tries", "failure_of", "fixes", "reasons_of"]

INITIALIZER = "storage-initializer"
EVENT_LIMIT = 5
# How long a failure has to hold before it ends a wait. Right after a change, a failed state can be that of the revision
# before; a registry can be busy for a moment.
SETTLE_S, PULL_HOLD_S = 3.0, 12.0
# Knative calls a revision failed for some seconds after its service was deleted and made again: the objects of the old
# one still have the names.
REVISION_HOLD_S = 20.0
# A container may fail once while what it needs appears: the model of a job that is about to end, for example.
TRIES = 2
HOLDERS_SHOWN = 3
CANNOT_START = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True)
class Failure:
    """What keeps a service from becoming ready.

    Attributes:
        kind: ``model``, ``crash``, ``image``, ``room``, ``fields``, ``status`` or ``starting``.
        text: One line for people.
        hold_s: Seconds for which it has to hold to end a wait; None while it can still pass by itself.
        pod: The pod that shows it; empty when none does.
    """

    kind: str
    text: str
    hold_s: float | None = None
    pod: str = ""


@dataclass
class Tries:
    """How often each container had failed when it was seen first, as only later failures count; and refused images.

    Attributes:
        before: Failures at the first look, by pod and container.
        refusals: What a registry said, by pod and container.
        looked: Whether there was a first look.
    """

    before: dict[tuple[str, str], int] = field(default_factory=dict)
    refusals: dict[tuple[str, str], str] = field(default_factory=dict)
    looked: bool = False

    def see(self, pods: Iterable[Pod]) -> None:
        """Note what has failed before the first look; a pod that appears later starts at zero."""
        for each in (each for pod in pods for each in pod.troubles):
            if not self.looked:
                self.before[each.pod, each.container] = each.failures
            if each.reason == "ErrImagePull":
                self.refusals[each.pod, each.container] = each.message
        self.looked = True

    def words(self, trouble: Trouble) -> str:
        """One line about a trouble; a back-off is told with what the registry said before it."""
        refusal = self.refusals.get((trouble.pod, trouble.container), "")
        return str(replace(trouble, message=refusal) if refusal and trouble.reason in CANNOT_PULL else trouble)

    def since(self, trouble: Trouble) -> int:
        """Failures of a container since the first look."""
        return trouble.failures - self.before.get((trouble.pod, trouble.container), 0)


def failure_of(cluster: Cluster, service: Object, status: ServiceStatus, tries: Tries) -> Failure | None:
    """What keeps a service from becoming ready; None while it just starts.

    Args:
        cluster: The connection.
        service: The InferenceService.
        status: Its status with its pods.
        tries: What had failed before the wait began.
    """
    if status.transition == "InvalidSpec":
        return Failure("status", next(iter(status.reasons), "KServe can't use its spec"), SETTLE_S)
    fresh = status.newest_pods
    found = [_of_trouble(each, tries, status) for pod in fresh for each in pod.troubles]
    for kind in ("image", "model", "crash", "starting"):
        chosen = next((each for each in found if each.kind == kind), None)
        if chosen is not None:
            return chosen
    waiting = next((pod for pod in fresh if pod.unschedulable), None)
    if waiting is not None:
        return Failure("room", _no_room(cluster, status.name, waiting), pod=waiting.name)
    if is_terminal(status) and not fresh:
        hold_s = SETTLE_S if status.transition in TERMINAL else REVISION_HOLD_S
        return Failure("status", next(iter(status.reasons), "its revision failed"), hold_s)
    if not fresh:
        return _refused(cluster, service, status.name)
    # Containers run or start: a status that speaks of a failure is one of an earlier try.
    return None


def _no_room(cluster: Cluster, name: str, waiting: Pod) -> str:
    text = f"pod {waiting.name} has no node: {waiting.unschedulable}"
    with contextlib.suppress(PdkError):
        held = holders(pods_of(cluster), name)
        return "; ".join([text, *held[:HOLDERS_SHOWN]])
    return text


def _of_trouble(trouble: Trouble, tries: Tries, status: ServiceStatus) -> Failure:
    text = tries.words(trouble)
    if trouble.reason in CANNOT_PULL:
        return Failure("image", text, SETTLE_S if trouble.reason in BAD_NAME else PULL_HOLD_S, trouble.pod)
    kind = "model" if trouble.container == INITIALIZER else "crash"
    if trouble.reason in CANNOT_START:
        return Failure("starting", text, PULL_HOLD_S, trouble.pod)
    if tries.since(trouble) >= TRIES:
        return Failure(kind, text, 0.0, trouble.pod)
    # KServe has given up, and this isn't a model that may still appear.
    blocked = is_terminal(status) and (kind == "crash" or not trouble.failures)
    return Failure(kind, text, SETTLE_S if blocked else None, trouble.pod)


def _refused(cluster: Cluster, service: Object, name: str) -> Failure | None:
    """An event that says that Knative refuses the service: nothing but this event tells it.

    Events stay for an hour: only those of the last change count.
    """
    changed = max(
        (
            str(each.get("time") or "")
            for each in service["metadata"].get("managedFields") or []
            if each.get("subresource") != "status"
        ),
        default="",
    )
    for event in _events(cluster, name):
        message = str(event.get("message") or "")
        if REFUSED_FIELDS in message and str(event.get("lastTimestamp") or changed) >= changed:
            return Failure("fields", f"Knative refuses the service: {message}", SETTLE_S)
    return None


def _events(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    """A service's warnings; none where they can't be read."""
    with contextlib.suppress(PdkError), api_errors(cluster, f"events in {cluster.namespace}"):
        found = cluster.core.list_namespaced_event(
            cluster.namespace,
            field_selector=f"involvedObject.name={name},type=Warning",
            _preload_content=False,
            _request_timeout=REQUEST_TIMEOUT_S,
        )
        return list(json.loads(found.data).get("items", []))
    return []


def reasons_of(cluster: Cluster, status: ServiceStatus, failure: Failure | None) -> list[str]:
    """All reasons for a service that isn't ready; what can't be read is left out.

    Args:
        cluster: The connection.
        status: Its status.
        failure: What was found already.
    """
    found = [failure.text] if failure else []
    found += status.reasons
    pods: Iterable[Pod] = status.pods or ()
    if status.pods is None:
        with contextlib.suppress(PdkError):
            pods = pods_of(cluster, status.name)
    found += [str(each) for pod in pods if pod.ends is None for each in pod.troubles]
    events: list[Mapping[str, Any]] = list(_events(cluster, status.name))
    found += [f"event {each.get('reason', '')}: {each.get('message', '')}" for each in events[-EVENT_LIMIT:]]
    return found


def fixes(cluster: Cluster, name: str, failure: Failure | None) -> str:
    """What to do about it.

    Args:
        cluster: The connection.
        name: The service.
        failure: What keeps it from becoming ready.
    """
    kind, kubectl = failure.kind if failure else "", f"kubectl -n {cluster.namespace}"
    pod = failure.pod if failure else ""
    if kind == "image":
        return f"Check the image's name, and that the nodes can pull it: {kubectl} describe pod {pod}"
    if kind == "model":
        return (
            f"Check the model's address and the account that reads it: pdk-nb doctor --only storage; "
            f"{kubectl} logs {pod} -c {INITIALIZER} --previous"
        )
    if kind == "crash":
        return f"{kubectl} logs {pod} -c kserve-container --previous"
    if kind == "room":
        return (
            "Wait until the pods that end are gone, delete a service, or let predictors ask for less: "
            "pdk-nb config init --apply --set predictor_requests=cpu=500m,memory=1Gi, then pdk-nb run --only 01"
        )
    if kind == "fields" and failure is not None:
        return features_fix([each for each in FEATURES if each in failure.text])
    return (
        f"{kubectl} describe inferenceservice {name}; "
        f"{kubectl} logs -l serving.kserve.io/inferenceservice={name} -c kserve-container"
    )
