"""``GET .../pods/<name>/log``: the logs of model servers and storage initializers for ``kubectl logs``."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from starlette.responses import Response

from pdk_stack.common.http.exchange import stream
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.core.container_logs import follow, lines_of, previous_path, start_of
from pdk_stack.kubernetes.errors import StatusError, bad_request, invalid
from pdk_stack.kubernetes.store.columns import Object, path_values
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import PODS

# A container's log file: ``(namespace, pod, container) -> path``; None when the container has no log yet.
PodLogs = Callable[[str, str, str], Path | None]


class PodKeeper(Protocol):
    """Gives access to the processes behind the pods."""

    def log(self, namespace: str, pod: str, container: str) -> Path | None:
        """Return a container's log file; None when the container has no log yet."""
        ...

    def replace(self, namespace: str, pod: str) -> bool:
        """Replace a pod with a new one; False when none can be started."""
        ...


MEDIA = "text/plain; charset=utf-8"


def pod_log(store: ObjectStore, logs: PodLogs, call: ResourceCall) -> Response:
    """Answer ``GET .../pods/<name>/log``.

    Raises:
        StatusError: 404 for an unknown pod; 400 for an unknown container, one that has not started, or one without a
          previous instance; 422 for contradictory options.
    """
    pod = store.get(PODS, call.namespace, call.name)
    containers = [str(each) for each in path_values("spec.containers[*].name", pod)]
    known = [*path_values("spec.initContainers[*].name", pod), *containers]
    container = call.query.get("container") or containers[0]
    if container not in known:
        raise bad_request(f"container {container} is not valid for pod {call.name}")
    since, tail = _since(call), _number(call, "tailLines")
    path = _path(pod, container, logs(call.namespace or "", call.name, container), call)
    start = start_of(path, tail, since)
    with_times = call.flag("timestamps")
    if call.flag("follow"):
        uid = pod["metadata"]["uid"]
        grown = follow(path, start, lambda: _is(store, call, uid), with_times=with_times)
        return stream(grown, headers={"content-type": MEDIA})
    content = lines_of(path, start, with_times=with_times)
    limit = _number(call, "limitBytes")
    return Response(content if limit is None else content[:limit], media_type=MEDIA)


def _path(pod: Object, container: str, path: Path | None, call: ResourceCall) -> Path:
    """Return the requested log file; errors match the kubelet's."""
    if call.flag("previous"):
        previous = previous_path(path) if path else None
        if previous is None or not previous.exists():
            raise bad_request(f'previous terminated container "{container}" in pod "{call.name}" not found')
        return previous
    if path is not None:
        return path
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {call.name} does not have a host assigned")
    statuses = [*path_values("status.initContainerStatuses[*]", pod), *path_values("status.containerStatuses[*]", pod)]
    states = (each.get("state") or {} for each in statuses if each["name"] == container)
    reason = next((each["waiting"].get("reason") for each in states if "waiting" in each), "ContainerCreating")
    raise bad_request(f'container "{container}" in pod "{call.name}" is waiting to start: {reason}')


def _number(call: ResourceCall, name: str) -> int | None:
    text = call.query.get(name)
    if not text:
        return None
    try:
        number = int(text)
    except ValueError as error:
        raise bad_request(f"{name} is no number: {text}") from error
    if number < 0:
        raise invalid("", "pods", call.name, name, f"Invalid value: {number}: must be greater than or equal to 0")
    return number


def _since(call: ResourceCall) -> float | None:
    """Return the start time of the requested lines, in seconds since the epoch.

    Raises:
        StatusError: 422 when given in two ways, 400 when invalid.
    """
    seconds, text = _number(call, "sinceSeconds"), call.query.get("sinceTime")
    if seconds is not None and text:
        why = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        raise invalid("", "pods", call.name, "sinceSeconds", why)
    if seconds is not None:
        return time.time() - seconds
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise bad_request(f"sinceTime is no time as of RFC 3339: {text}") from error


def _is(store: ObjectStore, call: ResourceCall, uid: str) -> bool:
    """Return whether the same pod still exists and its log still has a reader."""
    try:
        same = bool(store.get(PODS, call.namespace, call.name)["metadata"]["uid"] == uid)
    except StatusError:
        return False
    return same and not (store.ended or call.gone())
