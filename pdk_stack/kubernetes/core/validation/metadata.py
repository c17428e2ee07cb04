"""Validates ``metadata``, on creation and on update.

Sources: ``k8s.io/apimachinery/pkg/api/validation/objectmeta.go``, and for Kubernetes' own kinds
``pkg/apis/core/validation``.
"""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.core.validation.syntax import (
    Rule,
    dns_label,
    label_value,
    prefix_of,
    qualified_name,
)
from pdk_stack.kubernetes.errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    quoted,
    required,
    too_long,
)
from pdk_stack.kubernetes.store.columns import Object

ANNOTATION_BYTES = 256 << 10
MANAGER_BYTES = 128
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
IMMUTABLE = "field is immutable"


def each_message(field: str, value: str, rule: Rule) -> list[FieldError]:
    """Return an error for everything that a rule finds wrong with a text."""
    return [invalid_value(field, value, words) for words in rule(value)]


def not_negative(field: str, value: Any) -> list[FieldError]:
    """Return an error for a negative number."""
    wrong = isinstance(value, (int, float)) and value < 0
    return [invalid_value(field, value, "must be greater than or equal to 0")] if wrong else []


def labels(given: dict[str, str] | None, field: str) -> list[FieldError]:
    """Validate labels, whose errors all name the same field."""
    found = []
    for key, value in (given or {}).items():
        found += each_message(field, key, qualified_name) + each_message(field, value, label_value)
    return found


def label_selector(given: dict[str, Any] | None, field: str) -> list[FieldError]:
    """Validate a label selector of an object, such as that of a Deployment."""
    if given is None:
        return []
    found = labels(given.get("matchLabels"), f"{field}.matchLabels")
    for number, term in enumerate(given.get("matchExpressions") or []):
        place = f"{field}.matchExpressions[{number}]"
        operator, values = term.get("operator", ""), term.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                why = "must be specified when `operator` is 'In' or 'NotIn'"
                found.append(required(f"{place}.values", why))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(forbidden_field(f"{place}.values", why))
        else:
            found.append(invalid_value(f"{place}.operator", operator, "not a valid selector operator"))
        found += each_message(f"{place}.key", term.get("key", ""), qualified_name)
        for index, value in enumerate(values):
            found += each_message(f"{place}.values[{index}]", value, label_value)
    return found


def check_annotations(given: dict[str, str] | None, field: str) -> list[FieldError]:
    """Validate annotations: their keys, and the size of all together."""
    found: list[FieldError] = []
    size = 0
    for key, value in (given or {}).items():
        found += [invalid_value(field, key, words) for words in qualified_name(key.lower())]
        size += len(key.encode()) + len(value.encode())
    return [*found, too_long(field, ANNOTATION_BYTES)] if size > ANNOTATION_BYTES else found


def field_manager(name: str, field: str) -> list[FieldError]:
    """Validate the name of a field manager."""
    found = [too_long(field, MANAGER_BYTES)] if len(name.encode()) > MANAGER_BYTES else []
    position = 0
    for rune in name:
        if not rune.isprintable():
            code = f"U+{ord(rune):04X}"
            found.append(invalid_value(field, name, f"invalid character {code} (at position {position})"))
        position += len(rune.encode())
    return found


def _owners(meta: Object) -> list[FieldError]:
    place = "metadata.ownerReferences"
    found: list[FieldError] = []
    controller = ""
    for owner in meta.get("ownerReferences") or []:
        version = str(owner.get("apiVersion") or "")
        for name, value, words in (
            ("apiVersion", version.rpartition("/")[2], "version must not be empty"),
            ("kind", owner.get("kind"), "kind must not be empty"),
            ("name", owner.get("name"), "name must not be empty"),
            ("uid", owner.get("uid"), "uid must not be empty"),
        ):
            if not value:
                found.append(invalid_value(f"{place}.{name}", owner.get(name) or "", words))
        if (version, owner.get("kind")) == ("v1", "Event"):
            found.append(invalid_value(place, dict(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            named = f"{owner.get('kind')}/{owner.get('name')}"
            if controller:
                why = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {named}"
                )
                found.append(invalid_value(place, meta["ownerReferences"], why))
            controller = controller or named
    return found


def _finalizers(meta: Object) -> list[FieldError]:
    place, given = "metadata.finalizers", meta.get("finalizers") or []
    found: list[FieldError] = []
    for finalizer in given:
        found += each_message(place, finalizer, qualified_name)
    if "orphan" in given and "foregroundDeletion" in given:
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(invalid_value(place, given, why))
    return found


def _own_finalizers(meta: Object) -> list[FieldError]:
    """Validate the finalizers of Kubernetes' own kinds, which need a domain (``validateKubeFinalizerName``)."""
    why = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        invalid_value(f"metadata.finalizers[{number}]", each, why)
        for number, each in enumerate(meta.get("finalizers") or [])
        if "/" not in each and each not in STANDARD_FINALIZERS
    ]


def _managed_fields(meta: Object) -> list[FieldError]:
    found: list[FieldError] = []
    for number, entry in enumerate(meta.get("managedFields") or []):
        place = f"metadata.managedFields[{number}]"
        if entry.get("operation") not in ("Apply", "Update"):
            found.append(invalid_value(f"{place}.operation", entry.get("operation", ""), "must be `Apply` or `Update`"))
        if entry.get("fieldsType") not in (None, "", "FieldsV1"):
            found.append(invalid_value(f"{place}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        found += field_manager(entry.get("manager") or "", f"{place}.manager")
    return found


def object_meta(meta: Object, namespaced: bool, name_rule: Rule, *, own: bool = True) -> list[FieldError]:
    """Validate the metadata of an object (``ValidateObjectMeta``).

    Args:
        meta: The metadata.
        namespaced: Whether the object's kind has namespaces.
        name_rule: The rule for names of the kind.
        own: Whether the kind is one of Kubernetes' own.
    """
    found: list[FieldError] = []
    if meta.get("generateName"):
        found += each_message("metadata.generateName", meta["generateName"], prefix_of(name_rule))
    if not meta.get("name"):
        found.append(required("metadata.name", "name or generateName is required"))
    else:
        found += each_message("metadata.name", meta["name"], name_rule)
    if namespaced:
        found += each_message("metadata.namespace", meta.get("namespace") or "", dns_label)
    found += not_negative("metadata.generation", meta.get("generation"))
    found += labels(meta.get("labels"), "metadata.labels")
    found += check_annotations(meta.get("annotations"), "metadata.annotations")
    found += _owners(meta) + _finalizers(meta) + _managed_fields(meta)
    return found + _own_finalizers(meta) if own else found


def object_meta_update(new: Object, old: Object, *, own: bool = True) -> list[FieldError]:
    """Validate the metadata of a changed object (``ValidateObjectMetaUpdate``).

    Args:
        new: The metadata to store.
        old: The stored metadata.
        own: Whether the kind is one of Kubernetes' own.
    """
    found: list[FieldError] = []
    if old.get("deletionTimestamp"):
        extra = sorted(set(new.get("finalizers") or []) - set(old.get("finalizers") or []))
        if extra:
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers {quoted(extra)}"
            found.append(forbidden_field("metadata.finalizers", why))
    if not new.get("resourceVersion"):
        found.append(invalid_value("metadata.resourceVersion", "", "must be specified for an update"))
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(name) != old.get(name):
            found.append(invalid_value(f"metadata.{name}", new.get(name), IMMUTABLE))
    found += labels(new.get("labels"), "metadata.labels")
    found += check_annotations(new.get("annotations"), "metadata.annotations")
    found += _owners(new) + _managed_fields(new)
    return found + _own_finalizers(new) if own else found
