"""Pachyderm's glob language (ohmyglob with ``/`` as separator), translated to regular expressions.

``*`` and ``?`` don't cross a slash; ``**`` does. Brackets and braces: ``[a-z]``, ``[!a]``, ``{a,b}``. Extended forms:
``@(a|b)`` one, ``*(…)`` any number, ``+(…)`` one or more, ``?(…)`` at most one, ``!(…)`` none of them. ``join_on``
and ``group_by`` refer to the matches of extended forms and plain brackets as ``$1``, ``$2``, ….

Hand-written, because no maintained library (fnmatch, wcmatch) captures what the parts of a pattern match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree

_META = frozenset("*?[]{}!()@+^\\")
_EXTENDED = frozenset("@*+?!")


class Glob:
    """A compiled glob pattern.

    Args:
        pattern: The pattern; normalized like a path.

    Raises:
        Fault: The pattern is invalid.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = clean_path(pattern)
        try:
            self._regex = re.compile(_Translator(self.pattern).translate(), re.DOTALL)
        except (re.error, IndexError) as error:
            raise Fault(f'error compiling glob pattern "{pattern}": {error}') from error
        self._parts = [part for part in self.pattern.split("/") if part]
        self._deep = "**" in self.pattern or "(" in self.pattern or "{" in self.pattern

    def match(self, path: str) -> re.Match[str] | None:
        """Match a path; a directory's trailing slash is ignored."""
        return self._regex.fullmatch(path.rstrip("/") or "/")

    @property
    def prefix(self) -> str:
        """The longest path without wildcards that all matches begin with."""
        literal: list[str] = []
        for part in self._parts:
            if _META.intersection(part):
                break
            literal.append(part)
        return "/" + "/".join(literal)

    @property
    def depth(self) -> int | None:
        """The number of path components of a match; None if it varies."""
        return None if self._deep else len(self._parts)

    def expand(self, path: str, template: str) -> str:
        """Replace ``$1``, ``${1}``, and so on in a template with the groups that the pattern captures in a path."""
        matched = self.match(path)
        if matched is None:
            return ""
        groups = matched.groups()

        def value(reference: re.Match[str]) -> str:
            number = int(reference[1] or reference[2])
            if number == 0:
                return matched[0]
            return (groups[number - 1] or "") if number <= len(groups) else ""

        return re.sub(r"\$(?:(\d+)|\{(\d+)\})", value, template)


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """Compile a pattern, with caching."""
    return Glob(pattern)


def glob_tree(tree: Tree, pattern: str) -> Iterator[FoundEntry]:
    """Yield a tree's entries that match a pattern, in order."""
    glob = compile_glob(pattern)
    start = tree.find(glob.prefix)
    if start is None:
        return
    if start.is_dir and glob.depth is not None:
        yield from _descend(tree, start, glob, glob.depth)
        return
    for found in tree.walk(start):
        if glob.match(found.path):
            yield found


def _descend(tree: Tree, folder: FoundEntry, glob: Glob, depth: int) -> Iterator[FoundEntry]:
    level = folder.path.rstrip("/").count("/")
    if level == depth:
        if glob.match(folder.path):
            yield folder
        return
    for child in tree.children(folder):
        if level + 1 == depth:
            if glob.match(child.path):
                yield child
        elif child.is_dir:
            yield from _descend(tree, child, glob, depth)


class _Translator:
    """Recursive descent parser for a pattern."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def translate(self) -> str:
        out = self._sequence("")
        if self._at != len(self._text):
            raise IndexError(f"unexpected {self._text[self._at]!r}")
        return out

    def _peek(self, ahead: int = 0) -> str:
        position = self._at + ahead
        return self._text[position] if position < len(self._text) else ""

    def _sequence(self, stops: str) -> str:
        out: list[str] = []
        while self._at < len(self._text):
            character = self._peek()
            if character in stops:
                break
            if character in _EXTENDED and self._peek(1) == "(":
                out.append(self._extended())
                continue
            self._at += 1
            if character == "*":
                if self._peek() == "*":
                    while self._peek() == "*":
                        self._at += 1
                    out.append(".*")
                else:
                    out.append("[^/]*")
            elif character == "?":
                out.append("[^/]")
            elif character == "[":
                out.append(self._set())
            elif character == "{":
                out.append(f"(?:{self._alternatives(',', '}')})")
            elif character == "(":
                out.append(f"({self._alternatives('|', ')')})")
            elif character == "\\":
                out.append(re.escape(self._peek() or "\\"))
                self._at += 1
            else:
                out.append(re.escape(character))
        return "".join(out)

    def _alternatives(self, separator: str, end: str) -> str:
        found = [self._sequence(separator + end)]
        while self._peek() == separator:
            self._at += 1
            found.append(self._sequence(separator + end))
        if self._peek() != end:
            raise IndexError(f"missing {end!r}")
        self._at += 1
        return "|".join(found)

    def _extended(self) -> str:
        kind = self._peek()
        self._at += 2
        inner = self._alternatives("|", ")")
        if kind == "!":
            rest = self._lookahead_end()
            return f"((?!(?:{inner}){rest})[^/]*)"
        quantifier = {"@": "", "*": "*", "+": "+", "?": "?"}[kind]
        return f"((?:{inner}){quantifier})"

    def _lookahead_end(self) -> str:
        """Build the expression that must follow an excluded alternative for it to span the whole path component."""
        remembered = self._at
        rest = _Translator(self._text[remembered:])
        tail = rest._sequence("|),}")
        return f"{_uncaptured(tail)}(?:/|$)" if tail else "(?:/|$)"

    def _set(self) -> str:
        negated = self._peek() in ("!", "^")
        if negated:
            self._at += 1
        end = self._text.index("]", self._at + 1) if "]" in self._text[self._at + 1 :] else -1
        if end < 0:
            raise IndexError("missing ']'")
        body = self._text[self._at : end].replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
        self._at = end + 1
        return f"[^/{body}]" if negated else f"[{body}]"


def _uncaptured(expression: str) -> str:
    """Make an expression's groups non-capturing, so that a lookahead doesn't shift group numbers."""
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", expression)
