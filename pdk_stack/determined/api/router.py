"""Finds the route for a path.

This replaces Starlette's router for three reasons: it splits the path as sent (a name can contain a quoted slash);
a known path with an unknown method is a call that this master doesn't have (501, not 405); and the route tells whether
the call needs a token before the body is read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from pdk_stack.determined.api.routing import Route

__all__ = ["Router"]

KNOWN_PATHS = 1024


class _Node:
    """One path segment: the segments that can follow, and the routes that end here."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.named: dict[str, _Node] = {}
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route for a path; fixed segments take precedence over named ones, and ``{key}`` matches a number.

    Args:
        routes: All routes.
    """

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._root = _Node()
        for each in routes:
            node = self._root
            for part in each.path.strip("/").split("/"):
                following = node.named if part.startswith("{") else node.fixed
                node = following.setdefault(part.strip("{}"), _Node())
            node.routes[each.method] = each

        # All reports of a trial go to one path.
        self._find = functools.lru_cache(KNOWN_PATHS)(self._search)

    def find(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, Any]] | None:
        """Return the route for a path as sent (still quoted), and the path's values."""
        return self._find(method, raw_path)

    def _search(self, method: str, raw_path: str) -> tuple[Route, dict[str, Any]] | None:
        return _descend(self._root, method, raw_path.strip("/").split("/"), 0)


def _descend(node: _Node, method: str, parts: list[str], depth: int) -> tuple[Route, dict[str, Any]] | None:
    if depth == len(parts):
        found = node.routes.get(method)
        return (found, {}) if found else None
    part = parts[depth]
    if part in node.fixed and (fixed := _descend(node.fixed[part], method, parts, depth + 1)):
        return fixed
    for name, following in node.named.items():
        # A word in place of a number is a different call, which this master doesn't have.
        if name == "key" and not part.lstrip("-").isdigit():
            continue
        if named := _descend(following, method, parts, depth + 1):
            named[1][name] = int(part) if name == "key" else unquote(part)
            return named
    return None
