"""Watches: what is there, then every change, one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from pdk_stack.common.http.exchange import stream
from pdk_stack.common.polling import Deadline
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.replies import typed
from pdk_stack.kubernetes.api.tables import table, wants_table
from pdk_stack.kubernetes.core.selectors import field_selector
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore

# The real API's default for watches without a limit is 30 to 60 minutes.
WATCH_SECONDS = 1800.0
# White space before events is ignored by clients and keeps what lies between them from closing a silent connection. No
# line break: the Python client makes an event of each line, of an empty one as well.
PING = b" "
HEARTBEAT_SECONDS = 10.0
# How soon a watch that waits notices that its client has left.
LOOK_SECONDS = 1.0


def watch(store: ObjectStore, call: ResourceCall) -> Response:
    """The answer to a watch; it goes on until its time is over or its client has gone."""
    media = "application/json" + (";as=Table;v=v1;g=meta.k8s.io" if wants_table(call.accept) else "")
    return stream(events(store, call), headers={"content-type": media})


def events(store: ObjectStore, call: ResourceCall) -> Iterator[bytes]:
    """The lines of a watch: what is there (without a version), then every change."""
    matches = call.matches()
    if call.name:
        by_name = field_selector(f"metadata.name={call.name}", call.kind)
        selected = matches
        matches = lambda obj: selected(obj) and by_name(obj)  # noqa: E731  one line says it best
    as_table, headers = wants_table(call.accept), True

    def line(change: str, obj: Object) -> bytes:
        nonlocal headers
        body: Any = typed(call.kind, obj)
        if as_table:
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            include = call.query.get("includeObject", "")
            body = table(call.kind, [obj], meta, include, headers=headers)
            headers = False
        return json.dumps({"type": change, "object": body}).encode() + b"\n"

    end = Deadline(float(call.query.get("timeoutSeconds") or WATCH_SECONDS))
    start = call.query.get("resourceVersion", "")
    # What the watcher has seen: an object that stops matching is gone for it.
    seen: set[str] = set()
    if start in ("", "0"):
        objects, position = store.view(call.kind, call.namespace)
        for obj in filter(matches, objects):
            seen.add(obj["metadata"]["uid"])
            yield line("ADDED", obj)
    else:
        position = int(start)
        seen = {obj["metadata"]["uid"] for obj in store.view(call.kind, call.namespace)[0] if matches(obj)}
    yield PING
    heartbeat = Deadline(HEARTBEAT_SECONDS)
    while not (store.ended or end.over or call.gone()):
        # Both before the look: what comes after it is then neither missed nor waited for.
        rung, reached = store.bell.count, store.version
        try:
            changes = store.changes(call.kind, call.namespace, position)
        except StatusError as error:
            yield json.dumps({"type": "ERROR", "object": error.status()}).encode() + b"\n"
            return
        for change in changes:
            position = change.version
            uid = change.object["metadata"]["uid"]
            if matches(change.object):
                kind_of_change = change.type
                seen.discard(uid) if change.type == "DELETED" else seen.add(uid)
            elif uid in seen:
                seen.discard(uid)
                kind_of_change = "DELETED"
            else:
                continue
            yield line(kind_of_change, change.object)
        if changes:
            heartbeat = Deadline(HEARTBEAT_SECONDS)
            continue
        position = max(position, reached)
        store.bell.wait(rung, min(LOOK_SECONDS, heartbeat.left, end.left))
        if heartbeat.over:
            heartbeat = Deadline(HEARTBEAT_SECONDS)
            if call.flag("allowWatchBookmarks") and not as_table:
                yield line("BOOKMARK", {"metadata": {"resourceVersion": str(position), "creationTimestamp": None}})
            else:
                yield PING
