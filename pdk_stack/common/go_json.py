"""Reads JSON as Go's ``encoding/json`` does, and refuses it in Go's words.

Source: ``encoding/json/scanner.go``, ``decode.go``, and ``stream.go`` of Go. Go replaces what is not UTF-8 with U+FFFD
instead of refusing it, and a decoder reads one value and leaves what follows it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

__all__ = ["GoJsonError", "Spelled", "decode", "kind_of", "quoted"]

MAX_DEPTH = 10_000
LONGEST_INTEGER = 20
_SPACE = frozenset(b" \t\r\n")
_WORDS = {ord("t"): b"true", ord("f"): b"false", ord("n"): b"null"}
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS = re.compile(rb"[0-9]*")
_HEX = frozenset(b"0123456789abcdefABCDEF")
_ESCAPED = frozenset(b'"\\/bfnrt')
_OPENING = frozenset(b"{[")
_ESCAPES = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}


class GoJsonError(ValueError):
    """The text is not JSON; the message is Go's."""


class Spelled(float):
    """A number that is not an integer, with its spelling."""

    text: str

    def __new__(cls, text: str) -> Spelled:
        made = super().__new__(cls, text)
        made.text = text
        return made


def decode(data: bytes, *, spelled: bool = False, streamed: bool = True) -> Any:
    """Decode the first JSON value of a text.

    Args:
        data: The text; it must not be blank.
        spelled: Whether fractions keep their spelling, for an error message.
        streamed: Whether the reader is a decoder, which ignores what follows the value; otherwise that is an error.

    Raises:
        GoJsonError: The text doesn't start with a JSON value.
    """
    if not spelled:
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError:
            pass
    end = _end_of_value(data, streamed)
    text = data[:end].decode("utf-8", "replace")
    try:
        return _sane(json.loads(text, parse_float=Spelled if spelled else float, parse_int=_whole))
    except RecursionError:
        raise GoJsonError("exceeded max depth") from None


def _whole(text: str) -> int | float:
    """Read an integer; what has more than 64 bits becomes a float, as orjson reads it."""
    if len(text) <= LONGEST_INTEGER and -(2**63) <= (number := int(text)) < 2**64:
        return number
    return Spelled(text)


def quoted(character: int) -> str:
    """Return a byte as Go's errors show it."""
    if character == ord("'"):
        return "'\\''"
    if character in _ESCAPES:
        return f"'{_ESCAPES[character]}'"
    if character < 0x20 or character == 0x7F:
        return f"'\\x{character:02x}'"
    shown = chr(character)
    return f"'{shown}'" if shown.isprintable() else f"'\\u{character:04x}'"


def kind_of(value: Any) -> str:
    """Return what Go's type errors call a decoded value, such as ``string`` or ``number 1.5``."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    return "number"


def _sane(value: Any) -> Any:
    """Replace halves of surrogate pairs, which only an escape can contain."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_sane(each) for each in value]
    if isinstance(value, dict):
        return {_sane(name): _sane(each) for name, each in value.items()}
    return value


def _end_of_value(data: bytes, streamed: bool) -> int:
    """Return the index after the first value."""
    scanner = _Scanner(data, "unexpected EOF" if streamed else "unexpected end of JSON input")
    end = scanner.value()
    if not streamed:
        scanner.skip_space()
        if scanner.at < len(data):
            raise scanner.error("after top-level value")
    return end


class _Scanner:
    """Finds the first fault, at which Go's scanner stops."""

    def __init__(self, data: bytes, at_end: str) -> None:
        self._data, self._at_end = data, at_end
        self.at = 0

    def error(self, where: str) -> GoJsonError:
        """Return the error for the current byte."""
        if self.at >= len(self._data):
            return GoJsonError(self._at_end)
        return GoJsonError(f"invalid character {quoted(self._data[self.at])} {where}")

    def _byte(self) -> int:
        return self._data[self.at] if self.at < len(self._data) else -1

    def skip_space(self) -> int:
        """Skip white space; return the next byte, or -1 at the end."""
        while self.at < len(self._data) and self._data[self.at] in _SPACE:
            self.at += 1
        return self._byte()

    def value(self) -> int:
        """Skip one value; return the index after it."""
        open_ones: list[int] = []
        while True:
            first = self.skip_space()
            if first in _OPENING:
                if len(open_ones) >= MAX_DEPTH:
                    raise GoJsonError("exceeded max depth")
                self.at += 1
                following = self.skip_space()
                if first == ord("{") and following != ord("}"):
                    open_ones.append(first)
                    self._key()
                    continue
                if first == ord("[") and following != ord("]"):
                    open_ones.append(first)
                    continue
                self.at += 1
            else:
                self._scalar(first)
            if self._close(open_ones):
                return self.at

    def _close(self, open_ones: list[int]) -> bool:
        """Close what ends after a value; return whether the outermost value has ended."""
        while open_ones:
            following = self.skip_space()
            is_map = open_ones[-1] == ord("{")
            if following == ord(","):
                self.at += 1
                if is_map:
                    self.skip_space()
                    self._key()
                return False
            if following != ord("}" if is_map else "]"):
                raise self.error("after object key:value pair" if is_map else "after array element")
            self.at += 1
            open_ones.pop()
        return True

    def _key(self) -> None:
        if self._byte() != ord('"'):
            raise self.error("looking for beginning of object key string")
        self._string()
        if self.skip_space() != ord(":"):
            raise self.error("after object key")
        self.at += 1

    def _scalar(self, first: int) -> None:
        if first == ord('"'):
            self._string()
        elif first in _WORDS:
            self._word(_WORDS[first])
        elif first == ord("-") or 48 <= first <= 57:
            self._number()
        else:
            raise self.error("looking for beginning of value")

    def _word(self, word: bytes) -> None:
        for index, wanted in enumerate(word):
            if self._byte() != wanted:
                raise self.error(f"in literal {word.decode()} (expecting {quoted(word[index])})")
            self.at += 1

    def _string(self) -> None:
        self.at += 1
        while True:
            plain = _PLAIN.match(self._data, self.at)
            self.at = plain.end() if plain else self.at
            if self._byte() == ord('"'):
                self.at += 1
                return
            if self._byte() != ord("\\"):
                raise self.error("in string literal")
            self.at += 1
            if self._byte() == ord("u"):
                self.at += 1
                for _ in range(4):
                    if self._byte() not in _HEX:
                        raise self.error("in \\u hexadecimal character escape")
                    self.at += 1
            elif self._byte() not in _ESCAPED:
                raise self.error("in string escape code")
            else:
                self.at += 1

    def _number(self) -> None:
        if self._byte() == ord("-"):
            self.at += 1
        if self._byte() == ord("0"):
            self.at += 1
        else:
            self._digits("in numeric literal")
        if self._byte() == ord("."):
            self.at += 1
            self._digits("after decimal point in numeric literal")
        if self._byte() in (ord("e"), ord("E")):
            self.at += 1
            if self._byte() in (ord("+"), ord("-")):
                self.at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, where: str) -> None:
        found = _DIGITS.match(self._data, self.at)
        if not found or found.end() == self.at:
            raise self.error(where)
        self.at = found.end()
