"""Validates CustomResourceDefinitions.

Source: ``k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation``.
"""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import object_meta
from pdk_stack.kubernetes.core.validation.syntax import dns_1035_label, dns_subdomain
from pdk_stack.kubernetes.errors import FieldError, invalid_value, not_supported, required
from pdk_stack.kubernetes.store.columns import Object

SCOPES = ("Cluster", "Namespaced")
TYPES = ("array", "boolean", "integer", "number", "object", "string")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
NUMBERS = (
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "multipleOf",
)
SCHEMA = "openAPIV3Schema"


def _name(field: str, text: str, *, mixed_case: bool = False) -> list[FieldError]:
    broken = dns_1035_label(text.lower() if mixed_case else text)
    if not broken:
        return []
    start = "may have mixed case, but should otherwise match: " if mixed_case else ""
    return [invalid_value(field, text, start + ",".join(broken))]


def _names(names: dict[str, Any]) -> list[FieldError]:
    place = "spec.names"
    found = [required(f"{place}.{each}") for each in ("plural", "singular", "kind", "listKind") if not names.get(each)]
    for each in ("plural", "singular"):
        found += _name(f"{place}.{each}", names[each]) if names.get(each) else []
    for each in ("kind", "listKind"):
        found += _name(f"{place}.{each}", names[each], mixed_case=True) if names.get(each) else []
    for each in ("shortNames", "categories"):
        for number, text in enumerate(names.get(each) or []):
            found += _name(f"{place}.{each}[{number}]", text)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        found.append(invalid_value(f"{place}.listKind", names["listKind"], "kind and listKind may not be the same"))
    return found


def _versions(versions: list[dict[str, Any]]) -> list[FieldError]:
    found: list[FieldError] = []
    for number, version in enumerate(versions):
        place = f"spec.versions[{number}]"
        schema = (version.get("schema") or {}).get(SCHEMA)
        if schema is None:
            found.append(required(f"{place}.schema.{SCHEMA}", "schemas are required"))
        found += _name(f"{place}.name", version.get("name") or "")
        if schema is not None:
            if schema.get("type") != "object":
                told = "must be object at the root" if schema.get("type") else "must not be empty at the root"
                found.append(invalid_value(f"{place}.schema.{SCHEMA}.type", schema.get("type", ""), told))
            found += _schema(schema, f"{place}.schema.{SCHEMA}")
        for index, column in enumerate(version.get("additionalPrinterColumns") or []):
            field = f"{place}.additionalPrinterColumns[{index}]"
            found += [required(f"{field}.{each}") for each in ("name", "type", "jsonPath") if not column.get(each)]
            if column.get("type") and column["type"] not in COLUMN_TYPES:
                found.append(not_supported(f"{field}.type", column["type"], COLUMN_TYPES))
    names = [version.get("name") for version in versions]
    if len(set(names)) < len(names):
        found.append(invalid_value("spec.versions", names, "must contain unique version names"))
    if sum(bool(version.get("storage")) for version in versions) != 1:
        why = "must have exactly one version marked as storage version"
        found.append(invalid_value("spec.versions", names, why))
    return found


def _schema(schema: Any, place: str) -> list[FieldError]:
    """Validate the parts of a schema that objects are checked by."""
    if not isinstance(schema, dict):
        return [invalid_value(place, str(schema), "must be an object")]
    found: list[FieldError] = []
    kind = schema.get("type")
    if kind is not None and kind not in TYPES:
        found.append(not_supported(f"{place}.type", kind, TYPES))
    flexible = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not kind and not flexible:
        found.append(required(f"{place}.type", "must not be empty for specified object fields"))
    wanted = (("properties", dict), ("required", list), ("enum", list), ("pattern", str))
    for name, python in wanted:
        if name in schema and not isinstance(schema[name], python):
            found.append(invalid_value(f"{place}.{name}", str(schema[name]), "must have another type"))
            return found
    for name in NUMBERS:
        if name in schema and (isinstance(schema[name], bool) or not isinstance(schema[name], (int, float))):
            found.append(invalid_value(f"{place}.{name}", str(schema[name]), "must be a number"))
    for name, each in (schema.get("properties") or {}).items():
        found += _schema(each, f"{place}.properties[{name}]")
    if "items" in schema:
        found += _schema(schema["items"], f"{place}.items")
    elif kind == "array":
        found.append(required(f"{place}.items", "must be specified"))
    others = schema.get("additionalProperties")
    if others is not None and not isinstance(others, bool):
        found += _schema(others, f"{place}.additionalProperties")
    if schema.get("properties") and others is not None:
        why = "additionalProperties and properties are mutual exclusive"
        found.append(FieldError(f"{place}.additionalProperties", "FieldValueForbidden", f"Forbidden: {why}"))
    return found


def definition(obj: Object) -> list[FieldError]:
    """Validate a definition that has its defaults, with its name."""
    spec = obj.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""

    def named(text: str) -> list[str]:
        wanted = f"{names.get('plural') or ''}.{group}"
        return dns_subdomain(text) + ([] if text == wanted else ['must be spec.names.plural+"."+spec.group'])

    found = object_meta(obj["metadata"], False, named, own=False)
    if not group:
        found.append(required("spec.group"))
    elif broken := dns_subdomain(group):
        found.append(invalid_value("spec.group", group, ",".join(broken)))
    elif "." not in group:
        found.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope")
    if not scope:
        found.append(required("spec.scope"))
    elif scope not in SCOPES:
        found.append(not_supported("spec.scope", scope, SCOPES))
    return found + _versions(spec.get("versions") or []) + _names(names)


def definition_update(new: Object, old: Object) -> list[FieldError]:
    """Validate what an update changes of a definition: its objects stay where they are."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    pairs = [
        ("spec.group", after.get("group"), before.get("group")),
        ("spec.scope", after.get("scope"), before.get("scope")),
    ]
    for name in ("kind", "plural"):
        given, had = ((spec.get("names") or {}).get(name) for spec in (after, before))
        pairs.append((f"spec.names.{name}", given, had))
    return [invalid_value(field, given, "field is immutable") for field, given, had in pairs if given != had]


def fill_in_definition(obj: Object) -> None:
    """Add what a definition leaves out, in place (``apiextensions/v1/defaults.go``)."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if names.get("kind"):
        names["singular"] = names.get("singular") or names["kind"].lower()
        names["listKind"] = names.get("listKind") or f"{names['kind']}List"
    spec.setdefault("conversion", {"strategy": "None"})


def without_effect(definition: Object) -> list[str]:
    """Return warnings about what a definition asks for that is not done here."""
    told, spec = [], definition["spec"]
    if "'x-kubernetes-validations'" in repr(spec):
        told.append("x-kubernetes-validations: the embedded cluster evaluates no CEL rules")
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        told.append("spec.conversion: the embedded cluster calls no webhooks; versions differ only in their names")
    if any("scale" in (version.get("subresources") or {}) for version in spec["versions"]):
        told.append("spec.versions: the embedded cluster has no scale subresource")
    return told
