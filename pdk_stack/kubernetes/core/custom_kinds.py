"""Kinds that users define with CustomResourceDefinitions, and the garbage collector.

Sources: ``apiextensions.k8s.io/v1``, and background deletion in ``pkg/controller/garbagecollector``.
"""

from __future__ import annotations

import contextlib
import queue
import threading

from pdk_stack.kubernetes.core.validation.definitions import fill_in_definition
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object, printer_columns, timestamp
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import (
    CUSTOM_RESOURCE_DEFINITIONS,
    INFERENCE_SERVICE_COLUMNS,
    INFERENCE_SERVICES,
    KINDS,
)
from pdk_stack.kubernetes.store.objects import Change, ObjectStore
from pdk_stack.kubernetes.store.registry import Registry

BUILT_IN = {kind.resource for kind in KINDS}
#: Finalizers that stand for a deletion's propagation policy.
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


def establish(definition: Object) -> None:
    """Write the status of a valid definition, in place: its names are accepted at once."""
    spec, told = definition["spec"], {"status": "True", "lastTransitionTime": timestamp()}
    conditions = [
        {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found", **told},
        {
            "type": "Established",
            "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
            **told,
        },
    ]
    definition["status"] = {
        "acceptedNames": dict(spec["names"]),
        "conditions": (definition.get("status") or {}).get("conditions") or conditions,
        "storedVersions": [each["name"] for each in spec["versions"] if each.get("storage")],
    }


def kinds_of(definition: Object) -> list[Kind]:
    """Return the kinds that a definition declares, one for each served version."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Kind(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            namespaced=spec.get("scope") != "Cluster",
            short=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            columns=printer_columns(version),
            status="status" in (version.get("subresources") or {}),
            custom=True,
            source=version["schema"]["openAPIV3Schema"],
        )
        for version in spec["versions"]
        if version.get("served")
    ]


def inference_service_definition() -> Object:
    """Return the definition of the built-in kind, for clients that check whether KServe is installed."""
    kind = INFERENCE_SERVICES
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": kind.schema},
        "subresources": {"status": {}},
        **INFERENCE_SERVICE_COLUMNS,
    }
    names = {"plural": kind.plural, "kind": kind.kind, "shortNames": list(kind.short)}
    spec: Object = {"group": kind.group, "names": names, "scope": "Namespaced", "versions": [version]}
    definition: Object = {"metadata": {"name": f"{kind.plural}.{kind.group}"}, "spec": spec}
    fill_in_definition(definition)
    establish(definition)
    return definition


class Collector:
    """Serves kinds as definitions are created and deleted, and deletes dependents of deleted objects.

    Args:
        store: The cluster's objects.
        registry: The served kinds.
    """

    def __init__(self, store: ObjectStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        # Deleted objects, and those that one of the collector's finalizers holds.
        self._doomed: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="garbage-collector", daemon=True)

    def start(self) -> None:
        """Serve the stored definitions and follow changes."""
        self._store.subscribe(self._changed)
        for definition in self._store.select(CUSTOM_RESOURCE_DEFINITIONS)[0]:
            self._serve(definition)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._doomed.put(None)
        self._thread.join(5)

    def _serve(self, definition: Object) -> None:
        spec = definition["spec"]
        if (spec["group"], spec["names"]["plural"]) not in BUILT_IN:
            self._registry.replace(spec["group"], spec["names"]["plural"], kinds_of(definition))

    def _changed(self, change: Change) -> None:
        # Done within the write, so that clients can use a definition as soon as they create it.
        meta = change.object["metadata"]
        held = meta.get("deletionTimestamp") and set(meta.get("finalizers") or []) & {ORPHAN, FOREGROUND}
        if change.type == "DELETED" or held:
            self._doomed.put(change)
        elif (change.group, change.plural) == CUSTOM_RESOURCE_DEFINITIONS.resource:
            self._serve(change.object)

    def _run(self) -> None:
        while change := self._doomed.get():
            # An object can be gone already.
            with contextlib.suppress(StatusError):
                self._collect(change)

    def _collect(self, change: Change) -> None:
        meta = change.object["metadata"]
        finalizers = meta.get("finalizers") or []
        if change.type != "DELETED":
            if ORPHAN in finalizers:
                self._store.orphan(meta["uid"], self._registry.named)
            else:
                self._delete_dependents(meta["uid"])
            self._release(change)
            return
        if change.plural == CUSTOM_RESOURCE_DEFINITIONS.plural:
            self._forget(change.object["spec"])
        self._delete_dependents(meta["uid"])

    def _delete_dependents(self, uid: str) -> None:
        for group, plural, namespace, name in self._store.dependents(uid):
            if kind := self._registry.named(group, plural):
                # It can be gone already.
                with contextlib.suppress(StatusError):
                    self._store.delete(kind, namespace, name)

    def _release(self, change: Change) -> None:
        """Take the collector's finalizers off an object, which then goes unless others hold it."""
        kind = self._registry.named(change.group, change.plural)
        meta = change.object["metadata"]
        current = self._store.find(kind, meta.get("namespace"), meta["name"]) if kind else None
        if kind is None or current is None or current["metadata"]["uid"] != meta["uid"]:
            return
        left = [each for each in current["metadata"].get("finalizers") or [] if each not in (ORPHAN, FOREGROUND)]
        current["metadata"].pop("finalizers", None)
        if left:
            current["metadata"]["finalizers"] = left
        self._store.update(kind, meta.get("namespace"), meta["name"], current)

    def _forget(self, spec: Object) -> None:
        """Delete the objects of a deleted definition."""
        group, plural = spec["group"], spec["names"]["plural"]
        kind = self._registry.named(group, plural)
        if kind is None or (group, plural) in BUILT_IN:
            return
        for obj in self._store.select(kind)[0]:
            with contextlib.suppress(StatusError):
                self._store.delete(kind, obj["metadata"].get("namespace"), obj["metadata"]["name"])
        self._registry.replace(group, plural, [])
