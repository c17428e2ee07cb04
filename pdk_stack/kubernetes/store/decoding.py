"""Reads objects as Kubernetes' own decoder does: by the Go types of their fields.

Values of a wrong type are refused in the words of Go's ``encoding/json``. Fields that a type lacks and keys that occur
twice are collected, because the caller decides what they mean (``sigs.k8s.io/json``, ``UnmarshalStrict``).
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn

from pdk_stack.kubernetes.store.models import Schema
from pdk_stack.kubernetes.store.quantities import amount

INT_BITS = {"int64": 63}
# A lone half of a surrogate pair, which JSON can escape and UTF-8 can't encode; Go replaces it.
LONE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
BASE64_DIGIT = re.compile("[A-Za-z0-9+/]")
BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
RFC_3339 = "2006-01-02T15:04:05Z07:00"


class DecodeError(ValueError):
    """The object cannot be read; the message says why in Go's words."""


class TwiceMembers(dict[str, Any]):
    """A JSON object in which keys occur twice; the last value counts.

    Attributes:
        twice: Those keys.
    """

    twice: list[str]


@dataclass
class Strict:
    """What strict decoding objects to, in the order of the object.

    Attributes:
        errors: Unknown fields and keys that occur twice.
    """

    errors: list[str] = field(default_factory=list)

    def unknown(self, path: str) -> None:
        """Note a field that the type lacks."""
        self.errors.append(f"unknown field {json.dumps(path, ensure_ascii=False)}")

    def twice(self, path: str) -> None:
        """Note a key that occurs twice."""
        self.errors.append(f"duplicate field {json.dumps(path, ensure_ascii=False)}")


# -- JSON ---------------------------------------------------------------------------------------------------------


def parse(raw: bytes) -> Any:
    """Parse JSON.

    Raises:
        DecodeError: It isn't JSON, in the words of Go's parser.
    """
    text = raw.decode("utf-8", "replace")
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise DecodeError(_syntax_error(error)) from error
    except RecursionError as error:
        raise DecodeError("exceeded max depth") from error
    except DecodeError:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise DecodeError(f"invalid number: {error}") from error
    return _whole(value) if "\\ud" in text or "\\uD" in text else value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen: set[str] = set()
    twice = TwiceMembers(found)
    twice.twice = [key for key, _ in pairs if key in seen or seen.add(key)]  # type: ignore[func-returns-value]
    return twice


def _no_constant(name: str) -> NoReturn:
    raise DecodeError(f"invalid character {name[0]!r} looking for beginning of value")


def _whole(value: Any) -> Any:
    """Replace lone surrogates in all texts, in place where possible."""
    if isinstance(value, str):
        return LONE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        whole = {LONE.sub(REPLACEMENT, key): _whole(each) for key, each in value.items()}
        value.clear()
        value.update(whole)
    return value


def _syntax_error(error: json.JSONDecodeError) -> str:
    """Say what Go's parser says where Python's stops."""
    rest = error.doc[error.pos :].lstrip(" \t\r\n") if not error.msg.startswith("Invalid") else error.doc[error.pos :]
    if not rest or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    before = error.doc[: error.pos].rstrip()
    where = {
        "Expecting property name": "looking for beginning of object key string",
        "Expecting ':'": "after object key",
        "Extra data": "after top-level value",
        "Invalid control": "in string literal",
        "Invalid \\escape": "in string escape code",
    }
    place = next((words for start, words in where.items() if error.msg.startswith(start)), "")
    if error.msg.startswith("Expecting ','"):
        place = "after array element" if _in_list(before) else "after object key:value pair"
    return f"invalid character {_go_rune(rest[0])} {place or 'looking for beginning of value'}"


def _in_list(text: str) -> bool:
    """Return whether a text that breaks off does so inside a list."""
    depth = []
    for found in re.finditer(r'"(?:\\.|[^"\\])*"|[\[\]{}]', text):
        if found[0] in "[{":
            depth.append(found[0])
        elif found[0] in "]}" and depth:
            depth.pop()
    return bool(depth) and depth[-1] == "["


def _go_rune(rune: str) -> str:
    escapes = {"'": "'\\''", '"': "'\"'", "\n": "'\\n'", "\t": "'\\t'", "\r": "'\\r'"}
    return escapes.get(rune) or (f"'{rune}'" if rune.isprintable() else f"'\\x{ord(rune):02x}'")


# -- typed values -------------------------------------------------------------------------------------------------


def type_name(value: Any) -> str:
    """Return a value's JSON type as Go names it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def go_type(schema: Schema) -> str:
    """Return the Go type that a schema stands for."""
    kind, named = schema.get("type"), schema.get("x-go-type", "")
    if schema.get("format") == "byte":
        return "[]uint8"
    if kind == "array":
        return f"[]{go_type(schema.get('items') or {})}"
    if kind == "object" and not named:
        return f"map[string]{go_type(schema.get('additionalProperties') or {})}"
    if named:
        return f"v1.{named}"
    return {"boolean": "bool", "integer": schema.get("format", "int32"), "number": "float64"}.get(str(kind), "string")


class _Reader:
    """Reads one object; the first wrong value counts, as Go's decoder keeps only that error."""

    def __init__(self, strict: Strict) -> None:
        self.strict = strict
        self.error = ""

    def _wrong(self, found: str, schema: Schema, owner: str, fields: tuple[str, ...]) -> None:
        place = f"Go struct field {owner}.{'.'.join(fields)} of type" if fields else "Go value of type"
        self.error = self.error or f"json: cannot unmarshal {found} into {place} {go_type(schema)}"

    def read(self, schema: Schema, value: Any, owner: str, fields: tuple[str, ...], path: str) -> Any:
        """Return a value as its type holds it.

        Args:
            schema: The value's schema.
            value: The value; not None.
            owner: The innermost Go struct around it.
            fields: Names of the fields on the way to it.
            path: The same with the positions in lists and keys of maps.
        """
        named = schema.get("x-go-type")
        if named == "Quantity":
            return self._quantity(value)
        if named == "IntOrString":
            if isinstance(value, str) or (type_name(value) == "number" and isinstance(value, int)):
                return value
            self.error = self.error or f"json: cannot unmarshal {type_name(value)} into Go value of type int32"
            return 0
        if schema.get("x-kubernetes-preserve-unknown-fields") and "type" not in schema:
            return value
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, value, owner, fields, path)
        if kind == "array":
            if not isinstance(value, list):
                self._wrong(type_name(value), schema, owner, fields)
                return []
            items = schema.get("items") or {}
            return [
                _zero(items) if each is None else self.read(items, each, owner, fields, f"{path}[{number}]")
                for number, each in enumerate(value)
            ]
        return self._scalar(schema, value, owner, fields)

    def _quantity(self, value: Any) -> Any:
        try:
            if not isinstance(value, (str, int, float)):
                raise ValueError("quantities must be texts or numbers")
            amount(value)
        except ValueError as error:
            self.error = self.error or str(error)
        return value if isinstance(value, str) else str(value)

    def _scalar(self, schema: Schema, value: Any, owner: str, fields: tuple[str, ...]) -> Any:
        kind, found = schema.get("type"), type_name(value)
        wanted = {"integer": "number", "number": "number", "boolean": "bool"}.get(str(kind), "string")
        if schema.get("format") == "date-time":
            if found != "string":
                self.error = self.error or f"json: cannot unmarshal {found} into Go value of type string"
            elif not _is_time(value):
                shown = json.dumps(value, ensure_ascii=False)
                self.error = self.error or f'parsing time {shown} as "{RFC_3339}": cannot parse {shown} as "2006"'
            return value
        if found != wanted:
            self._wrong(found, schema, owner, fields)
            return value
        if kind == "integer":
            limit = 1 << INT_BITS.get(schema.get("format", ""), 31)
            if isinstance(value, float) or not -limit <= value < limit:
                self._wrong(f"number {json.dumps(value)}", {"type": "integer", **schema}, owner, fields)
        if schema.get("format") == "byte":
            return self._bytes(value)
        return value

    def _bytes(self, text: str) -> str:
        try:
            return base64.b64encode(go_base64(text)).decode()
        except DecodeError as error:
            self.error = self.error or str(error)
            return ""

    def _object(self, schema: Schema, value: Any, owner: str, fields: tuple[str, ...], path: str) -> Any:
        if not isinstance(value, dict):
            self._wrong(type_name(value), schema, owner, fields)
            return {}
        if isinstance(value, TwiceMembers):
            for key in value.twice:
                self.strict.twice(_join(path, key))
        properties, struct = schema.get("properties"), schema.get("x-go-type")
        result: dict[str, Any] = {}
        if properties is None or not struct:
            inner = schema.get("additionalProperties")
            if not isinstance(inner, dict):
                return dict(value)
            for key, each in value.items():
                result[key] = _zero(inner) if each is None else self.read(inner, each, owner, fields, _join(path, key))
            return result
        for name, each in value.items():
            known = properties.get(name)
            if known is None:
                self.strict.unknown(_join(path, name))
            elif each is not None:
                result[name] = self.read(known, each, struct, (*fields, name), _join(path, name))
        return result


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _zero(schema: Schema) -> Any:
    """Return what Go makes of a null in a list or map."""
    kind = schema.get("type")
    return {"object": {}, "array": [], "boolean": False, "integer": 0, "number": 0}.get(str(kind), "")


def _is_time(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text):
        return False
    try:
        datetime.fromisoformat(text[:19])
    except ValueError:
        return False
    return True


def go_base64(text: str) -> bytes:
    """Decode base64 as Go's ``base64.StdEncoding`` does: line breaks don't count, anything else does.

    Raises:
        DecodeError: It isn't base64; the message names the byte.
    """
    plain = text.replace("\r", "").replace("\n", "")
    if BASE64.fullmatch(plain):
        return base64.b64decode(plain)
    raise DecodeError(f"illegal base64 data at input byte {_first_wrong(text)}")


def _first_wrong(text: str) -> int:
    """Return the position that Go names, which for a missing end is the start of the last group (decodeQuantum)."""
    group = 0
    for position, each in enumerate(text):
        if each in "\r\n":
            continue
        if BASE64_DIGIT.fullmatch(each):
            group = (group + 1) % 4
            continue
        if each != "=" or group < 2:
            return position
        rest = text[position + 1 :].lstrip("\r\n")
        if group == 3:
            return len(text) - len(rest)
        if not rest:
            return len(text)
        return len(text) - len(rest[1:].lstrip("\r\n")) if rest[0] == "=" else len(text) - len(rest) - 1
    return len(text) - group


def decode(schema: Schema, value: Any, strict: Strict, path: str = "") -> dict[str, Any]:
    """Return an object as its Go type holds it, without nulls and fields that the type lacks.

    Args:
        schema: The object's schema, with the Go types of its parts (``x-go-type``).
        value: The object.
        strict: Collects what strict decoding objects to.
        path: Where the object lies in a larger one.

    Raises:
        DecodeError: A value has the wrong type.
    """
    reader = _Reader(strict)
    try:
        result: dict[str, Any] = reader.read(schema, value, "", (), path)
    except RecursionError as error:
        raise DecodeError("exceeded max depth") from error
    if reader.error:
        raise DecodeError(reader.error)
    return result
