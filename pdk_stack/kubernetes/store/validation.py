"""Validates objects against the schemas of their kinds."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.store.models import Schema


@dataclass
class Findings:
    """The findings of a validation.

    Attributes:
        unknown: Paths of fields that the schema lacks.
        wrong: Paths and messages of values that have the wrong type or aren't allowed.
    """

    unknown: list[str] = field(default_factory=list)
    wrong: list[tuple[str, str]] = field(default_factory=list)


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
    if value is None or schema.get("x-kubernetes-int-or-string"):
        return value
    kind = schema.get("type")
    if kind in TYPES and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        found = GO_NAMES.get(type(value), "unknown")
        findings.wrong.append((path, f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"'))
        return value
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(f'"{each}"' for each in schema["enum"])
        findings.wrong.append((path, f'Unsupported value: "{value}": supported values: {allowed}'))
    for limit, ends in (("minimum", value.__lt__), ("maximum", value.__gt__)) if _is_number(value) else ():
        if limit in schema and ends(schema[limit]) is True:
            word = "greater" if limit == "minimum" else "less"
            text = f"Invalid value: {value}: {path} in body should be {word} than or equal to {schema[limit]}"
            findings.wrong.append((path, text))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [check(items, each, f"{path}[{number}]", findings) for number, each in enumerate(value)]
    if isinstance(value, dict):
        return _check_object(schema, value, path, findings)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _check_object(schema: Schema, value: dict[str, Any], path: str, findings: Findings) -> dict[str, Any]:
    properties: Schema = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    is_open = not properties and not isinstance(others, dict)
    result: dict[str, Any] = {}
    for name, each in value.items():
        inner = f"{path}.{name}" if path else name
        if name in properties:
            result[name] = check(properties[name], each, inner, findings)
        elif isinstance(others, dict):
            result[name] = check(others, each, inner, findings)
        elif is_open or schema.get("x-kubernetes-preserve-unknown-fields") or others is True:
            result[name] = each
        else:
            findings.unknown.append(inner)
    for name, each in properties.items():
        if "default" in each and value.get(name) is None:
            result[name] = copy.deepcopy(each["default"])
    for name in schema.get("required") or []:
        if result.get(name) is None:
            inner = f"{path}.{name}" if path else name
            findings.wrong.append((inner, "Required value"))
    return result
