"""Finds the route of a path.

Our own in place of Starlette's for three things: a path is split as it was sent (a name may hold a quoted slash); one
that is known with another method only is a call that this master does not have (501, not 405); and whether a call needs
a token is known from its route, before its body is read.
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
    """One step of a path: the steps that may follow, and the routes that end here."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.named: dict[str, _Node] = {}
        self.routes: dict[str, Route] = {}


class Router:
    """Finds the route of a path; a fixed segment is preferred to a named one, and ``{key}`` stands for a number.

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

        # A trial's reports all go to one path.
        self._find = functools.lru_cache(KNOWN_PATHS)(self._search)

    def find(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, Any]] | None:
        """The route of a path as it was sent (still quoted), and the path's values."""
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
        # A word where a number belongs is another call, which this master does not have.
        if name == "key" and not part.lstrip("-").isdigit():
            continue
        if named := _descend(following, method, parts, depth + 1):
            named[1][name] = int(part) if name == "key" else unquote(part)
            return named
    return None
