"""Rules for names and paths, with Pachyderm's error messages.

Sources: ``src/internal/storage/paths.go`` for paths; ``src/internal/ancestry`` and the servers' checks for names.
"""

from __future__ import annotations

import re
import uuid

from pdk_stack.pachyderm.errors import Fault

DEFAULT_PROJECT = "default"
DEFAULT_TAG = "default"
MAX_PROJECT_NAME = 51

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_GO_ESCAPES = {
    **{character: f"\\{character}" for character in '"\\'},
    **{character: f"\\{letter}" for character, letter in zip("\a\b\f\n\r\t\v", "abfnrtv", strict=True)},
}
_SEPARATOR = re.compile(r"[~^.]")
# Go counts a number that needs more than 64 bits as text.
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_COMMIT_ID = re.compile(r"[0-9a-f]{12}4[0-9a-f]{19}")
_PRINTABLE = re.compile(r"[ -~]+")
_GLOB_CHARACTER = re.compile(r"[*?\[\]{}!()@+^]")


def new_id() -> str:
    """Return a new commit set ID: a UUID version 4 without dashes."""
    return uuid.uuid4().hex


def is_commit_id(text: str) -> bool:
    """Whether a string has the form of a commit ID."""
    return _COMMIT_ID.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Whether a string names an entry of a folder, and so can't lead out of it."""
    return text not in ("", ".", "..") and "/" not in text and "\0" not in text


def check_name(name: str) -> None:
    """Validate a name by Pachyderm's rules.

    Raises:
        Fault: The name has characters other than letters, digits, underscores, and dashes.
    """
    if not _NAME.fullmatch(name):
        raise Fault(f"name ({name}) invalid: only alphanumeric characters, underscores, and dashes are allowed")


def go_quoted(text: str) -> str:
    """Quote a text as Go's ``%q`` does in the server's messages."""
    return f'"{_ESCAPED.sub(_go_escape, text)}"'


def _go_escape(found: re.Match[str]) -> str:
    character = found[0]
    return _GO_ESCAPES.get(character, f"\\x{ord(character):02x}")


def parse_ancestry(text: str) -> tuple[str, int]:
    """Split a reference into a name and the number of steps back from it (``ancestry.Parse``).

    ``^`` and ``~`` count steps back; ``.`` counts from the beginning, which a negative number expresses.

    Raises:
        Fault: The text after the first of these characters is neither a number nor more of the same character.
    """
    found = _SEPARATOR.search(text)
    if found is None:
        return text, 0
    name, separator, rest = text[: found.start()], found[0], text[found.end() :]
    if _INTEGER.fullmatch(rest):
        return name, -int(rest) if separator == "." else int(rest)
    for character in rest:
        if character != separator:
            raise Fault(f"invalid ancestry syntax {go_quoted(text)}, cannot mix {separator} and {character} characters")
    # Not a count of the dots: the server computes the number like this.
    return name, -len(text) - len(name) if separator == "." else len(text) - len(name)


def check_project_name(name: str) -> None:
    """Validate a project name (``Project.ValidateName``): its length, :func:`check_name`, and its first character.

    Raises:
        Fault: The name is invalid.
    """
    if len(name.encode()) > MAX_PROJECT_NAME:
        beyond = len(name.encode()) - MAX_PROJECT_NAME
        raise Fault(f"project name {go_quoted(name)} is {beyond} characters longer than the {MAX_PROJECT_NAME} max")
    check_name(name)
    if name[0] in "_-":
        raise Fault("project names must start with an alphanumeric character")


def check_branch_name(name: str) -> None:
    """Validate a branch name: :func:`check_name`, plus the rule that it isn't a commit ID.

    Raises:
        Fault: The name is invalid.
    """
    check_name(name)
    if is_commit_id(name):
        raise Fault("branch name cannot be a UUID V4")


def clean_path(path: str) -> str:
    """Normalize a path as Go's ``path.Clean`` does: absolute and without a trailing slash.

    ``""`` and ``"."`` become ``"/"``.
    """
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part == "..":
            if parts:
                parts.pop()
            continue
        parts.append(part)
    return "/" + "/".join(parts)


def check_path(path: str) -> None:
    """Validate a path for writing by Pachyderm's rules.

    Raises:
        Fault: The path has a non-ASCII or unprintable character, a glob character, or a relative component.
    """
    if not _PRINTABLE.fullmatch(path):
        raise Fault(f"path ({path}) invalid: only printable ASCII characters allowed")
    globbing = _GLOB_CHARACTER.search(path)
    if globbing:
        raise Fault(f"path ({path}) invalid: globbing character ({globbing[0]}) not allowed in path")
    if any(part in (".", "..") for part in path.split("/")):
        raise Fault(f"path ({path}) invalid: relative file paths are not allowed")
