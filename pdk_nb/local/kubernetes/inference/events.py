"""Events about InferenceServices, which ``kubectl describe`` shows."""

from __future__ import annotations

import uuid

from pdk_nb.local.kubernetes.columns import Object, timestamp
from pdk_nb.local.kubernetes.errors import ApiError
from pdk_nb.local.kubernetes.kinds import EVENTS
from pdk_nb.local.kubernetes.store import ObjectStore


def record_event(store: ObjectStore, service: Object, kind: str, reason: str, message: str) -> None:
    """Write an event about a service; the same event again only counts up."""
    meta = service["metadata"]
    name = f"{meta['name']}.{uuid.uuid5(uuid.NAMESPACE_URL, meta['uid'] + reason + message).hex[:16]}"
    try:
        event = store.get(EVENTS, meta["namespace"], name)
        event["count"] = event.get("count", 1) + 1
        event["lastTimestamp"] = timestamp()
        store.update(EVENTS, meta["namespace"], name, event)
        return
    except ApiError as error:
        if error.code not in (404, 409):
            raise
        if error.code == 409:
            return
    event = {
        "metadata": {"name": name},
        "involvedObject": {
            "kind": "InferenceService",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "apiVersion": "serving.kserve.io/v1beta1",
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "v1beta1Controllers"},
        "count": 1,
        "firstTimestamp": timestamp(),
        "lastTimestamp": timestamp(),
    }
    try:
        store.create(EVENTS, meta["namespace"], event)
    except ApiError as error:
        # The namespace may be going away with the service.
        if error.code not in (403, 404, 409):
            raise
