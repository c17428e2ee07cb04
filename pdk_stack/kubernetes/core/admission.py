"""Admission: what happens to an object between its reading and its storing.

Source: ``k8s.io/apiserver/pkg/registry/rest`` (``BeforeCreate``, ``BeforeUpdate``).
"""

from __future__ import annotations

import copy

from pdk_stack.kubernetes.core import allocation
from pdk_stack.kubernetes.core.custom_kinds import establish
from pdk_stack.kubernetes.core.defaults import as_written, fill_in
from pdk_stack.kubernetes.core.inference import webhook
from pdk_stack.kubernetes.core.inference.configuration import default_mode
from pdk_stack.kubernetes.core.validation.rules import errors_on_create, errors_on_update
from pdk_stack.kubernetes.core.volumes import protect
from pdk_stack.kubernetes.errors import bad_request, invalid
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CUSTOM_RESOURCE_DEFINITIONS, INFERENCE_SERVICES, SERVICES
from pdk_stack.kubernetes.store.objects import ObjectStore, generated_name
from pdk_stack.kubernetes.store.workload_kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES

#: Metadata that only the server sets; what a client sends of it is ignored.
SYSTEM_FIELDS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def mutate(store: ObjectStore, kind: Kind, obj: Object) -> None:
    """Complete an object in place before its schema is checked, as mutating webhooks do.

    Args:
        store: The cluster's objects, for the webhooks' configuration.
        kind: The object's kind.
        obj: The object.

    Raises:
        StatusError: 400 when a webhook can't decode it.
    """
    if kind is INFERENCE_SERVICES:
        webhook.default(obj, default_mode(store))


def admit(kind: Kind, obj: Object) -> None:
    """Check an object as validating webhooks do, and complete a definition in place.

    Raises:
        StatusError: 422 or 403 when a field is not allowed.
    """
    if kind is CUSTOM_RESOURCE_DEFINITIONS:
        establish(obj)
    elif kind is INFERENCE_SERVICES:
        webhook.validate(obj)


def _without_status(kind: Kind, obj: Object, status: Object | None) -> None:
    """Replace the status, which only the subresource writes, in place."""
    if not kind.status or kind.custom or kind is CUSTOM_RESOURCE_DEFINITIONS:
        return
    obj.pop("status", None)
    if status is not None:
        obj["status"] = copy.deepcopy(status)


def prepare_new(store: ObjectStore, kind: Kind, obj: Object, namespace: str | None) -> Object:
    """Return a new object as it is to be stored.

    Args:
        store: The cluster's objects.
        kind: The object's kind.
        obj: The object, as read; changed in place.
        namespace: The namespace of the path, if the kind has one.

    Raises:
        StatusError: 404 without the namespace, 403 in one that is being deleted, 422 when a field is not allowed.
    """
    meta = obj["metadata"]
    for name in SYSTEM_FIELDS:
        meta.pop(name, None)
    if kind.namespaced:
        meta["namespace"] = namespace or ""
        store.check_namespace(kind, meta["namespace"], str(meta.get("name") or ""))
    else:
        meta.pop("namespace", None)
    if meta.get("generateName") and not meta.get("name"):
        meta["name"] = generated_name(meta["generateName"])
    _without_status(kind, obj, None)
    fill_in(kind, obj)
    if kind is SERVICES:
        allocation.align(obj["spec"], {})
    if wrong := errors_on_create(kind, obj):
        raise invalid(*kind.group_kind, str(meta.get("name") or ""), wrong)
    if meta.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    admit(kind, obj)
    if kind is SERVICES:
        allocation.allocate(store, obj)
    if kind in (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES):
        protect(kind, obj)
    return as_written(kind, obj)


def prepare_change(store: ObjectStore, kind: Kind, new: Object, old: Object) -> Object:
    """Return a changed object as it is to be stored.

    Args:
        store: The cluster's objects.
        kind: The object's kind.
        new: The object, as read; changed in place.
        old: The stored object.

    Raises:
        StatusError: 409 for an outdated version, 422 when a field may not be changed or is not allowed.
    """
    store.check_version(kind, new, old)
    meta, before = new["metadata"], old["metadata"]
    for name in ("resourceVersion", "uid", "creationTimestamp", "generation", "namespace"):
        if name in before:
            meta[name] = before[name]
        else:
            meta.pop(name, None)
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
        if name in before:
            meta[name] = before[name]
    meta.pop("selfLink", None)
    _without_status(kind, new, old.get("status"))
    fill_in(kind, new)
    # An older version can have stored it without some defaults.
    old = copy.deepcopy(old)
    fill_in(kind, old)
    if kind is SERVICES:
        allocation.inherit(new, old)
        allocation.align(new["spec"], old.get("spec") or {})
    if wrong := errors_on_update(kind, new, old):
        raise invalid(*kind.group_kind, before["name"], wrong)
    admit(kind, new)
    if kind is SERVICES:
        allocation.allocate(store, new)
    return as_written(kind, new)
