"""JSON as the server's Go libraries write it, and the words with which they refuse it."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pdk_stack.pachyderm.errors import Fault

M = TypeVar("M", bound=Message)

_UNKNOWN = re.compile(r'has no field named "([^"]*)"')
_WRONG = re.compile(r"Failed to parse (\w+) field")
_VALUE = re.compile(r'\s*:\s*("(?:[^"\\]|\\.)*"|[^\s,\]}]+)')
_ESCAPED_IN_HTML = re.compile("[<>&\u2028\u2029]")
_LITERALS = ("true", "false", "null")
# Go's names of the types of single values.
_KINDS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
}


def compact(content: Any) -> str:
    """Write a value as ``encoding/json`` does: sorted names, and no spaces."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _ESCAPED_IN_HTML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def syntax_error(text: str) -> str:
    """Return how ``encoding/json`` says that a text is no JSON."""
    position = _error_position(text)
    if position >= len(text.rstrip()):
        return "unexpected end of JSON input"
    start = max((text.rfind(separator, 0, position + 1) for separator in " \t\n\r,:[{"), default=-1) + 1
    for literal in _LITERALS:
        if text[start] == literal[0]:
            for offset, expected in enumerate(literal):
                found = text[start + offset : start + offset + 1]
                if not found:
                    return "unexpected end of JSON input"
                if found != expected:
                    return f"invalid character {_quoted(found)} in literal {literal} (expecting {_quoted(expected)})"
    return f"invalid character {_quoted(text[position])} looking for beginning of value"


def _quoted(character: str) -> str:
    return "'\\''" if character == "'" else f"'{character}'"


def _error_position(text: str) -> int:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos
    return 0


def parse_message(text: str, message: M) -> M:
    """Parse a message from JSON, as ``protojson.Unmarshal`` does.

    Args:
        text: The JSON.
        message: The message to fill.

    Returns:
        The message.

    Raises:
        Fault: The text isn't JSON, or isn't such a message.
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        if text.strip() and error.pos >= len(text.rstrip()):
            raise Fault("proto: unexpected EOF") from error
        raise Fault(
            f"proto: syntax error {_place(text, error.pos)}: unexpected token {text[error.pos :][:1]}"
        ) from error
    if not isinstance(content, dict):
        start = len(text) - len(text.lstrip())
        raise Fault(f"proto: syntax error {_place(text, start)}: unexpected token {text[start]}")
    try:
        return json_format.ParseDict(content, message)
    except json_format.ParseError as error:
        raise Fault(f"proto: {_refusal(text, str(error), message)}") from error


def _place(text: str, position: int) -> str:
    before = text[:position]
    return f"(line {before.count(chr(10)) + 1}:{position - (before.rfind(chr(10)) + 1) + 1})"


def _refusal(text: str, words: str, message: Message) -> str:
    """Return ``protojson``'s words for a message that the Python library refuses."""
    unknown = _UNKNOWN.search(words)
    if unknown:
        at = max(text.find(f'"{unknown[1]}"'), 0)
        return f'{_place(text, at)}: unknown field "{unknown[1]}"'
    path = _WRONG.findall(words)
    field = _field(message, path)
    at = max((text.find(f'"{name}"') for name in (field.name, field.json_name)), default=-1) if field else -1
    value = _VALUE.match(text, text.find('"', at + 1) + 1) if at >= 0 else None
    if field is None or value is None:
        return words
    if field.type not in _KINDS or value[1][0] in "[{":
        return f"syntax error {_place(text, value.start(1))}: unexpected token {value[1]}"
    return f"{_place(text, value.start(1))}: invalid value for {_KINDS[field.type]} type: {value[1]}"


def _field(message: Message, path: list[str]) -> FieldDescriptor | None:
    kind, field = message.DESCRIPTOR, None
    for name in path:
        if kind is None:
            return None
        field = next((each for each in kind.fields if name in (each.name, each.json_name)), None)
        kind = field.message_type if field else None
    return field
