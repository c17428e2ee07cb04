"""``GET .../pods/<name>/log``: the logs of model servers and storage initializers for ``kubectl logs``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from starlette.responses import Response

from pdk_stack.common.http.exchange import stream
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.core.container_logs import follow, lines_of, previous_path, start_of
from pdk_stack.kubernetes.core.validation.options import integer
from pdk_stack.kubernetes.errors import FieldError, StatusError, bad_request, forbidden_field, invalid, invalid_value
from pdk_stack.kubernetes.store.columns import Object, path_values
from pdk_stack.kubernetes.store.decoding import RFC_3339
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


MEDIA = "text/plain"


def pod_log(store: ObjectStore, logs: PodLogs, call: ResourceCall) -> Response:
    """Answer ``GET .../pods/<name>/log``.

    Raises:
        StatusError: 404 for an unknown pod; 400 for an unknown container, one that has not started, or one without a
          previous instance; 422 for contradictory options.
    """
    pod = store.get(PODS, call.namespace, call.name)
    containers = [str(each) for each in path_values("spec.containers[*].name", pod)]
    known = [*path_values("spec.initContainers[*].name", pod), *containers]
    options = _options(call)
    container = call.value("container") or containers[0]
    if container not in known:
        raise bad_request(f"container {container} is not valid for pod {call.name}")
    path = _path(pod, container, logs(call.namespace or "", call.name, container), call)
    start = start_of(path, options.tail, options.since)
    with_times = call.flag("timestamps")
    if call.flag("follow"):
        uid = pod["metadata"]["uid"]
        grown = follow(path, start, lambda: _is(store, call, uid), with_times=with_times)
        return stream(grown, headers={"content-type": MEDIA})
    content = lines_of(path, start, with_times=with_times)
    shown = content if options.limit is None else content[: options.limit]
    return Response(shown, headers={"content-type": MEDIA})


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


@dataclass(frozen=True)
class _Options:
    """What part of a log is asked for.

    Attributes:
        tail: How many lines from the end; None for all.
        limit: How many bytes at most; None for all.
        since: From when on, in seconds since the epoch; None for the start.
    """

    tail: int | None
    limit: int | None
    since: float | None


def _options(call: ResourceCall) -> _Options:
    """Return the options of a call (``ValidatePodLogOptions``).

    Raises:
        StatusError: 400 for values that cannot be read, 422 for those that are out of range or contradict each other.
    """
    tail, limit, seconds = (integer(call.query, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
    text = call.value("sinceTime")
    moment = _moment(text) if text else None
    wrong: list[FieldError] = []
    if tail is not None and tail < 0:
        wrong.append(invalid_value("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        wrong.append(invalid_value("limitBytes", limit, "must be greater than 0"))
    if seconds is not None and text:
        wrong.append(forbidden_field("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif seconds is not None and seconds < 1:
        wrong.append(invalid_value("sinceSeconds", seconds, "must be greater than 0"))
    if wrong:
        raise invalid("", "PodLogOptions", call.name, wrong)
    return _Options(tail, limit, time.time() - seconds if seconds is not None else moment)


def _moment(text: str) -> float:
    """Return a time of RFC 3339 in seconds since the epoch.

    Raises:
        StatusError: 400 for anything else.
    """
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError) as error:
        shown = json.dumps(text, ensure_ascii=False)
        raise bad_request(f'parsing time {shown} as "{RFC_3339}": cannot parse {shown} as "2006"') from error


def _is(store: ObjectStore, call: ResourceCall, uid: str) -> bool:
    """Return whether the same pod still exists and its log still has a reader."""
    try:
        same = bool(store.get(PODS, call.namespace, call.name)["metadata"]["uid"] == uid)
    except StatusError:
        return False
    return same and not (store.ended or call.gone())
