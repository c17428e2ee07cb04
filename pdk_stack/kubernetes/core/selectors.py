"""Label and field selectors of calls, parsed as by ``k8s.io/apimachinery/pkg/labels`` and ``fields``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pdk_stack.kubernetes.core.validation.syntax import label_value, qualified_name
from pdk_stack.kubernetes.errors import bad_request, invalid_value
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import META_LABELS, Kind

Predicate = Callable[[Object], bool]
Term = Callable[[dict[str, str]], bool]

SYMBOLS = {")", ",", "!", "==", "=", ">", "<", "!=", "("}
TOKEN = re.compile(r"[=!(),><]+|[^=!(),><\s]+")
INTEGER = re.compile("[+-]?[0-9]{1,19}")
END = ""


class SelectorError(ValueError):
    """A selector cannot be parsed; the message says why in Kubernetes' words."""


def _tokens(text: str) -> list[str]:
    """Split a selector; operators are the longest known ones (``scanSpecialSymbol``)."""
    found: list[str] = []
    for part in TOKEN.findall(text):
        if part[0] not in "=!(),><":
            found.append(part)
            continue
        while part:
            length = 2 if part[:2] in SYMBOLS else 1
            found.append(part[:length])
            part = part[length:]
    return [*found, END]


@dataclass
class _Labels:
    """A parser of label selectors.

    Attributes:
        tokens: The tokens; the last one is empty.
        position: The next token's number.
    """

    tokens: list[str]
    position: int = 0

    def _peek(self) -> str:
        return self.tokens[self.position]

    def _next(self) -> str:
        self.position += 1
        return self.tokens[self.position - 1]

    @staticmethod
    def _word(part: str) -> bool:
        return bool(part) and part not in SYMBOLS

    def terms(self) -> list[Term]:
        """Parse all terms."""
        found: list[Term] = []
        while word := self._peek():
            if not self._word(word) and word != "!":
                raise SelectorError(f"found '{word}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._term())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from error
            after = self._next()
            if after == END:
                break
            if after != ",":
                raise SelectorError(f"found '{after}', expected: ',' or 'end of string'")
            if not self._word(self._peek()) and self._peek() != "!":
                raise SelectorError(f"found '{self._peek()}', expected: identifier after ','")
        return found

    def _term(self) -> Term:
        absent = self._peek() == "!"
        if absent:
            self._next()
        key = self._next()
        if not self._word(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        if wrong := qualified_name(key):
            raise SelectorError(str(invalid_value("<nil>", key, "; ".join(wrong))))
        if self._peek() in (END, ","):
            return (lambda labels: key not in labels) if absent else (lambda labels: key in labels)
        operator = self._next()
        if operator in ("in", "notin"):
            values = self._values()
        elif operator in ("=", "==", "!=", ">", "<"):
            values = {self._value()}
        else:
            raise SelectorError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        return _compared(key, operator, values)

    def _value(self) -> str:
        if self._peek() in (END, ","):
            return ""
        value = self._next()
        if not self._word(value):
            raise SelectorError(f"found '{value}', expected: identifier")
        return value

    def _values(self) -> set[str]:
        opening = self._next()
        if opening != "(":
            raise SelectorError(f"found '{opening}' expected: '('")
        if self._peek() == ")":
            self._next()
            return {""}
        if not self._word(self._peek()) and self._peek() != ",":
            raise SelectorError(f"found '{self._peek()}', expected: ',', ')' or identifier")
        found: set[str] = set()
        while True:
            part = self._next()
            if self._word(part):
                found.add(part)
                if self._peek() not in (",", ")"):
                    raise SelectorError(f"found '{self._peek()}', expected: ',' or ')'")
            elif part == ",":
                if not found or self._peek() in (",", ")"):
                    found.add("")
            elif part == ")":
                return found
            else:
                raise SelectorError(f"found '{part}', expected: ',', or identifier")


def _compared(key: str, operator: str, values: set[str]) -> Term:
    wrong = []
    if operator in (">", "<"):
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        wrong = [invalid_value("values[0]", each, why) for each in values if not INTEGER.fullmatch(each)]
    for number, each in enumerate(sorted(values)):
        if broken := label_value(each):
            wrong.append(invalid_value(f"values[{number}][{key}]", each, "; ".join(broken)))
    if wrong:
        texts = [str(each) for each in wrong]
        raise SelectorError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    if operator in (">", "<"):
        limit = int(next(iter(values)))

        def beyond(labels: dict[str, str]) -> bool:
            has = labels.get(key, "")
            return bool(INTEGER.fullmatch(has)) and (int(has) > limit if operator == ">" else int(has) < limit)

        return beyond
    if operator in ("notin", "!="):
        return lambda labels: labels.get(key) not in values
    return lambda labels: labels.get(key) in values


def label_selector(text: str) -> Predicate:
    """Return a predicate for a selector such as ``a=b,c!=d,e in (f,g),h,!i``.

    Raises:
        StatusError: 400 when it cannot be parsed.
    """
    try:
        terms = _Labels(_tokens(text)).terms()
    except SelectorError as error:
        raise bad_request(str(error)) from error
    return lambda obj: all(term(obj["metadata"].get("labels") or {}) for term in terms)


def _split(text: str) -> list[str]:
    """Split a field selector at its commas; a backslash takes the meaning from the next character."""
    return re.findall(r"(?:\\.|[^\\,]|\\$)+", text)


def _unescaped(text: str) -> str:
    for found in re.finditer(r"\\(.?)|([,=])", text):
        if found[2]:
            why = f"invalid field selector: unescaped character in value: {ord(found[2])}"
            raise SelectorError(why)
        if found[1] not in ("\\", ",", "="):
            raise SelectorError(f"invalid field selector: invalid escape sequence: {found[0]}")
    return re.sub(r"\\(.)", r"\1", text)


def field_selector(text: str, kind: Kind) -> Predicate:
    """Return a predicate for ``metadata.name=x,type!=y``.

    Args:
        text: The selector.
        kind: The kind, which says what fields may be selected.

    Raises:
        StatusError: 400 when it cannot be parsed or names another field.
    """
    allowed = (*META_LABELS, *kind.field_labels)
    terms = []
    for part in sorted(_split(text)):
        pieces = re.split("(!=|==?)", part, maxsplit=1)
        if len(pieces) != 3:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = pieces
        try:
            value = _unescaped(value)
        except SelectorError as error:
            raise bad_request(str(error)) from error
        if path not in allowed:
            known = kind.field_labels or kind.custom
            raise bad_request(
                f"field label not supported: {path}"
                if known
                else f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
        terms.append((path.split("."), operator == "!=", value))

    def matches(obj: Object) -> bool:
        for keys, negated, value in terms:
            found: object = obj
            for key in keys:
                found = found.get(key) if isinstance(found, dict) else None
            if (_shown(found) == value) == negated:
                return False
        return True

    return matches


def _shown(value: object) -> str:
    """Format a field's value for a comparison."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):  # the source of an event is selected by its component
        return str(value.get("component", ""))
    return "" if value is None else str(value)
