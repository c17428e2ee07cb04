"""Logs of pods: one container's file, its end, or all of it as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from werkzeug.wrappers import Response

from pdk_nb.local.kubernetes.api.calls import ResourceCall
from pdk_nb.local.kubernetes.columns import path_values
from pdk_nb.local.kubernetes.errors import ApiError, bad_request, not_implemented
from pdk_nb.local.kubernetes.store import ObjectStore
from pdk_nb.local.kubernetes.workload_kinds import PODS

# File of a container's log: ``(namespace, pod, container) -> path``; None when the container wrote nothing yet.
PodLogs = Callable[[str, str, str], Path | None]
FOLLOW_POLL_S = 0.2
# A client that goes is noticed at the next line; one that waits for a silent log, after this.
FOLLOW_SECONDS = 1800.0
PIECE_BYTES = 64 << 10
REFUSED = ("previous", "timestamps", "sinceSeconds", "sinceTime")


def pod_log(store: ObjectStore, logs: PodLogs, call: ResourceCall) -> Response:
    """The answer to ``GET .../pods/<name>/log``.

    Raises:
        ApiError: 404 without such a pod, 400 without such a container, 501 for options that are not offered.
    """
    pod = store.get(PODS, call.namespace, call.name)
    containers = [str(each) for each in path_values("spec.containers[*].name", pod)]
    known = [*path_values("spec.initContainers[*].name", pod), *containers]
    container = call.query.get("container") or containers[0]
    if container not in known:
        raise bad_request(f"container {container} is not valid for pod {call.name}")
    for option in REFUSED:
        if call.flag(option):
            raise not_implemented(f"pods/log with {option}: the lines are kept as the model server wrote them")
    path = logs(call.namespace or "", call.name, container)
    media = "text/plain; charset=utf-8"
    start = _tail_start(path, call.query["tailLines"]) if path and call.query.get("tailLines") else 0
    if call.flag("follow"):
        uid = pod["metadata"]["uid"]
        grown = _follow(lambda: logs(call.namespace or "", call.name, container), start, lambda: _is(store, call, uid))
        return Response(grown, content_type=media, direct_passthrough=True)
    content = path.read_bytes()[start:] if path else b""
    if call.query.get("limitBytes"):
        content = content[: int(call.query["limitBytes"])]
    return Response(content, content_type=media)


def _tail_start(path: Path, lines: str) -> int:
    content = path.read_bytes()
    wanted = int(lines)
    kept = content.splitlines(keepends=True)[-wanted:] if wanted else []
    return len(content) - sum(map(len, kept))


def _is(store: ObjectStore, call: ResourceCall, uid: str) -> bool:
    """Whether the same pod is still there."""
    try:
        return not store.ended and bool(store.get(PODS, call.namespace, call.name)["metadata"]["uid"] == uid)
    except ApiError:
        return False


def _follow(find: Callable[[], Path | None], position: int, there: Callable[[], bool]) -> Iterator[bytes]:
    """Pieces of a file as it grows, until its pod has gone."""
    end = time.monotonic() + FOLLOW_SECONDS
    while True:
        last = not there() or time.monotonic() > end
        path = find()
        if path is not None:
            with path.open("rb") as log:
                log.seek(position)
                while piece := log.read(PIECE_BYTES):
                    position += len(piece)
                    yield piece
        if last:
            return
        time.sleep(FOLLOW_POLL_S)
