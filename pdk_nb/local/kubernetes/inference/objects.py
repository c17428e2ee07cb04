"""Pods and events that the controller writes, so that ``kubectl get pods``, ``logs`` and ``describe`` tell."""

from __future__ import annotations

import uuid
from typing import Any

from pdk_nb.local.kubernetes.errors import ApiError
from pdk_nb.local.kubernetes.kinds import EVENTS, PODS, Object, timestamp
from pdk_nb.local.kubernetes.store import ObjectStore

CONTAINER = "kserve-container"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


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


def pod_name(revision: str) -> str:
    """Name of the pod of a revision."""
    return f"{revision}-deployment-0"


def write_pod(store: ObjectStore, service: Object, revision: str, phase: str, *, ready: bool, reason: str = "") -> None:
    """Create or update the pod of a revision."""
    meta = service["metadata"]
    name, namespace = pod_name(revision), meta["namespace"]
    status: dict[str, Any] = {
        "phase": phase,
        "podIP": "127.0.0.1",
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [
            {
                "name": CONTAINER,
                "ready": ready,
                "restartCount": 0,
                "image": "pytorch/torchserve-kfs:embedded",
                "imageID": "pytorch/torchserve-kfs@embedded",
                "state": {"running": {}} if phase == "Running" else {"waiting": {"reason": reason or phase}},
            }
        ],
    }
    if reason:
        status["reason"] = reason
    pod = {
        "metadata": {
            "name": name,
            "annotations": {
                key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED
            },
            "labels": {
                "app": revision,
                "component": "predictor",
                "serving.knative.dev/revision": revision,
                "serving.kserve.io/inferenceservice": meta["name"],
            },
            "ownerReferences": [
                {
                    "apiVersion": "serving.kserve.io/v1beta1",
                    "kind": "InferenceService",
                    "name": meta["name"],
                    "uid": meta["uid"],
                }
            ],
        },
        "spec": {
            "nodeName": "embedded",
            "containers": [{"name": CONTAINER, "image": "pytorch/torchserve-kfs:embedded"}],
        },
        "status": status,
    }
    try:
        stored = store.get(PODS, namespace, name)
        stored["status"] = status
        stored["metadata"].pop("resourceVersion")
        store.update(PODS, namespace, name, stored)
    except ApiError:
        try:
            store.create(PODS, namespace, pod)
        except ApiError as error:
            if error.code not in (403, 404, 409):
                raise


def remove_pod(store: ObjectStore, namespace: str, revision: str) -> None:
    """Delete the pod of a revision, if it is there."""
    try:
        store.delete(PODS, namespace, pod_name(revision))
    except ApiError as error:
        if error.code != 404:
            raise
