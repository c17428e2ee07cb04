"""The predictor's pods: which version each serves, and why one doesn't start.

KServe and Knative look at pods only when another object changes, so that a container that crashes or an image that
can't be pulled isn't in any status for minutes (Knative's progress deadline: 10 minutes). In raw mode, the pods alone
tell which version answers. Reading them needs no more rights than the lab has anyway.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, api_errors

__all__ = [
    "BAD_NAME",
    "CANNOT_PULL",
    "Pod",
    "Trouble",
    "holders",
    "pods_of",
    "read_pod",
]

SERVICE_LABEL = "serving.kserve.io/inferenceservice"
REVISION_LABEL = "serving.knative.dev/revision"
VERSION_NOTE = "pach_id"
CRASHING = "CrashLoopBackOff"
BAD_NAME = frozenset({"InvalidImageName", "ErrImageNeverPull"})
CANNOT_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", *BAD_NAME})
# Reasons of every healthy start.
HARMLESS = frozenset({"ContainerCreating", "PodInitializing"})
MESSAGE_LIMIT = 500


@dataclass(frozen=True)
class Trouble:
    """Why one container doesn't run.

    Attributes:
        pod: The pod.
        container: The container.
        reason: Kubernetes' word, e.g. ``CrashLoopBackOff``.
        message: The container's last words, or what Kubernetes says.
        failures: How often it has ended with an error.
    """

    pod: str
    container: str
    reason: str
    message: str = ""
    failures: int = 0

    def __str__(self) -> str:
        text = f"pod {self.pod}, {self.container}: {self.reason}"
        return f"{text}: {self.message}" if self.message else text


@dataclass(frozen=True)
class Pod:
    """One pod of a predictor.

    Attributes:
        name: Its name.
        service: The InferenceService; empty for another pod.
        version: Model version that it serves (annotation ``pach_id``, copied from the service); empty when unknown.
        revision: Knative's revision; empty in raw mode.
        ready: Whether it takes requests.
        ends: When it is gone at the latest, if it is being deleted; else None.
        unschedulable: Why no node takes it; empty when it has a node.
        requests: CPU and memory that its containers ask for, as text.
        troubles: Its containers that don't run.
    """

    name: str
    service: str = ""
    version: str = ""
    revision: str = ""
    ready: bool = False
    ends: datetime | None = None
    unschedulable: str = ""
    requests: str = ""
    troubles: tuple[Trouble, ...] = ()


def pods_of(cluster: Cluster, name: str = "") -> list[Pod]:
    """The pods of a service, or all pods of the namespace.

    Args:
        cluster: The connection.
        name: The InferenceService; every pod of the namespace when empty.

    Raises:
        ServiceUnreachable: They can't be read.
    """
    options = {"label_selector": f"{SERVICE_LABEL}={name}"} if name else {}
    with api_errors(cluster, f"pods in {cluster.namespace}"):
        # As JSON, not as the client's objects: those refuse pods that lack a field the lab does not look at.
        found = cluster.core.list_namespaced_pod(
            cluster.namespace, _preload_content=False, _request_timeout=REQUEST_TIMEOUT_S, **options
        )
    return [read_pod(each) for each in json.loads(found.data).get("items", [])]


def read_pod(pod: Mapping[str, Any]) -> Pod:
    """Read a pod; any field of its status may be absent."""
    meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    conditions = {each.get("type"): each for each in status.get("conditions") or []}
    placed = conditions.get("PodScheduled") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    troubles = (_trouble(meta["name"], each) for each in containers)
    ends = meta.get("deletionTimestamp")
    return Pod(
        name=str(meta["name"]),
        service=str(labels.get(SERVICE_LABEL, "")),
        version=str(notes.get(VERSION_NOTE, "")),
        revision=str(labels.get(REVISION_LABEL, "")),
        ready=(conditions.get("Ready") or {}).get("status") == "True",
        ends=datetime.fromisoformat(ends.replace("Z", "+00:00")) if ends else None,
        unschedulable=str(placed.get("message", "")) if placed.get("reason") == "Unschedulable" else "",
        requests=_requests(spec.get("containers") or []),
        troubles=tuple(each for each in troubles if each is not None),
    )


def _trouble(pod: str, container: Mapping[str, Any]) -> Trouble | None:
    """What keeps a container from running; None for one that runs, is done, or starts."""
    name = str(container.get("name", ""))
    state, last = container.get("state") or {}, (container.get("lastState") or {}).get("terminated") or {}
    restarts = int(container.get("restartCount") or 0)
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    reason = str(waiting.get("reason") or "")
    if reason == CRASHING:
        return Trouble(pod, name, reason, _last_words(last), restarts + 1)
    if reason and reason not in HARMLESS:
        return Trouble(pod, name, reason, _short(waiting.get("message") or ""))
    if ended and ended.get("exitCode"):
        return Trouble(pod, name, str(ended.get("reason") or "Error"), _last_words(ended), restarts + 1)
    if restarts and not container.get("ready") and last.get("exitCode"):
        # It runs again, and has failed before.
        return Trouble(pod, name, f"restarted after {last.get('reason') or 'Error'}", _last_words(last), restarts)
    return None


def _last_words(ended: Mapping[str, Any]) -> str:
    """What a container wrote at its end; else how it ended: ``OOMKilled``, for example, says enough."""
    how = f"{ended.get('reason') or 'Error'}, exit code {ended.get('exitCode', '?')}"
    return _short(ended.get("message") or how)


def _short(words: str) -> str:
    """A text in one line, or its end; of Python's traceback, the last line, which says what is wrong."""
    lines = [line for line in str(words).splitlines() if line.strip()]
    if any(line.startswith(("Traceback", "  File ")) for line in lines):
        lines = lines[-1:]
    text = " ".join(" ".join(lines).split())
    return text if len(text) <= MESSAGE_LIMIT else f"… {text[-MESSAGE_LIMIT:]}"


def _requests(containers: Sequence[Mapping[str, Any]]) -> str:
    asked = [(each.get("resources") or {}).get("requests") or {} for each in containers]
    parts = []
    for kind in ("cpu", "memory"):
        amounts = [str(each[kind]) for each in asked if each.get(kind)]
        if amounts:
            parts.append(f"{kind} {' + '.join(amounts)}")
    return ", ".join(parts)


def holders(pods: Sequence[Pod], waiting: str, now: datetime | None = None) -> list[str]:
    """Who holds the place that a pod waits for, those that end soon first.

    Args:
        pods: All pods of the namespace.
        waiting: Name of the service whose pod waits.
        now: The current time; the clock's when None.
    """
    now = now or datetime.now(timezone.utc)
    lines = []
    ending = sorted((each for each in pods if each.ends), key=lambda each: each.ends or now)
    for each in ending:
        left = max(0, int(((each.ends or now) - now).total_seconds()))
        lines.append(f"pod {each.name} is ending and holds {each.requests or 'its place'} for at most {left} s more")
    for each in pods:
        if each.ends is None and not each.unschedulable and each.requests:
            whose = "the version before" if each.service == waiting else each.service or "another program"
            lines.append(f"pod {each.name} ({whose}) holds {each.requests}")
    return lines
