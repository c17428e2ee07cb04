"""Odd values: by an API's types, and by confusing the types of a good object."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

Path = tuple[str | int, ...]

SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, -(2**63), 2**64, 0.5, 1e308, -1e-9),
    *("", "a", "0", "-1", "1Gi", "true", "null", "..", "../../etc/passwd", "a/b", "a b", "%2F", "é\u0000\n", "x" * 300),
    *("2026-13-40T25:61:61Z", "{}", "[]", "'\";--", "\ud7ff\u202e"),
)
CONTAINERS: tuple[Any, ...] = (
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"a": {"b": [1]}},
    [1, "a", None, {}],
    {"name": 1},
)
#: Bodies that are no JSON, or none that an object's type allows.
RAW = (
    *(
        b"",
        b"null",
        b"true",
        b"0",
        b'"x"',
        b"[]",
        b"[null]",
        b"{",
        b"}",
        b"{}x",
        b"\xff\xfe",
        b"\x00",
        b"NaN",
        b"1e999",
    ),
    *(
        b'{"a":NaN}',
        b'{"a":1,"a":2}',
        b"[" * 2000,
        b'{"a":' * 2000,
        b"9" * 5000,
        b"a: &a [*a]",
        b"- b\n- c",
        b"\xef\xbb\xbf{}",
    ),
)


def odd(chance: random.Random) -> Any:
    """Return a value of any type."""
    return copy.deepcopy(chance.choice(SCALARS if chance.random() < 0.7 else CONTAINERS))


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values inside a value, its own first."""
    yield path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from places(each, (*path, key))


def replaced(value: Any, path: Path, change: Callable[[Any], Any], drop: bool = False) -> Any:
    """Return a copy with the value at a path changed, or left out."""
    if not path:
        return change(value)
    result = copy.copy(value)
    if drop and len(path) == 1:
        del result[path[0]]
    else:
        result[path[0]] = replaced(value[path[0]], path[1:], change, drop)
    return result


def confused(chance: random.Random, value: Any, changes: int = 0) -> Any:
    """Return a copy of an object with a few values of other types, left out, doubled or added.

    Args:
        chance: Decides.
        value: A good object.
        changes: How many; one to three by default.
    """
    for _ in range(changes or chance.choice((1, 1, 2, 3))):
        path = chance.choice(list(places(value)))
        kind = chance.random()
        if kind < 0.6 or not path:
            value = replaced(value, path, lambda _: odd(chance))
        elif kind < 0.75:
            value = replaced(value, path, lambda _: None, drop=True)
        elif kind < 0.9:
            value = replaced(value, path, _extended(chance))
        else:
            value = replaced(value, path, lambda found: [found, found])
    return value


def _extended(chance: random.Random) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        if isinstance(found, dict):
            return {**found, str(chance.choice(SCALARS)): odd(chance)}
        return [*found, odd(chance)] if isinstance(found, list) else {"value": found}

    return change


def smaller(value: Any) -> Iterator[Any]:
    """Yield simpler variants of a value: with one part left out, or one scalar made plain."""
    for path in sorted(places(value), key=len):
        if path:
            yield replaced(value, path, lambda _: None, drop=True)
    for path in places(value):
        for plain in (0, "", None):
            found = value
            for key in path:
                found = found[key]
            if isinstance(found, (str, int, float)) and found not in (0, "", plain) and type(found) is type(plain):
                yield replaced(value, path, lambda _, plain=plain: plain)


# -- by a JSON schema -----------------------------------------------------------------------------------------------


def by_schema(chance: random.Random, schema: Any, schemas: dict[str, Any], depth: int = 5) -> Any:
    """Return a value that an OpenAPI schema allows, more or less.

    Args:
        chance: Decides.
        schema: The schema.
        schemas: The document's named schemas.
        depth: How deep it may nest.
    """
    if not isinstance(schema, dict):
        return odd(chance)
    if reference := schema.get("$ref"):
        return by_schema(chance, schemas.get(str(reference).rpartition("/")[2], {}), schemas, depth)
    for word in ("allOf", "anyOf", "oneOf"):
        if schema.get(word):
            return by_schema(chance, chance.choice(schema[word]), schemas, depth)
    if schema.get("enum"):
        return chance.choice(schema["enum"])
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        found = {}
        for name, each in (schema.get("properties") or {}).items():
            if depth > 0 and (name in schema.get("required", ()) or chance.random() < 0.3):
                found[name] = by_schema(chance, each, schemas, depth - 1)
        if isinstance(schema.get("additionalProperties"), dict) and depth > 0:
            found["a"] = by_schema(chance, schema["additionalProperties"], schemas, depth - 1)
        return found
    if kind == "array":
        return [by_schema(chance, schema.get("items"), schemas, depth - 1) for _ in range(chance.choice((0, 1, 2)))]
    plain = {"integer": (0, 1, -1, 2**31, 2**63), "number": (0, 0.5, -1), "boolean": (True, False)}
    strings = ("", "a", "0", "x.y", "1Gi", "2026-01-01T00:00:00Z", "a/b", "x" * 64)
    return chance.choice(plain.get(str(kind), strings))
