"""Requests, replies, and the ``route`` decorator for functions that answer calls."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

from pdk_stack.determined.api.views import Views
from pdk_stack.determined.errors import invalid

if TYPE_CHECKING:
    from pdk_stack.determined.core.master import Master
    from pdk_stack.determined.store.documents import Document

__all__ = [
    "LOOK_SECONDS",
    "Bytes",
    "Request",
    "Route",
    "Stream",
    "clipped_bounds",
    "dump",
    "integer",
    "parse_query",
    "route",
    "routes_of",
    "snake",
    "strict_bounds",
]

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
#: How often a waiting call checks whether its client has disconnected.
LOOK_SECONDS = 1.0
KNOWN_NAMES = 1024
#: Items on a page of a clipped list without a limit.
UNSET_LIMIT = 100
_WORD = re.compile(r"(?<=[a-z0-9])([A-Z])")


@functools.lru_cache(KNOWN_NAMES)
def snake(name: str) -> str:
    """Convert ``timeoutSeconds`` to ``timeout_seconds``."""
    return _WORD.sub(lambda match: "_" + match[1].lower(), name)


def integer(name: str, text: str) -> int:
    """Parse an integer from a path or a query.

    Raises:
        Refusal: The value is not an integer.
    """
    try:
        return int(text)
    except ValueError:
        raise invalid(f"type mismatch, parameter: {name}, error: {text!r} is not an integer") from None


def strict_bounds(total: int, offset: int, limit: int) -> tuple[int, int]:
    """Return where a page starts and ends.

    Raises:
        Refusal: It starts outside the list, or the limit is negative.
    """
    start = total + offset if offset < 0 else offset
    if not 0 <= start <= total:
        raise invalid("offset out of bounds")
    if limit < 0:
        # The master's own code fails here: `slice index out of bounds`.
        raise invalid("limit out of bounds")
    return start, total if limit == 0 else min(start + limit, total)


def clipped_bounds(total: int, offset: int, limit: int) -> tuple[int, int]:
    """Return where a page starts and ends; bounds outside the list are moved into it."""
    start = offset if 0 <= offset <= total else total + offset if -total <= offset < 0 else total
    if limit < 0:
        return start, {-1: total, -2: start}.get(limit, start + limit)
    return start, min(start + (limit or UNSET_LIMIT), total)


@dataclass(slots=True)
class Request:
    """An authenticated request.

    Attributes:
        master: The master's parts.
        query: The query string's values.
        body: The JSON body; empty when the request has none.
        user: The caller; None for calls without a token.
        token: The session token; empty for a trial's own calls.
        accept: The content types that the client accepts.
        gone: Returns whether the client has disconnected; a waiting call checks it every :data:`LOOK_SECONDS`.
        streams: Whether a refusal is the stream's first line instead of a plain reply.
    """

    master: Master
    query: dict[str, list[str]]
    body: Any = field(default_factory=dict)
    user: Document | None = None
    token: str = ""
    accept: str = ""
    gone: Callable[[], bool] = lambda: False
    streams: bool = False

    @property
    def me(self) -> Document:
        """The user who makes the call."""
        assert self.user is not None
        return self.user

    @property
    def views(self) -> Views:
        """Views for this request's user."""
        return Views(self.master, self.me)

    def all(self, name: str) -> list[str]:
        """Return all values of a query parameter, in either spelling; commas also separate values."""
        found = self.query.get(name) or self.query.get(snake(name)) or []
        return [value for value in found if value != ""]

    def text(self, name: str, default: str = "") -> str:
        """Return a query parameter as text."""
        return next(iter(self.all(name)), default)

    def number(self, name: str, default: int = 0) -> int:
        """Return a query parameter as an integer.

        Raises:
            Refusal: The parameter is not an integer.
        """
        found = self.text(name)
        return integer(name, found) if found else default

    def flag(self, name: str) -> bool | None:
        """Return a query parameter as a Boolean; None when absent."""
        found = self.text(name).lower()
        return None if not found else found in ("true", "1")

    def get(self, name: str, default: Any = None) -> Any:
        """Return a body field in either spelling; null counts as absent."""
        if not isinstance(self.body, dict):
            return default
        for key in (name, snake(name)):
            if self.body.get(key) is not None:
                return self.body[key]
        return default

    def need(self, name: str) -> Any:
        """Return a required body field.

        Raises:
            Refusal: The field is absent.
        """
        found = self.get(name)
        if found is None:
            raise invalid(f"{snake(name)} is required")
        return found

    def fields(self, *names: str) -> dict[str, Any]:
        """Return the named body fields that are present."""
        return {name: found for name in names if (found := self.get(name)) is not None}

    def page(self, items: list[Any], *, clipped: bool = False, unset: int = 0) -> tuple[list[Any], dict[str, int]]:
        """Return the requested page of a list, and its ``pagination``.

        Args:
            items: The whole list.
            clipped: As lists of experiments, runs and templates do it (``bunutils.Paginate``): bounds outside the list
                are moved into it, no limit means 100, -1 all, and -2 none. All others refuse them (``api.Paginate``).
            unset: The limit of a request without one.

        Raises:
            Refusal: The bounds lie outside the list.
        """
        total, offset, limit = len(items), self.number("offset"), self.number("limit") or unset
        start, end = (clipped_bounds if clipped else strict_bounds)(total, offset, limit)
        bounds = {"offset": offset, "limit": limit, "startIndex": start, "endIndex": end, "total": total}
        return items[start : total if end < start else end], bounds

    def descending(self) -> bool:
        """Return whether the client wants descending order."""
        return self.text("orderBy") == "ORDER_BY_DESC"


@dataclass
class Stream:
    """A reply of many JSON lines; each page is sent as soon as it is available."""

    pages: Iterable[Iterable[dict[str, Any]]]


@dataclass
class Bytes:
    """A binary reply."""

    chunks: Iterable[bytes]
    content_type: str
    filename: str


@dataclass(frozen=True)
class Route:
    """One call: a method, a path with ``{names}``, and its function.

    Attributes:
        open: Whether the call works without a token.
        brief: Whether a call of up to :data:`BRIEF_BYTES` takes a millisecond at most and waits for nothing.
    """

    method: str
    path: str
    function: Callable[..., Any]
    open: bool
    brief: bool


_ROUTES: dict[str, list[Route]] = {}
Function = TypeVar("Function", bound=Callable[..., Any])


#: The largest body of a brief call; inserting that much takes about a millisecond.
BRIEF_BYTES = 64 * 1024


def route(method: str, path: str, *, open: bool = False, brief: bool = False) -> Callable[[Function], Function]:
    """Register a function for a call; it gets the request and the path's values (``{key}`` is a number, others text).

    Args:
        open: Whether the call works without a token.
        brief: Whether a call of up to :data:`BRIEF_BYTES` takes a millisecond at most and waits for nothing.
    """

    def register(function: Function) -> Function:
        _ROUTES.setdefault(function.__module__, []).append(Route(method, path, function, open, brief))
        return function

    return register


def routes_of(*modules: Any) -> list[Route]:
    """Return the routes that the modules registered."""
    return [each for module in modules for each in _ROUTES.get(module.__name__, [])]


def parse_query(text: str) -> dict[str, list[str]]:
    """Parse a query string."""
    return parse_qs(text, keep_blank_values=True)


def dump(value: Any) -> bytes:
    """Serialize JSON; NaN and infinities become the strings that the harness uses."""
    try:
        return _ENCODER.encode(value).encode()
    except ValueError:
        return _ENCODER.encode(_finite(value)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, float) and value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")) and isinstance(value, float):
        return "Infinity" if value > 0 else "-Infinity"
    return value
