"""Pachyderm's glob language (ohmyglob with ``/`` as separator), translated to regular expressions.

``*`` and ``?`` don't cross a slash; ``**`` does. Brackets and braces: ``[a-z]``, ``[!a]``, ``{a,b}``. Extended forms:
``@(a|b)`` one, ``*(…)`` any number, ``+(…)`` one or more, ``?(…)`` at most one, ``!(…)`` none of them. ``join_on``
and ``group_by`` refer to the matches of extended forms and plain brackets as ``$1``, ``$2``, ….

Hand-written, because no maintained library (fnmatch, wcmatch) captures what the parts of a pattern match. It reads a
pattern as the server's library does, oddities included: a brace or parenthesis that isn't closed ends with the pattern,
``[!a]`` also matches a slash, and in front of more text ``!(a)`` excludes everything that begins with ``a``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree

# `globRegex` of the server's `paths.go`: what comes before the first of these is a literal prefix.
_SPECIAL = re.compile(r"[*?\[\]{}!()@+^]")
_QUOTED = re.compile(r"[\\.+*?()|\[\]{}^$&~#]")
_ANY, _ANY_DEEP, _ONE = "[^/]*", ".*", "[^/]"
# What ends text: in general; also where an extended form could begin; inside braces; inside parentheses.
_BASIC = frozenset("?*[{(")
_EXTENDED = _BASIC | frozenset("@!^+")
_IN_BRACES = _EXTENDED | frozenset("},")
_IN_PARENTHESES = _EXTENDED | frozenset(")|")
_CLASSES = {
    ":alnum:": "0-9A-Za-z",
    ":alpha:": "A-Za-z",
    ":ascii:": "\x00-\x7f",
    ":blank:": "\t ",
    ":cntrl:": "\x00-\x1f\x7f",
    ":digit:": "0-9",
    ":graph:": "!-~]",
    ":lower:": "a-z",
    ":print:": " -~",
    ":punct:": "!-/:-@[-`{-~",
    ":space:": "\t\n\v\f\r ",
    ":upper:": "A-Z",
    ":word:": "0-9A-Za-z_",
    ":xdigit:": "0-9A-Fa-f",
}
# Not characters of a pattern: where an exclusion ends, and what limits it.
_END, _LIMIT = "\uffff", "\ufffe"


class InvalidGlob(Fault):
    """A pattern that can't be compiled."""


class Glob:
    """A compiled glob pattern.

    Args:
        pattern: The pattern; normalized like a path.

    Raises:
        InvalidGlob: The pattern is invalid.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = clean_path(pattern)
        translated = _Translator(self.pattern)
        text = translated.translate()
        try:
            self._regex = re.compile(text)
        except (re.error, OverflowError) as error:
            raise InvalidGlob(f"error parsing regexp: {error} in `{text}`") from error
        special = _SPECIAL.search(self.pattern)
        self._literal = self.pattern[: special.start()] if special else self.pattern
        self._parts = self.pattern.count("/") if self.pattern != "/" else 0
        self._deep = translated.crosses or any(character in self.pattern for character in "({")

    def match(self, path: str) -> re.Match[str] | None:
        """Match a path; a directory's trailing slash is ignored."""
        if path == "/":
            return self._regex.fullmatch("/") if self.pattern == "/" else None
        # The server looks only at paths with the literal prefix, in which a backslash is a character like others.
        return self._regex.fullmatch(path.rstrip("/")) if path.startswith(self._literal) else None

    @property
    def prefix(self) -> str:
        """The longest directory or file path without wildcards that all matches begin with."""
        if self._literal == self.pattern:
            return self.pattern
        return self._literal.rpartition("/")[0] or "/"

    @property
    def depth(self) -> int | None:
        """The number of path components of a match; None if it varies."""
        return None if self._deep else self._parts

    def expand(self, path: str, template: str) -> str:
        """Replace ``$1``, ``${1}``, and so on in a template with the groups that the pattern captures in a path."""
        matched = self._regex.fullmatch(path.rstrip("/") or "/")
        if matched is None:
            return ""
        groups = [matched[0], *matched.groups()]

        def value(reference: re.Match[str]) -> str:
            digits = reference[1] or reference[2]
            if digits is None:
                return "$"
            number = int(digits) if len(digits) < 9 else len(groups)
            return (groups[number] or "") if number < len(groups) else ""

        return re.sub(r"\$(?:\$|([0-9]+)|\{([0-9]+)\})", value, template)


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """Compile a pattern, with caching."""
    return Glob(pattern)


def glob_tree(tree: Tree, pattern: str) -> Iterator[FoundEntry]:
    """Yield a tree's entries that match a pattern, in order."""
    glob = compile_glob(pattern)
    starts = [tree.find(glob.prefix)]
    if starts[0] is not None and not starts[0].is_dir:
        # A commit can hold a file and a directory of one name: the server compares only neighbors.
        starts.append(tree.find(f"{glob.prefix}/"))
    for start in filter(None, starts):
        if start.is_dir and glob.depth is not None:
            yield from _descend(tree, start, glob, glob.depth)
        else:
            yield from (found for found in tree.walk(start) if glob.match(found.path))


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


class _Group:
    """Braces or parentheses, or the whole pattern.

    Attributes:
        kind: ``{``, the character before the parenthesis, or empty for the pattern.
        choices: The regular expressions of the alternatives; the last one is being read.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.choices: list[list[str]] = [[]]

    def add(self, expression: str) -> None:
        """Append to the current alternative."""
        self.choices[-1].append(expression)

    def expression(self) -> str:
        """Return the group's regular expression.

        Raises:
            InvalidGlob: The character before the parenthesis has no meaning.
        """
        choices = ["".join(each) for each in self.choices]
        if self.kind == "!":
            return f"((?:(?!(?:{f'{_END}|'.join(choices)}{_END})){_ANY}))"
        inner = "|".join(choices)
        if self.kind == "{":
            return f"(?:{inner})"
        if self.kind == "@":
            return f"({inner})"
        if self.kind in "*?+":
            return f"((?:{inner}){self.kind})"
        raise InvalidGlob(f"unimplemented quatifier {self.kind}")


class _Translator:
    """Translates a pattern to a regular expression for whole paths.

    Args:
        text: The pattern.

    Attributes:
        crosses: Whether parts of a match can cross slashes.
    """

    def __init__(self, text: str) -> None:
        # For the server's library, a pattern ends at a null character.
        self._text = text.partition("\0")[0]
        self._at = 0
        self._groups = [_Group("")]
        self.crosses = False

    def translate(self) -> str:
        """Return the regular expression.

        Raises:
            InvalidGlob: The pattern is invalid.
        """
        braces = parentheses = 0
        while self._at < len(self._text):
            character, following = self._text[self._at], self._text[self._at + 1 : self._at + 2]
            if character in "@!^+*?" and following == "(":
                self._open(character, 2)
                parentheses += 1
            elif character == "(":
                self._open("@", 1)
                parentheses += 1
            elif character == "{":
                self._open("{", 1)
                braces += 1
            elif (character == "," and braces) or (character == "|" and parentheses):
                self._at += 1
                self._groups[-1].choices.append([])
            elif character == "}" and braces:
                braces -= 1
                self._close()
            elif character == ")" and parentheses:
                parentheses -= 1
                self._close()
            elif character == "[":
                self._at += 1
                self._add(self._set())
            elif character == "?":
                self._at += 1
                self._add(_ONE)
            elif character == "*":
                self._star()
            elif character in "@!^+":
                self._add(self._words(_BASIC))
            else:
                self._add(self._words(_IN_BRACES if braces else _IN_PARENTHESES if parentheses else _EXTENDED))
        while len(self._groups) > 1:
            self._close(0)
        found = "".join(self._groups[0].choices[0])
        end = found.find(f"{_END})")
        if end > 0:
            found = found.replace(_END, "" if _LIMIT in found[end:] else "$")
        return found.replace(_LIMIT, "")

    def _add(self, expression: str) -> None:
        self._groups[-1].add(expression)

    def _open(self, kind: str, width: int) -> None:
        self._at += width
        self._groups.append(_Group(kind))

    def _close(self, width: int = 1) -> None:
        self._at += width
        closed = self._groups.pop()
        self._add(closed.expression())

    def _star(self) -> None:
        self._at += 1
        # The second star of `**(` belongs to an extended form.
        if self._text.startswith("*", self._at) and not self._text.startswith("*(", self._at):
            self._at += 1
            self.crosses = True
            self._add(_ANY_DEEP + _LIMIT)
        else:
            self._add(_ANY + _LIMIT)

    def _words(self, ends: frozenset[str]) -> str:
        """Read text up to a special character; a backslash takes the meaning from the next one."""
        found: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in ends:
                break
            self._at += 1
            if character == "\\":
                character = self._text[self._at : self._at + 1]
                self._at += 1
            found.append(_QUOTED.sub(r"\\\g<0>", character))
        return "".join(found) + _LIMIT if any(found) else ""

    def _set(self) -> str:
        found: list[str] = []
        negated = named = False
        while True:
            if self._at >= len(self._text):
                raise InvalidGlob("unexpected end of input")
            character = self._text[self._at]
            self._at += 1
            if character == "\\":
                character = self._text[self._at : self._at + 1]
                self._at += 1
            elif character == "]" and not named:
                break
            elif character in "!^" and not negated:
                negated = True
                continue
            elif character in "[]":
                named = character == "["
            found.append(character)
        members = "".join(found)
        for name, range_ in _CLASSES.items():
            members = members.replace(name, range_)
        quoted = _QUOTED.sub(r"\\\g<0>", members).replace("--", "-\\-")
        expression = f"[{'^' if negated else ''}{quoted}]"
        self.crosses = self.crosses or negated or "/" in members or "-" in members
        return expression
