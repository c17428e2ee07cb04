"""PersistentVolumeClaims on a single machine: binds claims to volumes, which are local folders.

Binding follows Kubernetes' volume controller (``pkg/controller/volume/persistentvolume``): a named volume, or else the
smallest that fits, or else a new folder from the default class, as local-path provisioners do.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

from pdk_stack.kubernetes.core.inference.resources import quantity
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.objects import Change, ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES

DEFAULT_CLASS = "embedded"
SCHEME = "pvc://"
#: Finalizers of claims and volumes, which keep them while they are in use.
PROTECTION = {
    PERSISTENT_VOLUME_CLAIMS.plural: "kubernetes.io/pvc-protection",
    PERSISTENT_VOLUMES.plural: "kubernetes.io/pv-protection",
}
PROVISIONED = "pv.kubernetes.io/provisioned-by"


def protect(kind: Kind, obj: Object) -> None:
    """Add the finalizer of a new claim or volume, in place (the admission plugin StorageObjectInUseProtection)."""
    meta, name = obj["metadata"], PROTECTION[kind.plural]
    if name not in (meta.get("finalizers") or []):
        meta["finalizers"] = [*(meta.get("finalizers") or []), name]


class VolumeError(Exception):
    """A claim has no folder; the message says why."""


class Volumes:
    """Binds claims and resolves them to folders.

    Args:
        store: The cluster's objects.
        folder: Parent of the folders created for claims.
    """

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def start(self) -> None:
        """Start following changes."""
        self._store.subscribe(self._changed)

    def _changed(self, change: Change) -> None:
        if change.group or change.plural not in (PERSISTENT_VOLUME_CLAIMS.plural, PERSISTENT_VOLUMES.plural):
            return
        if change.type == "MODIFIED" and change.object["metadata"].get("deletionTimestamp"):
            self._unprotect(change)
        elif change.type == "DELETED":
            if change.plural == PERSISTENT_VOLUME_CLAIMS.plural:
                self._released(change.object)
        elif change.type == "ADDED" and not (change.object.get("spec") or {}).get("claimRef"):
            for claim in self._store.select(PERSISTENT_VOLUME_CLAIMS)[0]:
                if (claim.get("status") or {}).get("phase") != "Bound":
                    self._bind(claim)

    def _unprotect(self, change: Change) -> None:
        """Let a deleted claim go, and a deleted volume once no claim holds it (``pvcprotection``, ``pvprotection``)."""
        meta = change.object["metadata"]
        is_claim = change.plural == PERSISTENT_VOLUME_CLAIMS.plural
        if not is_claim and (change.object.get("status") or {}).get("phase") == "Bound":
            return
        kind = PERSISTENT_VOLUME_CLAIMS if is_claim else PERSISTENT_VOLUMES
        current = self._store.find(kind, meta.get("namespace"), meta["name"])
        if current is None or PROTECTION[kind.plural] not in (current["metadata"].get("finalizers") or []):
            return
        left = [each for each in current["metadata"]["finalizers"] if each != PROTECTION[kind.plural]]
        current["metadata"]["finalizers"] = left
        self._store.update(kind, meta.get("namespace"), meta["name"], current)

    def _bind(self, claim: Object) -> None:
        volume = self._volume_for(claim)
        if volume is None:
            self._write(PERSISTENT_VOLUME_CLAIMS, claim, {}, {"phase": "Pending"})
            return
        meta, spec = claim["metadata"], volume["spec"]
        reference = {"kind": "PersistentVolumeClaim", "name": meta["name"], "namespace": meta["namespace"]}
        self._write(PERSISTENT_VOLUMES, volume, {"claimRef": {**reference, "uid": meta["uid"]}}, {"phase": "Bound"})
        status = {"phase": "Bound", "accessModes": spec.get("accessModes"), "capacity": spec.get("capacity")}
        self._write(PERSISTENT_VOLUME_CLAIMS, claim, {"volumeName": volume["metadata"]["name"]}, status)

    def _volume_for(self, claim: Object) -> Object | None:
        spec = claim.get("spec") or {}
        name, wanted_class = spec.get("volumeName"), spec.get("storageClassName", DEFAULT_CLASS)
        free = [each for each in self._store.select(PERSISTENT_VOLUMES)[0] if not each["spec"].get("claimRef")]
        if name:
            return next((each for each in free if each["metadata"]["name"] == name), None)
        size = quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))
        fitting = [
            each
            for each in free
            if each["spec"].get("storageClassName", "") == wanted_class
            and _size(each) >= size
            and set(spec.get("accessModes") or []) <= set(each["spec"].get("accessModes") or [])
        ]
        if fitting:
            return min(fitting, key=_size)
        return self._provision(claim) if wanted_class == DEFAULT_CLASS else None

    def _provision(self, claim: Object) -> Object:
        spec, name = claim.get("spec") or {}, f"pvc-{claim['metadata']['uid']}"
        path = self._folder / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        volume: dict[str, Any] = {
            "metadata": {"name": name, "annotations": {PROVISIONED: DEFAULT_CLASS}},
            "spec": {
                "capacity": {"storage": ((spec.get("resources") or {}).get("requests") or {}).get("storage", "1Gi")},
                "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
                "storageClassName": DEFAULT_CLASS,
                "persistentVolumeReclaimPolicy": "Delete",
                "hostPath": {"path": str(path)},
                # Reserve it before others see it.
                "claimRef": {"kind": "PersistentVolumeClaim", "uid": claim["metadata"]["uid"]},
            },
            "status": {"phase": "Available"},
        }
        return self._store.create(PERSISTENT_VOLUMES, None, volume)

    def _released(self, claim: Object) -> None:
        name = (claim.get("spec") or {}).get("volumeName")
        with contextlib.suppress(StatusError):
            volume = self._store.get(PERSISTENT_VOLUMES, None, name or "")
            if PROVISIONED in (volume["metadata"].get("annotations") or {}):
                shutil.rmtree(self._folder / volume["metadata"]["name"], ignore_errors=True)
                self._store.delete(PERSISTENT_VOLUMES, None, volume["metadata"]["name"])
            else:
                self._write(PERSISTENT_VOLUMES, volume, {}, {"phase": "Released"})

    def _write(self, kind: Kind, obj: Object, spec: dict[str, Any], status: dict[str, Any]) -> None:
        meta = obj["metadata"]
        current = self._store.get(kind, meta.get("namespace"), meta["name"])
        new = {**current, "spec": {**current.get("spec", {}), **spec}, "status": status}
        self._store.update(kind, meta.get("namespace"), meta["name"], new)

    def path(self, namespace: str, uri: str) -> Path:
        """Return the local folder of ``pvc://<claim>/<path>``.

        Raises:
            VolumeError: The claim doesn't exist or isn't bound, or its volume isn't a folder on this machine.
        """
        name, _, inner = uri.removeprefix(SCHEME).partition("/")
        try:
            claim = self._store.get(PERSISTENT_VOLUME_CLAIMS, namespace, name)
        except StatusError as error:
            raise VolumeError(error.message) from error
        if (claim.get("status") or {}).get("phase") != "Bound":
            raise VolumeError(f'persistentvolumeclaim "{name}" is not bound to a volume')
        volume = self._store.get(PERSISTENT_VOLUMES, None, claim["spec"]["volumeName"])
        root = (volume["spec"].get("hostPath") or volume["spec"].get("local") or {}).get("path")
        if not root:
            raise VolumeError(f"volume {volume['metadata']['name']} has no hostPath: only folders can be mounted here")
        found = (Path(root) / inner).resolve()
        if not found.is_relative_to(Path(root).resolve()):
            raise VolumeError(f"{uri} leads out of its volume")
        return found


def _size(volume: Object) -> float:
    return quantity((volume["spec"].get("capacity") or {}).get("storage", 0))
