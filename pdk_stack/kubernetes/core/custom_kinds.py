"""Kinds that users define with CustomResourceDefinitions, and the garbage collector.

Sources: ``apiextensions.k8s.io/v1``, and background deletion in ``pkg/controller/garbagecollector``.
"""

from __future__ import annotations

import contextlib
import queue
import threading

from pdk_stack.kubernetes.errors import StatusError, invalid
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


def check_definition(definition: Object) -> None:
    """Check and complete a definition in place.

    Raises:
        StatusError: 422 for an invalid name or invalid versions.
    """
    kind = CUSTOM_RESOURCE_DEFINITIONS
    name, spec = definition["metadata"].get("name", ""), definition.get("spec") or {}
    names = spec.get("names") or {}
    for field in ("plural", "kind"):
        if not names.get(field):
            raise invalid(*kind.resource, name, f"spec.names.{field}", "Required value")
    wanted = f"{names['plural']}.{spec.get('group')}"
    if name != wanted:
        raise invalid(*kind.resource, name, "metadata.name", f'Invalid value: "{name}": must be "{wanted}"')
    versions = spec.get("versions") or []
    if sum(bool(each.get("storage")) for each in versions) != 1:
        why = "Invalid value: must have exactly one version marked as storage version"
        raise invalid(*kind.resource, name, "spec.versions", why)
    for number, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            field = f"spec.versions[{number}].schema.openAPIV3Schema"
            raise invalid(*kind.resource, name, field, "Required value: schemas are required")
    names.setdefault("singular", names["kind"].lower())
    names.setdefault("listKind", f"{names['kind']}List")
    told = {"status": "True", "lastTransitionTime": timestamp()}
    definition["status"] = {
        "acceptedNames": names,
        "conditions": [
            {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found", **told},
            {"type": "Established", "reason": "InitialNamesAccepted", "message": "the names are accepted", **told},
        ],
        "storedVersions": [each["name"] for each in versions if each.get("storage")],
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
            schema=version["schema"]["openAPIV3Schema"],
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
    spec = {"group": kind.group, "names": names, "scope": "Namespaced", "versions": [version]}
    definition: Object = {"metadata": {"name": f"{kind.plural}.{kind.group}"}, "spec": spec}
    check_definition(definition)
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
        self._deleted: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="garbage-collector", daemon=True)

    def start(self) -> None:
        """Serve the stored definitions and follow changes."""
        self._store.subscribe(self._changed)
        for definition in self._store.select(CUSTOM_RESOURCE_DEFINITIONS)[0]:
            self._serve(definition)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._deleted.put(None)
        self._thread.join(5)

    def _serve(self, definition: Object) -> None:
        spec = definition["spec"]
        if (spec["group"], spec["names"]["plural"]) not in BUILT_IN:
            self._registry.replace(spec["group"], spec["names"]["plural"], kinds_of(definition))

    def _changed(self, change: Change) -> None:
        # Done within the write, so that clients can use a definition as soon as they create it.
        if change.type == "DELETED":
            self._deleted.put(change)
        elif (change.group, change.plural) == CUSTOM_RESOURCE_DEFINITIONS.resource:
            self._serve(change.object)

    def _run(self) -> None:
        while change := self._deleted.get():
            if change.plural == CUSTOM_RESOURCE_DEFINITIONS.plural:
                self._forget(change.object["spec"])
            for group, plural, namespace, name in self._store.dependents(change.object["metadata"]["uid"]):
                kind = self._registry.named(group, plural)
                if kind:
                    # It can be gone already.
                    with contextlib.suppress(StatusError):
                        self._store.delete(kind, namespace, name)

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
