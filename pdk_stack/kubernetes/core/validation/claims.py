"""Validates PersistentVolumeClaims and PersistentVolumes.

Source: ``pkg/apis/core/validation``.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import IMMUTABLE, each_message, label_selector
from pdk_stack.kubernetes.core.validation.syntax import dns_subdomain
from pdk_stack.kubernetes.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.quantities import amount

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
SOURCES = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "hostPath",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "flexVolume",
    "cinder",
    "cephfs",
    "fc",
    "flocker",
    "azureFile",
    "azureDisk",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "local",
    "storageos",
    "csi",
]


def _modes(spec: dict[str, Any], told: str = "") -> list[FieldError]:
    place, given = "spec.accessModes", spec.get("accessModes") or []
    found = [] if given else [required(place, told)]
    found += [not_supported(place, each, ACCESS_MODES) for each in given if each not in ACCESS_MODES]
    if "ReadWriteOncePod" in given and any(each in ACCESS_MODES and each != "ReadWriteOncePod" for each in given):
        found.append(forbidden_field(place, "may not use ReadWriteOncePod with other access modes"))
    return found


def _volume_mode(spec: dict[str, Any]) -> list[FieldError]:
    mode = spec.get("volumeMode")
    return [] if mode in (None, *VOLUME_MODES) else [not_supported("spec.volumeMode", mode, VOLUME_MODES)]


def _storage(spec: dict[str, Any]) -> Any:
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")


def claim(obj: Object) -> list[FieldError]:
    """Validate the spec of a claim."""
    spec = obj.get("spec") or {}
    found = _modes(spec, "at least 1 access mode is required")
    found += label_selector(spec.get("selector"), "spec.selector")
    size = _storage(spec)
    if size is None:
        found.append(required("spec.resources[storage]"))
    elif amount(size) <= 0:
        found.append(invalid_value("spec.resources[storage]", size, "must be greater than zero"))
    if spec.get("storageClassName"):
        found += each_message("spec.storageClassName", spec["storageClassName"], dns_subdomain)
    return found + _volume_mode(spec)


def claim_update(new: Object, old: Object) -> list[FieldError]:
    """Validate what an update changes of a claim: a bound one may only ask for more."""
    after, before = copy.deepcopy(new.get("spec") or {}), copy.deepcopy(old.get("spec") or {})
    if not before.get("volumeName"):
        before["volumeName"] = after.get("volumeName")
    if before.get("storageClassName") is None:
        before["storageClassName"] = after.get("storageClassName")
    bound = (old.get("status") or {}).get("phase") == "Bound"
    if bound and _storage(after) is not None:
        after["resources"]["requests"]["storage"] = _storage(before)
    found: list[FieldError] = []
    if _plain(after) != _plain(before):
        why = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        found.append(forbidden_field("spec", why))
    size, was = _storage(new.get("spec") or {}), _storage(old.get("spec") or {})
    if size is not None and was is not None and amount(size) < amount(was):
        found.append(forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity"))
    mode = (new.get("spec") or {}).get("volumeMode")
    if mode != (old.get("spec") or {}).get("volumeMode"):
        found.append(invalid_value("volumeMode", mode, IMMUTABLE))
    return found


def _plain(spec: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in spec.items() if value not in (None, {}, [])}, sort_keys=True)


def volume(obj: Object) -> list[FieldError]:
    """Validate the spec of a volume."""
    spec = obj.get("spec") or {}
    found = _modes(spec)
    capacity = spec.get("capacity") or {}
    if not capacity:
        found.append(required("spec.capacity"))
    elif set(capacity) != {"storage"}:
        found.append(not_supported("spec.capacity", capacity, ["storage"]))
    for name, value in capacity.items():
        if amount(value) <= 0:
            found.append(invalid_value(f"spec.capacity[{name}]", value, "must be greater than zero"))
    given = [each for each in SOURCES if spec.get(each) is not None]
    if not given:
        found.append(required("spec", "must specify a volume type"))
    found += [forbidden_field(f"spec.{each}", "may not specify more than 1 volume type") for each in given[1:]]
    if "hostPath" in given:
        path = spec["hostPath"].get("path") or ""
        if not path:
            found.append(required("spec.hostPath.path"))
        elif ".." in path.split("/"):
            found.append(invalid_value("spec.hostPath.path", path, "must not contain '..'"))
    if "local" in given and not (spec.get("nodeAffinity") or {}).get("required"):
        found.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy not in (None, "Delete", "Recycle", "Retain"):
        allowed = ("Delete", "Recycle", "Retain")
        found.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, allowed))
    if spec.get("storageClassName"):
        found += each_message("spec.storageClassName", spec["storageClassName"], dns_subdomain)
    return found + _volume_mode(spec)
