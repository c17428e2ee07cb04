"""Events about InferenceServices and pods, which ``kubectl describe`` shows."""

from __future__ import annotations

import uuid

from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object, timestamp
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import EVENTS
from pdk_stack.kubernetes.store.objects import ObjectStore


def record_event(
    store: ObjectStore,
    about: Object,
    kind: Kind,
    severity: str,
    reason: str,
    message: str,
    component: str = "v1beta1Controllers",
) -> None:
    """Write an event; repeated events only increase its count.

    Args:
        store: The cluster's objects.
        about: The object that the event concerns.
        kind: The object's kind.
        severity: ``Normal`` or ``Warning``.
        reason: One-word reason.
        message: Human-readable text.
        component: The reporting component.
    """
    meta = about["metadata"]
    name = f"{meta['name']}.{uuid.uuid5(uuid.NAMESPACE_URL, meta['uid'] + reason + message).hex[:16]}"
    try:
        event = store.get(EVENTS, meta["namespace"], name)
        event["count"] = event.get("count", 1) + 1
        event["lastTimestamp"] = timestamp()
        store.update(EVENTS, meta["namespace"], name, event)
        return
    except StatusError as error:
        if error.http_status not in (404, 409):
            raise
        if error.http_status == 409:
            return
    event = {
        "metadata": {"name": name},
        "involvedObject": {
            "kind": kind.kind,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "apiVersion": kind.api_version,
        },
        "type": severity,
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "count": 1,
        "firstTimestamp": timestamp(),
        "lastTimestamp": timestamp(),
    }
    try:
        store.create(EVENTS, meta["namespace"], event)
    except StatusError as error:
        # The namespace might be terminating together with the service.
        if error.http_status not in (403, 404, 409):
            raise
