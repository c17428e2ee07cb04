"""Reading files: lookup, list, walk, glob, content, and diff."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pdk_stack.pachyderm.core.pfs.globs import glob_tree
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree

MAX_PAGE = 100_000


@dataclass(frozen=True)
class Page:
    """A page of a listing.

    Attributes:
        marker: Only entries after this path (before it with ``reverse``).
        number: Maximum number of entries; 0 means all.
        reverse: Whether to start with the last entry.
    """

    marker: str = ""
    number: int = 0
    reverse: bool = False

    def cut(self, found: Iterator[FoundEntry]) -> Iterator[FoundEntry]:
        """Yield this page of an ordered listing.

        Raises:
            Fault: The listing has more than 100 000 entries, or ``reverse`` is set without a number.
        """
        if self.number > MAX_PAGE:
            raise Fault(f"cannot return more than {MAX_PAGE} files at a time")
        if self.reverse and self.number <= 0:
            raise Fault("number must be > 0 when reverse is true")
        if self.marker:
            bound = clean_path(self.marker)
            if self.reverse:
                found = (each for each in found if each.path.rstrip("/") < bound)
            else:
                found = (each for each in found if each.path.rstrip("/") > bound)
        if self.reverse:
            # Keep only the last entries while the listing streams by, so that memory is bounded by the page size.
            last: list[FoundEntry] = []
            for each in found:
                last.append(each)
                if len(last) > 2 * self.number:
                    del last[: -self.number]
            return iter(last[-self.number :][::-1])
        return islice(found, self.number) if self.number > 0 else found


@dataclass(frozen=True)
class PathRange:
    """A range of paths.

    Attributes:
        lower: Inclusive lower bound; empty means none.
        upper: Exclusive upper bound; empty means none.
    """

    lower: str = ""
    upper: str = ""

    def cut(self, found: Iterable[FoundEntry]) -> Iterator[FoundEntry]:
        """Yield the entries in the range."""
        return (
            each
            for each in found
            if (not self.lower or each.path >= self.lower) and (not self.upper or each.path < self.upper)
        )


def _missing(commit: Commit, path: str) -> NotFound:
    return NotFound(f"file {clean_path(path)} not found in repo {commit.repo} at commit {commit.id}")


def inspect_file(connection: sqlite3.Connection, commit: Commit, path: str) -> FoundEntry:
    """Return the entry at a path.

    Raises:
        NotFound: The path doesn't exist.
    """
    tree = tree_of(connection, commit)
    found = tree.find(path) or tree.find(clean_path(path))
    if found is None:
        raise _missing(commit, path)
    return found


def list_file(
    connection: sqlite3.Connection, commit: Commit, path: str, page: Page | None = None
) -> Iterator[FoundEntry]:
    """Yield a directory's children or the file itself; nothing if the path doesn't exist."""
    tree = tree_of(connection, commit)
    if any(character in path for character in "*?[{"):
        matches = glob_tree(tree, path)
        listing = (child for each in matches for child in (tree.children(each) if each.is_dir else [each]))
        return (page or Page()).cut(listing)
    found = tree.find(path)
    if found is None:
        return iter(())
    return (page or Page()).cut(tree.children(found) if found.is_dir else iter([found]))


def walk_file(
    connection: sqlite3.Connection, commit: Commit, path: str, page: Page | None = None
) -> Iterator[FoundEntry]:
    """Yield an entry and everything below it.

    Raises:
        NotFound: The path doesn't exist and isn't the root.
    """
    tree = tree_of(connection, commit)
    found = tree.find(path)
    if found is None:
        if clean_path(path) == "/":
            return iter(())
        raise NotFound(f"commit/{commit.id} does not contain item: ({clean_path(path)})")
    return (page or Page()).cut(tree.walk(found))


def glob_file(connection: sqlite3.Connection, commit: Commit, pattern: str) -> Iterator[FoundEntry]:
    """Yield the entries that match a glob pattern."""
    return glob_tree(tree_of(connection, commit), pattern)


def one_file(connection: sqlite3.Connection, commit: Commit, pattern: str) -> FoundEntry:
    """Return the one file that a path or glob matches.

    Raises:
        NotFound: Nothing matches.
        Fault: The match is a directory, or several entries match.
    """
    tree = tree_of(connection, commit)
    found = tree.find(pattern)
    if found is None or found.is_dir:
        matches = list(islice(glob_tree(tree, pattern), 2))
        if not matches and found is None:
            raise _missing(commit, pattern)
        if len(matches) > 1:
            raise Fault("matched multiple files. Use GetFileTAR instead")
        found = matches[0] if matches else found
    assert found is not None
    if found.is_dir:
        raise Fault("cannot get directory or non-regular file. Use GetFileTAR instead")
    return found


def matching_trees(connection: sqlite3.Connection, commit: Commit, pattern: str) -> Iterator[FoundEntry]:
    """Yield the entries that a path or glob matches, each followed by everything below it.

    Raises:
        NotFound: Nothing matches.
    """
    tree = tree_of(connection, commit)
    exact = tree.find(pattern)
    if exact is not None:
        return tree.walk(exact)
    matches = list(glob_tree(tree, pattern))
    if not matches:
        raise _missing(commit, pattern)
    return _walk_all(tree, matches)


def _walk_all(tree: Tree, matches: list[FoundEntry]) -> Iterator[FoundEntry]:
    covered = ""
    for each in matches:
        if covered and each.path.startswith(covered):
            continue
        if each.is_dir:
            covered = each.path
        yield from tree.walk(each)


def diff_file(
    connection: sqlite3.Connection,
    new_commit: Commit,
    new_path: str,
    old: tuple[Commit, str] | None,
    shallow: bool,
) -> Iterator[tuple[FoundEntry | None, Commit, FoundEntry | None, Commit | None]]:
    """Yield the entries that differ between two paths.

    Args:
        connection: The connection to read from.
        new_commit: The newer commit.
        new_path: A path in it.
        old: The older commit and a path in it; None means the newer commit's parent and the same path.
        shallow: Whether to compare only the entries and their direct children.

    Yields:
        New entry or None, new commit, old entry or None, old commit or None.
    """
    new_tree = tree_of(connection, new_commit)
    if old is None and new_commit.parent is not None:
        old = (commit_by_pk(connection, new_commit.parent), new_path)
    old_commit = old[0] if old else None
    old_tree = tree_of(connection, old[0]) if old else None

    def listing(tree: Tree | None, path: str, side: int) -> Iterator[tuple[str, int, FoundEntry]]:
        start = tree.find(path) if tree else None
        if tree is None or start is None:
            return
        flat = tree.children(start) if start.is_dir else iter([start])
        for each in flat if shallow else tree.walk(start):
            yield each.path, side, each

    pending: FoundEntry | None = None
    merged = heapq.merge(
        listing(new_tree, new_path, 0),
        listing(old_tree, old[1] if old else new_path, 1),
        key=lambda item: item[:2],
    )
    for _, side, found in merged:
        if side == 0:
            if pending is not None:
                yield pending, new_commit, None, old_commit
            pending = found
            continue
        if pending is not None and pending.path == found.path:
            if pending.entry.hash != found.entry.hash:
                yield pending, new_commit, found, old_commit
            pending = None
            continue
        if pending is not None:
            yield pending, new_commit, None, old_commit
            pending = None
        yield None, new_commit, found, old_commit
    if pending is not None:
        yield pending, new_commit, None, old_commit
