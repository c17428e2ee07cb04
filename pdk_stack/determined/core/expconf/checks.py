"""Checks a value against ``rules``, and words each error as the master does.

This is our own code because the master's library (``santhosh-tekuri/jsonschema`` 2) has its own words and stops at a
wrong type, and because the master adds keywords to it (``master/pkg/schemas/extensions``). Of several errors the
master shows those without a cause of their own, sorted (``GetRenderedErrors`` in ``master/pkg/schemas/util.go``).
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
from typing import Any, TypeGuard

from pdk_stack.determined.core.expconf.rules import EXPERIMENT, Rule

__all__ = ["errors_in"]

#: Place in the value, and what is wrong there.
Errors = list[tuple[tuple[str | int, ...], str]]
Path = tuple[str | int, ...]


def errors_in(value: Any, rule: Rule = EXPERIMENT, *, complete: bool = False) -> list[str]:
    """Return a value's errors as ``<config>.path: reason`` lines, sorted; empty when it is valid.

    Args:
        rule: What the value must satisfy; it is the root of the paths.
        complete: Whether the value must also have what may still be absent before defaults are filled in.
    """
    return sorted(f"<config>{_shown(path)}: {text}" for path, text in _errors(value, rule, (), complete))


def _shown(path: Path) -> str:
    if any(isinstance(each, str) and re.search("[/~]", each) for each in path):
        # The master can't follow its own pointer, and shows it.
        parts = (str(each).replace("~", "~0").replace("/", "~1") for each in path)
        return "".join(["#", *(f"/{each}" for each in parts)])
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _is_number(value: Any) -> TypeGuard[float]:
    return _kind(value) == "number"


def _is_kind(value: Any, name: str) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) if name == "integer" else _kind(value) == name


def _same(value: Any, other: Any) -> bool:
    return bool(_kind(value) == _kind(other) and value == other)


def _go(value: Any) -> str:
    """Return a constant as Go's ``%#v`` shows it."""
    return "<nil>" if value is None else json.dumps(value)


def _errors(value: Any, rule: Rule | bool, path: Path, complete: bool) -> Errors:
    """Return the errors of a value that have no cause of their own."""
    if isinstance(rule, bool):
        return [] if rule else [(path, "always fail")]
    if "$ref" in rule:
        return _errors(value, rule["$ref"], path, complete)
    kinds = rule.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if kinds and not any(_is_kind(value, name) for name in kinds):
        return [(path, f"expected {' or '.join(kinds)}, but got {_kind(value)}")]
    found: Errors = []
    for keyword, check in _KEYWORDS.items():
        if keyword in rule:
            found += check(value, rule, path, complete)
    return found


def _fails(value: Any, rule: Rule | bool, complete: bool) -> bool:
    return bool(_errors(value, rule, (), complete))


# -- JSON Schema's keywords --------------------------------------------------------------------------------------------


def _const(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return [] if _same(value, rule["const"]) else [(path, f"value must be {_go(rule['const'])}")]


def _enum(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if any(_same(value, each) for each in rule["enum"]):
        return []
    return [(path, f"value must be one of {', '.join(map(_go, rule['enum']))}")]


def _not(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return [] if _fails(value, rule["not"], complete) else [(path, "not failed")]


def _all_of(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return [error for each in rule["allOf"] for error in _errors(value, each, path, complete)]


def _any_of(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    found = [_errors(value, each, path, complete) for each in rule["anyOf"]]
    return [error for errors in found for error in errors] if all(found) else []


def _one_of(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    found = [_errors(value, each, path, complete) for each in rule["oneOf"]]
    if all(found):
        return [error for errors in found for error in errors]
    return [] if found.count([]) == 1 else [(path, "oneOf failed")]


def _if(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return [] if _fails(value, rule["if"], complete) else _errors(value, rule["then"], path, complete)


def _required(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    missing = [f'"{name}"' for name in rule["required"] if isinstance(value, dict) and name not in value]
    return [(path, f"missing properties: {', '.join(missing)}")] if missing else []


def _properties(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if not isinstance(value, dict):
        return []
    known = rule["properties"]
    return [
        error for name in value if name in known for error in _errors(value[name], known[name], (*path, name), complete)
    ]


def _additional(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    allowed = rule["additionalProperties"]
    if not isinstance(value, dict) or allowed is True:
        return []
    others = [name for name in value if name not in rule.get("properties", {})]
    if allowed is False:
        quoted = ", ".join(f'"{name}"' for name in others)
        return [(path, f"additionalProperties {quoted} not allowed")] if others else []
    return [error for name in others for error in _errors(value[name], allowed, (*path, name), complete)]


def _items(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if not isinstance(value, list):
        return []
    return [
        error for index, each in enumerate(value) for error in _errors(each, rule["items"], (*path, index), complete)
    ]


def _min_length(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if not isinstance(value, str) or len(value) >= rule["minLength"]:
        return []
    return [(path, f"length must be >= {rule['minLength']}, but got {len(value)}")]


def _pattern(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    # Go's $ is the end of the text; Python's also stands before a last line end.
    if not isinstance(value, str) or re.search(re.sub(r"\$$", r"\\Z", rule["pattern"]), value):
        return []
    return [(path, f"does not match pattern {json.dumps(rule['pattern'])}")]


def _bound(keyword: str, sign: str, value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if _kind(value) != "number":
        return []
    bound = rule[keyword]
    fits = {">=": value >= bound, "<=": value <= bound, ">": value > bound}[sign]
    return [] if fits else [(path, f"must be {sign} {bound} but found {_number(value)}")]


def _number(value: float) -> str:
    return json.dumps(value)


# -- the master's keywords ---------------------------------------------------------------------------------------------


def _optional(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return [] if value is None else _errors(value, rule["optionalRef"], path, complete)


def _union(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    """Exactly one form must fit; show the errors of the form that the value seems to mean."""
    shown, fitting = None, 0
    for item in rule["union"]["items"]:
        errors = _errors(value, item, path, complete)
        if not errors:
            fitting += 1
        elif shown is None and _means(item["unionKey"], value):
            shown = errors
    if fitting == 1:
        return []
    return shown or [(path, rule["union"].get("defaultMessage", "union failed to validate"))]


def _means(key: str, value: Any) -> bool:
    """Evaluate a union's key: whether a value means to have the item's form."""
    word, _, rest = key.partition(":")
    if word == "not":
        return not _means(rest, value)
    if word == "const":
        name, _, wanted = rest.partition("=")
        return isinstance(value, dict) and value.get(name) == wanted
    if word == "singleproperty":
        return isinstance(value, dict) and list(value) == [rest]
    if word == "type":
        return isinstance(value, {"array": list, "object": dict}[rest])
    if word == "hasattr":
        return isinstance(value, dict) and rest in value
    return word == "always"


def _checks(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return [(path, message) for message, each in rule["checks"].items() if _fails(value, each, complete)]


def _disallow(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if not isinstance(value, dict):
        return []
    return [(path, message) for name, message in rule["disallowProperties"].items() if name in value]


def _compare(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    pair = rule["compareProperties"]
    if not isinstance(value, dict):
        return []
    first, second = value.get(pair["a"]), value.get(pair["b"])
    if pair["type"] == "a_is_subdir_of_b":
        if not (isinstance(first, str) and isinstance(second, str)):
            return []
        inner, outer = posixpath.normpath(first or "."), posixpath.normpath(second or ".")
        inside = inner.startswith(outer) if inner.startswith("/") else not inner.startswith("..")
        return [] if inside else [(path, f"{pair['a']} must be a subdirectory of {pair['b']}")]
    if not (_is_number(first) and _is_number(second)):
        return []
    fits = first < second if pair["type"] == "a<b" else first <= second
    return [] if fits else [(path, f"{pair['a']} must be less than {pair['b']}")]


def _eventually(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    return _errors(value, rule["eventually"], path, complete) if complete else []


def _eventually_required(value: Any, rule: Rule, path: Path, complete: bool) -> Errors:
    if not complete or not isinstance(value, dict):
        return []
    missing = [name for name in rule["eventuallyRequired"] if value.get(name) is None]
    return [(path, f"{name} is a required property") for name in missing]


_KEYWORDS: dict[str, Any] = {
    "const": _const,
    "enum": _enum,
    "not": _not,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "if": _if,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "minLength": _min_length,
    "pattern": _pattern,
    "minimum": functools.partial(_bound, "minimum", ">="),
    "maximum": functools.partial(_bound, "maximum", "<="),
    "exclusiveMinimum": functools.partial(_bound, "exclusiveMinimum", ">"),
    "optionalRef": _optional,
    "union": _union,
    "checks": _checks,
    "disallowProperties": _disallow,
    "compareProperties": _compare,
    "eventually": _eventually,
    "eventuallyRequired": _eventually_required,
}
