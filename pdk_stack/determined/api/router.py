"""Finds what answers a path.

This replaces Starlette's router for three reasons: a known path with an unknown method is a call that the gateway
doesn't have (501, not 405); the gateway has its own rules for slashes and colons; and the route tells whether the call
needs a token before the body is read.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote

from pdk_stack.determined.api.messages import Call, Type, calls
from pdk_stack.determined.api.routing import Route

__all__ = ["GATEWAY", "Directory", "Match", "Value"]

KNOWN_PATHS = 1024
#: The gateway answers everything below it.
GATEWAY = "/api/v1/"


class Entry(Protocol):
    """What a path leads to: a route or a call."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str:
        """The path with ``{names}``."""
        ...


Found = TypeVar("Found", bound=Entry)


def _shape(path: str) -> tuple[str, ...]:
    """Return a path's segments without the names of its values."""
    return tuple("{}" if part.startswith("{") else part for part in path.strip("/").split("/"))


class _Node(Generic[Found]):
    """One path segment: the segments that can follow, and the entries that end here."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Node[Found]] = {}
        self.named: dict[str, _Node[Found]] = {}
        self.entries: dict[str, Found] = {}


class _Router(Generic[Found]):
    """Finds the entry for a path; fixed segments take precedence over named ones."""

    def __init__(self, entries: Iterable[Found]) -> None:
        self._root: _Node[Found] = _Node()
        for each in entries:
            node = self._root
            for part in each.path.strip("/").split("/"):
                following = node.named if part.startswith("{") else node.fixed
                node = following.setdefault(part.strip("{}"), _Node())
            node.entries[each.method] = each

    def find(self, method: str, raw_path: str) -> tuple[Found, list[str]] | None:
        """Return the entry for a path as sent (still quoted), and the path's values."""
        if not raw_path.startswith(GATEWAY):
            parts = [unquote(part) for part in raw_path.strip("/").split("/")]
            return _descend(self._root, method, parts, 0)
        # Source: RemoveTrailingSlash of echo, and ServeHTTP in runtime/mux.go of grpc-gateway: it splits the unquoted
        # path, so no value contains a slash, and takes what follows the last colon for a verb.
        path = unquote(raw_path).removesuffix("/")
        if ":" in path.rpartition("/")[2]:
            return None
        return _descend(self._root, method, path[1:].split("/"), 0)


def _descend(node: _Node[Found], method: str, parts: list[str], depth: int) -> tuple[Found, list[str]] | None:
    if depth == len(parts):
        found = node.entries.get(method)
        return (found, []) if found else None
    part = parts[depth]
    if part in node.fixed and (fixed := _descend(node.fixed[part], method, parts, depth + 1)):
        return fixed
    for following in node.named.values():
        if named := _descend(following, method, parts, depth + 1):
            named[1].insert(0, part)
            return named
    return None


@dataclass(frozen=True)
class Value:
    """A value in a path.

    Attributes:
        name: Its name in the route.
        known_name: Its name in the bindings.
        kind: Its type.
        text: The value as sent, unquoted.
    """

    name: str
    known_name: str
    kind: Type
    text: str


@dataclass(frozen=True)
class Match:
    """What a path leads to.

    Attributes:
        route: The route; None when this master doesn't have the call.
        call: The gateway's call; None outside the gateway.
        values: The path's values.
    """

    route: Route | None
    call: Call | None
    values: tuple[Value, ...] = ()


class Directory:
    """All calls of the gateway, and the routes that answer them.

    Args:
        routes: All routes.
    """

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._calls = _Router(calls())
        self._by_shape = {(each.method, _shape(each.path)): each for each in routes}
        known = {(each.method, _shape(each.path)) for each in calls()}
        self._own = _Router([each for shape, each in self._by_shape.items() if shape not in known])
        # All reports of a trial go to one path.
        self._find = functools.lru_cache(KNOWN_PATHS)(self._search)

    def find(self, method: str, raw_path: str) -> Match | None:
        """Return what a path as sent (still quoted) leads to; None when even the real master doesn't know it."""
        return self._find(method, raw_path)

    def _search(self, method: str, raw_path: str) -> Match | None:
        # A call has its path for itself, also when this master doesn't have it: no other route may answer.
        if found := self._calls.find(method, raw_path):
            call, texts = found
            route = self._by_shape.get((method, _shape(call.path)))
            if route is None:
                return Match(None, call)
            named = zip(_names(route.path), _names(call.path), texts, strict=True)
            return Match(
                route, call, tuple(Value(name, known, call.values[known], text) for name, known, text in named)
            )
        if own := self._own.find(method, raw_path):
            return Match(own[0], None, tuple(map(_own_value, _names(own[0].path), own[1])))
        return None


def _own_value(name: str, text: str) -> Value:
    return Value(name, name, "int32" if name == "key" else "string", text)


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)
