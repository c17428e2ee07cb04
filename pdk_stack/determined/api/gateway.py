"""Checks a request as the master's gateway does, before any call sees it.

The gateway turns JSON, query, and path into a protobuf message. It refuses what doesn't fit a field's type with 400 and
ignores fields that it doesn't know. Sources: ``runtime/query.go`` and ``runtime/convert.go`` of grpc-gateway 1.16, and
``jsonpb/decode.go`` of golang/protobuf 1.5. After these checks, a call can rely on the types: it gets only known
fields, by their JSON name and without nulls, integers as numbers (64-bit ones as text), and enumerations by name.
"""

from __future__ import annotations

import base64
import binascii
import functools
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pdk_stack.common.go_json import GoJsonError, Spelled, decode, kind_of
from pdk_stack.determined.api.messages import Call, Enum, List, Map, Type, fields_of
from pdk_stack.determined.api.routing import snake
from pdk_stack.determined.errors import invalid

__all__ = ["read_body", "read_query", "read_value"]

_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_GO_FLOATS = {"double": "float64", "float": "float32"}
_FLOAT_MAX = {"double": math.inf, "float": 3.4028235677973366e38}
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
#: What null stands for in a list or a map; a message stands for one without fields.
_ZEROS: dict[str, Any] = {
    **dict.fromkeys(("int32", "uint32", "float", "double"), 0),
    **dict.fromkeys(("int64", "uint64"), "0"),
    **dict.fromkeys(("string", "bytes"), ""),
    "bool": False,
    "ListValue": [],
    "Timestamp": "1970-01-01T00:00:00Z",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)")


class _Wrong(ValueError):
    """A value doesn't fit its type; the message is the gateway's."""


# -- bodies ------------------------------------------------------------------------------------------------------------


def read_body(call: Call | None, data: bytes) -> Any:
    """Decode a body and check it against the call's type.

    Args:
        call: The call; None for one that doesn't pass through the gateway.
        data: The body as sent.

    Returns:
        The body with known fields only; for a call without a type, the JSON value.

    Raises:
        Refusal: The body is not JSON, or a field has the wrong type.
    """
    if call is not None and call.body is None:
        return {}
    if not data.strip():
        # The gateway forgives the decoder's EOF: nothing is the empty message.
        return {} if call is None else _zero(call.body)
    try:
        sent = decode(data)
        if call is None:
            return sent
        try:
            return _value(call.body, sent)
        except _Wrong:
            return _value(call.body, decode(data, spelled=True))
    except (GoJsonError, _Wrong) as error:
        raise invalid(str(error)) from error


def _zero(kind: Type | None) -> Any:
    return "" if kind == "string" else [] if isinstance(kind, List) else {}


def _value(kind: Type | None, sent: Any) -> Any:
    """Check one value of a body.

    Raises:
        _Wrong: It doesn't fit its type.
    """
    if isinstance(kind, List):
        if not isinstance(sent, list):
            raise _mismatch(sent, "[]json.RawMessage")
        return [_element(kind.of, each) for each in sent]
    if isinstance(kind, Map):
        if not isinstance(sent, dict):
            raise _mismatch(sent, "map[string]json.RawMessage")
        return {name: _element(kind.of, each) for name, each in sent.items()}
    if sent is None:
        return _zero(kind)
    if isinstance(kind, Enum):
        return _enum_value(kind, sent)
    check = SCALARS.get(kind or "")
    return check(sent) if check else _message(str(kind), sent)


def _element(kind: Type, sent: Any) -> Any:
    """Check an element of a list or a map, where null stands for the type's zero."""
    if sent is not None or kind == "Value":
        return _value(kind, sent)
    if isinstance(kind, Enum):
        return next(iter(kind.numbers))
    return _ZEROS.get(str(kind), {})


@functools.cache
def _spellings(message: str) -> tuple[tuple[str, str, Type], ...]:
    """Return a message's fields: protobuf name, JSON name, and type."""
    return tuple((snake(name), name, kind) for name, kind in fields_of(message).items())


def _message(name: str, sent: Any) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise _mismatch(sent, "map[string]json.RawMessage")
    found = {}
    for original, shown, kind in _spellings(name):
        value = sent[shown] if shown in sent else sent.get(original)
        if value is not None:
            found[shown] = _value(kind, value)
    return found


def _mismatch(sent: Any, wanted: str) -> _Wrong:
    kind = kind_of(sent)
    if kind == "number" and wanted in (*_RANGES, *_GO_FLOATS.values()):
        kind = f"number {sent.text if isinstance(sent, Spelled) else sent}"
    return _Wrong(f"json: cannot unmarshal {kind} into Go value of type {wanted}")


def _text(sent: Any) -> str:
    if not isinstance(sent, str):
        raise _mismatch(sent, "string")
    return sent


def _flag(sent: Any) -> bool:
    if not isinstance(sent, bool):
        raise _mismatch(sent, "bool")
    return sent


def _unquoted(sent: Any) -> Any:
    """Numbers may be sent as text; return what the text says."""
    if not isinstance(sent, str):
        return sent
    try:
        return decode(sent.encode("utf-8", "replace"), spelled=True, streamed=False)
    except GoJsonError as error:
        raise _Wrong(str(error)) from error


def _integer(kind: str, sent: Any) -> int | str:
    number = _unquoted(sent)
    if number is None:
        number = 0
    low, high = _RANGES[kind]
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise _mismatch(number, kind)
    # JSON has 64-bit integers as text.
    return str(number) if kind.endswith("64") else number


def _float(kind: str, sent: Any) -> float:
    if isinstance(sent, str) and sent in _NOT_FINITE:
        return _NOT_FINITE[sent]
    number = _unquoted(sent)
    if number is None:
        return 0.0
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise _mismatch(number, _GO_FLOATS[kind])
    if abs(number) > _FLOAT_MAX[kind] or math.isinf(number):
        raise _mismatch(number, _GO_FLOATS[kind])
    return number


def _bytes(sent: Any) -> str:
    if not isinstance(sent, str):
        raise _mismatch(sent, "[]uint8")
    # Go's decoder skips line ends.
    text = sent.replace("\r", "").replace("\n", "")
    wrong = re.search(r"[^A-Za-z0-9+/=]", text)
    try:
        if wrong:
            raise _Wrong(f"illegal base64 data at input byte {wrong.start()}")
        base64.b64decode(text, validate=True)
    except binascii.Error:
        at = text.index("=") if "=" in text else len(text) // 4 * 4
        raise _Wrong(f"illegal base64 data at input byte {at}") from None
    return text


def _moment(sent: Any) -> str:
    if not isinstance(sent, str):
        raise _Wrong("bad Timestamp: invalid syntax" if sent is not None else "")
    try:
        if _TIME.fullmatch(sent):
            datetime.fromisoformat(sent.replace("Z", "+00:00"))
            return sent
    except ValueError:
        pass
    layout = "2006-01-02T15:04:05.999999999Z07:00"
    raise _Wrong(f'bad Timestamp: parsing time "{sent}" as "{layout}": cannot parse "{sent}" as "2006"')


def _structure(sent: Any) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise _Wrong(f"bad StructValue: {_mismatch(sent, 'map[string]json.RawMessage')}")
    for name, each in sent.items():
        try:
            _any_value(each)
        except _Wrong as error:
            raise _Wrong(f"bad value in StructValue for key {_go_quoted(name)}: {error}") from error
    return sent


def _values(sent: Any) -> list[Any]:
    if not isinstance(sent, list):
        raise _Wrong(f"bad ListValue: {_mismatch(sent, '[]json.RawMessage')}")
    for each in sent:
        _any_value(each)
    return sent


def _any_value(sent: Any) -> Any:
    """Check the numbers of a free value: they must fit 64-bit floats."""
    if isinstance(sent, dict):
        _structure(sent)
    elif isinstance(sent, list):
        _values(sent)
    elif isinstance(sent, float) and math.isinf(sent):
        raise _Wrong(f'unrecognized type for Value "{sent.text if isinstance(sent, Spelled) else sent}"')
    return sent


def _enum_value(kind: Enum, sent: Any) -> str:
    if isinstance(sent, str):
        if sent not in kind.numbers:
            raise _Wrong(f'unknown value "\\"{sent}\\"" for enum {kind.full_name}')
        return sent
    if isinstance(sent, bool) or not isinstance(sent, int) or not -(2**31) <= sent < 2**31:
        raise _Wrong(f"json: cannot unmarshal {kind_of(sent)} into Go value of type protoreflect.EnumNumber")
    # A number without a name passes the gateway; no call knows it, so it counts as unspecified.
    return next((name for name, number in kind.numbers.items() if number == sent), next(iter(kind.numbers)))


SCALARS: dict[str, Any] = {
    "string": _text,
    "bool": _flag,
    "BoolValue": _flag,
    "bytes": _bytes,
    "Timestamp": _moment,
    "Struct": _structure,
    "ListValue": _values,
    "Value": _any_value,
    **{kind: functools.partial(_integer, kind) for kind in _RANGES},
    **{kind: functools.partial(_float, kind) for kind in _GO_FLOATS},
}


# -- query and path ----------------------------------------------------------------------------------------------------


@functools.cache
def _query_names(call: Call) -> dict[str, str]:
    """Return the JSON name of each query parameter by both of its spellings."""
    return {spelling: name for name in call.query for spelling in (name, snake(name))}


def read_query(call: Call, sent: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Check a query; return its known parameters by their JSON name, and others as sent.

    Raises:
        Refusal: A value doesn't fit its parameter's type.
    """
    names, found = _query_names(call), {}
    for name, values in sent.items():
        known = names.get(name)
        if known is None:
            found[name] = values
            continue
        kind = call.query[known]
        # Of several values for one, the gateway takes the first.
        wanted, each = (values, kind.of) if isinstance(kind, List) else (values[:1], kind)
        try:
            found[known] = [_parsed(each, value) for value in wanted]
        except _Wrong as error:
            raise invalid(str(error)) from error
    return found


def read_value(name: str, kind: Type, text: str) -> Any:
    """Check a value in the path; return a number for an integer, and otherwise text.

    Args:
        name: The value's name in the bindings' path.
        kind: Its type.

    Raises:
        Refusal: The value doesn't fit its type.
    """
    try:
        parsed = _parsed(kind, text)
    except _Wrong as error:
        # The bindings join a message's and its field's names with an underscore: `metrics_trialId`.
        shown = snake(name.replace("_", ".") if re.search("[A-Z]", name) else name)
        raise invalid(f"type mismatch, parameter: {shown}, error: {error}") from error
    return int(parsed) if kind in _RANGES else parsed


def _parsed(kind: Type, text: str) -> str:
    """Check a value sent as text; return it in a normal form.

    Raises:
        _Wrong: It doesn't fit its type.
    """
    if isinstance(kind, Enum):
        if text in kind.numbers:
            return text
        number = _number(text)
        named = next((name for name, each in kind.numbers.items() if each == number), None)
        if named is None:
            raise _Wrong(f"{text} is not a valid {kind.go_name}")
        return named
    if kind in _RANGES:
        return _integer_text(str(kind), text)
    if kind in ("bool", "BoolValue"):
        if text in _TRUE or text in _FALSE:
            return "true" if text in _TRUE else "false"
        raise _Wrong(f"bad BoolValue: {text}" if kind == "BoolValue" else _failed("ParseBool", text, "invalid syntax"))
    if kind in _GO_FLOATS:
        try:
            float(text)
        except ValueError:
            raise _Wrong(_failed("ParseFloat", text, "invalid syntax")) from None
    if kind == "Timestamp" and text != "null":
        return _moment(text)
    return text


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]+", text) else None


#: Integers as Go reads them with base 0.
_FORMS = re.compile(r"[+-]?(?:0[xX]_?[0-9a-fA-F_]+|0[bB]_?[01_]+|0[oO]?_?[0-7_]+|[1-9][0-9_]*|0)")


def _integer_text(kind: str, text: str) -> str:
    function = "ParseUint" if kind.startswith("u") else "ParseInt"
    octal = re.fullmatch(r"([+-]?)0_?([0-7_]+)", text)
    try:
        if not _FORMS.fullmatch(text) or (text[0] in "+-" and function == "ParseUint"):
            raise ValueError
        number = int(f"{octal[1]}0o{octal[2]}" if octal else text, 0)
    except ValueError:
        raise _Wrong(_failed(function, text, "invalid syntax")) from None
    low, high = _RANGES[kind]
    if not low <= number <= high:
        raise _Wrong(_failed(function, text, "value out of range"))
    return str(number)


def _failed(function: str, text: str, why: str) -> str:
    return f"strconv.{function}: parsing {_go_quoted(text)}: {why}"


def _go_quoted(text: str) -> str:
    """Quote a text as Go's ``strconv.Quote`` does."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\x{ord(match[0]):02x}", escaped) + '"'
