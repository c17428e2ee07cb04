"""Validates custom objects against the schemas of their kinds.

Sources: structural schemas of ``k8s.io/apiextensions-apiserver``, and the validation of ``k8s.io/kube-openapi``.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.errors import FieldError, invalid_value, not_supported, required
from pdk_stack.kubernetes.store.models import Schema


@dataclass
class Findings:
    """The findings of a validation.

    Attributes:
        unknown: Paths of fields that the schema lacks.
        wrong: Values that have the wrong type or aren't allowed.
    """

    unknown: list[str] = field(default_factory=list)
    wrong: list[FieldError] = field(default_factory=list)


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
GO_NAMES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}


def check(schema: Schema, value: Any, path: str, findings: Findings) -> Any:
    """Check a value and return it without the fields that the schema lacks.

    Args:
        schema: An OpenAPI schema in CustomResourceDefinition form.
        value: The value.
        path: The value's path, for the findings.
        findings: Collects the errors.
    """
    if value is None:
        return value
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, (int, str)) or isinstance(value, bool):
            _mistyped(path, value, "integer,string", findings)
        return value
    kind = schema.get("type")
    if kind in TYPES and not _has_type(value, kind):
        _mistyped(path, value, kind, findings)
        return value
    findings.wrong += _value_errors(schema, value, path)
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [check(items, each, f"{path}[{number}]", findings) for number, each in enumerate(value)]
    if isinstance(value, dict):
        return _check_object(schema, value, path, findings)
    return value


def _has_type(value: Any, kind: str) -> bool:
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[kind]) and (not isinstance(value, bool) or kind == "boolean")


def _mistyped(path: str, value: Any, kind: str, findings: Findings) -> None:
    found = GO_NAMES.get(type(value), "unknown")
    text = f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'
    findings.wrong.append(FieldError(path, "FieldValueTypeInvalid", text))


def _value_errors(schema: Schema, value: Any, path: str) -> list[FieldError]:
    """Return what is wrong with a value of the right type."""
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(not_supported(path, value, map(str, schema["enum"])))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        found += _number_errors(schema, value, path)
    if isinstance(value, str):
        found += _text_errors(schema, value, path)
    sizes = (("minItems", "maxItems", list), ("minProperties", "maxProperties", dict))
    for least, most, kind in sizes:
        if isinstance(value, kind):
            if least in schema and len(value) < schema[least]:
                found.append(
                    invalid_value(path, len(value), f"{path} in body should have at least {schema[least]} items")
                )
            if most in schema and len(value) > schema[most]:
                text = f"Too many: {len(value)}: must have at most {schema[most]} items"
                found.append(FieldError(path, "FieldValueTooMany", text))
    return found


def _number_errors(schema: Schema, value: float, path: str) -> list[FieldError]:
    found = []
    for limit, exclusive, word, beyond in (
        ("minimum", "exclusiveMinimum", "greater", lambda least: value < least),
        ("maximum", "exclusiveMaximum", "less", lambda most: value > most),
    ):
        if limit in schema:
            strict = schema.get(exclusive) is True
            if beyond(schema[limit]) or (strict and value == schema[limit]):
                than = f"{word} than" if strict else f"{word} than or equal to"
                found.append(invalid_value(path, value, f"{path} in body should be {than} {schema[limit]}"))
    step = schema.get("multipleOf")
    if step and value % step:
        found.append(invalid_value(path, value, f"{path} in body should be a multiple of {step}"))
    return found


def _text_errors(schema: Schema, value: str, path: str) -> list[FieldError]:
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        text = f"Too long: may not be longer than {schema['maxLength']}"
        return [FieldError(path, "FieldValueTooLong", text)]
    if "minLength" in schema and len(value) < schema["minLength"]:
        return [invalid_value(path, value, f"{path} in body should be at least {schema['minLength']} chars long")]
    pattern = schema.get("pattern")
    if pattern and not _matches(pattern, value):
        return [invalid_value(path, value, f"{path} in body should match '{pattern}'")]
    return []


def _matches(pattern: str, value: str) -> bool:
    try:
        return bool(re.search(pattern, value))
    except re.error:  # Go's syntax has what Python's lacks; the pattern then checks nothing
        return True


def _check_object(schema: Schema, value: dict[str, Any], path: str, findings: Findings) -> dict[str, Any]:
    properties: Schema = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    is_open = not properties and not isinstance(others, dict)
    result: dict[str, Any] = {}
    for name in sorted(value):
        each, inner = value[name], f"{path}.{name}" if path else name
        if name in properties:
            # A null stands for nothing where the schema doesn't allow it (``PruneNonNullableDefaults``).
            if each is not None or properties[name].get("nullable"):
                result[name] = check(properties[name], each, inner, findings)
        elif isinstance(others, dict):
            result[name] = check(others, each, inner, findings)
        elif is_open or schema.get("x-kubernetes-preserve-unknown-fields") or others is True:
            result[name] = each
        else:
            findings.unknown.append(inner)
    for name, each in properties.items():
        if "default" in each and result.get(name) is None:
            result[name] = copy.deepcopy(each["default"])
    for name in schema.get("required") or []:
        if result.get(name) is None:
            findings.wrong.append(required(f"{path}.{name}" if path else name))
    return result
