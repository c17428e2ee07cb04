"""Watches: the current objects, then every change, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import Response

from pdk_stack.common.http.exchange import stream
from pdk_stack.common.polling import Deadline
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.negotiation import Format
from pdk_stack.kubernetes.api.replies import COMPACT, one
from pdk_stack.kubernetes.api.tables import table
from pdk_stack.kubernetes.core.selectors import field_selector
from pdk_stack.kubernetes.core.validation.options import integer
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import Change, ObjectStore, version_number

# The real API's default for watches without a limit is 30 to 60 minutes.
WATCH_SECONDS = 1800.0
# More than a month is no different from forever, and threads can't wait longer.
MOST_SECONDS = 30 * 86400.0
# Clients ignore white space before events, and it keeps proxies from closing an idle connection. It contains no line
# break, because the Python client treats every line, even an empty one, as an event.
PING = b" "
HEARTBEAT_SECONDS = 10.0
# How soon a waiting watch notices that its client has disconnected.
LOOK_SECONDS = 1.0


def watch(store: ObjectStore, call: ResourceCall, form: Format) -> Response:
    """Answer a watch until it times out or its client disconnects.

    Raises:
        StatusError: 400 for an invalid selector, version, or timeout.
    """
    headers = {"content-type": "application/json", "cache-control": "no-cache, private"}
    return stream(Watch(store, call, form).lines(), headers=headers)


class Watch:
    """A watch; the constructor checks the call, because errors can't be reported once the answer has begun.

    Args:
        store: The objects.
        call: The call.
        form: The form of the objects.

    Raises:
        StatusError: 400 for an invalid selector, version, or timeout.
    """

    def __init__(self, store: ObjectStore, call: ResourceCall, form: Format) -> None:
        self._store = store
        self._call = call
        self._form = form
        self._selectors = [call.matches()]
        if call.name:
            self._selectors.append(field_selector(f"metadata.name={call.name}", call.kind))
        seconds = integer(call.query, "timeoutSeconds") or 0
        self._end = Deadline(min(float(seconds), MOST_SECONDS) if seconds > 0 else WATCH_SECONDS)
        # Without a version, or with "0", start from the current objects.
        self._position = version_number(call.value("resourceVersion") or "0")
        self._include = call.value("includeObject")
        if form.form == "Table":
            table(call.kind, [], {}, self._include)
        self._headers_sent = False
        # Objects that the watcher has seen: one that stops matching counts as deleted.
        self._seen: set[str] = set()

    def lines(self) -> Iterator[bytes]:
        """Yield the current objects if no version is given, then every change."""
        store, call = self._store, self._call
        objects, version = store.view(call.kind, call.namespace)
        there = [obj for obj in objects if self._matches(obj)]
        self._seen = {obj["metadata"]["uid"] for obj in there}
        if not self._position:
            self._position = version
            for obj in there:
                yield self._line("ADDED", obj)
        # Headers are sent with the first byte, and without them kubectl can't even exit.
        yield PING
        heartbeat = Deadline(HEARTBEAT_SECONDS)
        while not (store.ended or self._end.over or call.gone()):
            # Read both before checking for changes, so that a later change is neither missed nor delayed.
            rung, reached = store.bell.count, store.version
            try:
                changes = store.changes(call.kind, call.namespace, self._position)
            except StatusError as error:
                yield _encoded("ERROR", error.status())
                return
            for change in changes:
                self._position = change.version
                if type_ := self._type(change):
                    yield self._line(type_, change.object)
            if changes:
                heartbeat = Deadline(HEARTBEAT_SECONDS)
                continue
            self._position = max(self._position, reached)
            store.bell.wait(rung, min(LOOK_SECONDS, heartbeat.left, self._end.left))
            if heartbeat.over:
                heartbeat = Deadline(HEARTBEAT_SECONDS)
                yield self._heartbeat()

    def _matches(self, obj: Object) -> bool:
        return all(selector(obj) for selector in self._selectors)

    def _type(self, change: Change) -> str:
        """Return the event type of a change for this watcher; empty when it doesn't match."""
        uid = change.object["metadata"]["uid"]
        if self._matches(change.object):
            self._seen.discard(uid) if change.type == "DELETED" else self._seen.add(uid)
            return change.type
        if uid in self._seen:
            self._seen.discard(uid)
            return "DELETED"
        return ""

    def _line(self, change: str, obj: Object) -> bytes:
        kind = self._call.kind
        if self._form.form != "Table":
            return _encoded(change, one(kind, obj, self._form))
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        headers, self._headers_sent = not self._headers_sent, True
        version = self._form.api_version
        shown = table(kind, [obj], meta, self._include, headers=headers, api_version=version)
        return _encoded(change, shown)

    def _heartbeat(self) -> bytes:
        if self._form.form == "Table" or not self._call.flag("allowWatchBookmarks"):
            return PING
        return self._line("BOOKMARK", {"metadata": {"resourceVersion": str(self._position), "creationTimestamp": None}})


def _encoded(change: str, obj: Any) -> bytes:
    return json.dumps({"type": change, "object": obj}, ensure_ascii=False, separators=COMPACT).encode() + b"\n"
