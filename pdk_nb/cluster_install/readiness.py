"""Waiting for workloads, and why one isn't ready: what its pods say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pdk_nb.cluster_install.objects import Api
from pdk_nb.cluster_install.tools import InstallError
from pdk_nb.platforms.cluster import Object
from pdk_nb.platforms.waiting import changes, wait

__all__ = ["Workload", "not_ready", "wait_ready"]

# Images are pulled in this time, over a slow line too.
TIMEOUT_S = 1200.0
LOOK_S = 2.0
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
STUCK = frozenset({"InvalidImageName", "ErrImageNeverPull"})
PULLING = ("ErrImagePull", "ImagePullBackOff")
LINE = 160


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet, or DaemonSet that has to become ready."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @classmethod
    def of(cls, thing: Object) -> Workload:
        """The workload that an object is."""
        return cls(thing["kind"], thing["metadata"].get("namespace", "default"), thing["metadata"]["name"])


def _is_ready(thing: Object) -> bool:
    """Whether all pods of the newest version are ready, by the rules of ``kubectl rollout status``."""
    spec, status = thing.get("spec") or {}, thing.get("status") or {}
    if status.get("observedGeneration", 0) < thing["metadata"].get("generation", 0):
        return False
    if thing["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(status.get("updatedNumberScheduled", 0) >= wanted <= status.get("numberReady", 0))
    wanted = spec.get("replicas", 1)
    ready = status.get("readyReplicas" if thing["kind"] == "StatefulSet" else "availableReplicas") or 0
    updated = status.get("updatedReplicas") or 0
    # A StatefulSet says no updatedReplicas once all of them are current.
    if thing["kind"] == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
        updated = max(updated, wanted)
    return bool(updated >= wanted <= ready)


def not_ready(api: Api, workloads: Iterable[Workload]) -> list[Workload]:
    """The workloads that aren't ready, or don't exist."""
    found = []
    for each in workloads:
        thing = api.get("apps/v1", each.kind, each.namespace, each.name)
        if thing is None or not _is_ready({**thing, "kind": each.kind}):
            found.append(each)
    return found


def wait_ready(
    api: Api,
    workloads: Iterable[Workload],
    *,
    timeout: float = TIMEOUT_S,
    progress: Callable[[str], None] = lambda line: None,
) -> None:
    """Wait until all workloads are ready.

    Args:
        api: The cluster.
        workloads: What to wait for.
        timeout: Seconds until the wait fails.
        progress: Called with what is missing, each time that it changes.

    Raises:
        InstallError: Time is up, or an image can never be pulled; with what the pods say.
    """
    wanted = list(workloads)
    told: set[str] = set()

    def done(left: list[Workload]) -> bool:
        said = [line for each in left for line in pods_say(api, each)]
        for line in said:
            # Once each: a pod that can't pull its image says it in turn in two words.
            short = line.partition(": ")[0] if any(word in line for word in PULLING) else line[:LINE]
            if short not in told:
                told.add(short)
                progress(line[:LINE])
        if any(f": {word}" in line for line in said for word in STUCK):
            raise _failure(api, left, "can't become ready")
        return not left

    def show(left: tuple[str, ...]) -> None:
        if left:
            progress(f"waiting for {', '.join(left)}")

    report = changes(show)
    wait(
        lambda: not_ready(api, wanted),
        done,
        timeout=timeout,
        interval=LOOK_S,
        progress=lambda left: report(tuple(each.name for each in left)),
        reason=lambda left: _failure(api, left, f"isn't ready after {timeout:.0f} s"),
    )


def _failure(api: Api, left: list[Workload], what: str) -> InstallError:
    first = left[0]
    said = [line for each in left for line in pods_say(api, each)]
    return InstallError(
        "\n  ".join([f"{first} {what}.", *said]),
        where=str(first),
        fix=f"kubectl -n {first.namespace} describe pods, and the pods' logs; then run the command again: what is "
        "installed stays.",
    )


def pods_say(api: Api, workload: Workload) -> list[str]:
    """Why the pods of a workload aren't ready, one line each; empty when they don't say."""
    thing = api.get("apps/v1", workload.kind, workload.namespace, workload.name)
    labels = ((thing or {}).get("spec", {}).get("selector") or {}).get("matchLabels") or {}
    if not labels:
        return ["it doesn't exist"] if thing is None else []
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    lines = []
    for pod in api.list("v1", "Pod", workload.namespace, labelSelector=selector):
        name, status = pod["metadata"]["name"], pod.get("status") or {}
        for each in status.get("conditions") or []:
            if each.get("type") == "PodScheduled" and each.get("status") == "False":
                lines.append(f"pod {name} has no node: {each.get('message', '')}")
        for each in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
            state = (each.get("state") or {}).get("waiting") or {}
            if state.get("reason") and state["reason"] not in ("ContainerCreating", "PodInitializing"):
                last = ((each.get("lastState") or {}).get("terminated") or {}).get("message", "")
                text = state.get("message") or last
                lines.append(f"pod {name}, {each['name']}: {state['reason']}: {text}".strip().rstrip(":"))
    return lines
