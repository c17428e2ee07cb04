"""Reading files: lookup, list, walk, glob, content, and diff."""

from __future__ import annotations

import heapq
import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from pdk_stack.pachyderm.core.pfs.globs import compile_glob, glob_tree
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk
from pdk_stack.pachyderm.core.pfs.trees import check_base, tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit
from pdk_stack.pachyderm.errors import Fault, InvalidArgument, NotFound
from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.nodes import file_entry
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree
from pdk_stack.pachyderm.store.tree_edits import Add, TreeEditor

MAX_PAGE = 100_000
_GLOB_CHARACTER = re.compile(r"[*?\[\]{}!()@+^]")


@dataclass(frozen=True)
class FileRef:
    """A file, a directory, or a pattern, as a request names it.

    Attributes:
        commit: The commit.
        path: A path or a pattern.
        tag: Only the parts of files that this datum wrote; empty means all.
        given: The commit's ID as the request has it, for errors: empty if it names a branch.
    """

    commit: Commit
    path: str
    tag: str = ""
    given: str = ""

    @property
    def missing(self) -> NotFound:
        """The error that the server returns if nothing is there."""
        return NotFound(f"file {self.path} not found in repo {self.commit.repo} at commit {self.given}")


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
            InvalidArgument: ``reverse`` is set, and the number is negative.
            Fault: The page has more than 100 000 entries, or ``reverse`` is set without a number.
        """
        if self.reverse and self.number == 0:
            raise Fault("number must be > 0 when reverse is true")
        if self.reverse and self.number < 0:
            raise InvalidArgument(f"number ({self.number}) must be > 0 when reverse is true")
        if self.number > MAX_PAGE:
            raise Fault(f"cannot return more than {MAX_PAGE} files at a time")
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


def _open(connection: sqlite3.Connection, wanted: FileRef) -> Tree:
    """Return the tree that a request reads.

    Raises:
        Fault: The commit is open, and so is the commit that it starts from.
    """
    commit = wanted.commit
    check_base(connection, commit)
    tree = tree_of(connection, commit)
    return _with_tag(tree, wanted.tag) if wanted.tag else tree


def _with_tag(tree: Tree, tag: str) -> Tree:
    """Return a tree with only the parts that one datum wrote."""
    fresh: dict[bytes, bytes] = {}
    editor = TreeEditor(_Nodes(fresh), None)
    top = tree.root()
    found = ((each.path, part) for each in (tree.files(top) if top else ()) for part in each.entry.parts)
    editor.apply(Add(path, tag, part.blobs, part.size) for path, part in found if part.tag == tag)
    result = editor.finish()
    fresh.update(result.nodes)
    return Tree(_Nodes(fresh), result.root.node)


class _Nodes:
    """Nodes of a tree that exists only in memory."""

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self._nodes = nodes

    def node(self, key: bytes) -> bytes:
        """Return a node's content."""
        return self._nodes[key]


def _each_part(wanted: FileRef, found: Iterable[FoundEntry]) -> Iterator[FoundEntry]:
    """Yield entries; a file that several datums wrote is one entry for each, as long as its commit may have such."""
    if wanted.commit.finished and not wanted.commit.error:
        yield from found
        return
    for each in found:
        if len(each.entry.parts) < 2:
            yield each
            continue
        for part in each.entry.parts:
            yield replace(each, entry=file_entry(each.entry.name, [part]))


def _at(tree: Tree, path: str) -> list[FoundEntry]:
    """Return the file and the directory at a path; in an invalid commit, both may exist."""
    cleaned = clean_path(path)
    first = tree.find(cleaned)
    if first is None:
        return []
    second = None if first.is_dir else tree.find(f"{cleaned}/")
    return [first, second] if second else [first]


def inspect_file(connection: sqlite3.Connection, wanted: FileRef) -> FoundEntry:
    """Return the entry at a path.

    Raises:
        NotFound: The path doesn't exist.
    """
    found = list(_each_part(wanted, _at(_open(connection, wanted), wanted.path)))
    if not found:
        raise wanted.missing
    return found[-1]


def list_file(connection: sqlite3.Connection, wanted: FileRef, page: Page | None = None) -> Iterator[FoundEntry]:
    """Yield a directory's children or the file itself; nothing if the path doesn't exist."""
    tree, page = _open(connection, wanted), page or Page()
    folder, _, start = ("", "", "") if page.reverse or not page.marker else clean_path(page.marker).rpartition("/")

    def children(each: FoundEntry) -> Iterator[FoundEntry]:
        # A page in the middle of a large directory doesn't read what is before it.
        return tree.children(each, start if each.path.rstrip("/") == folder else "")

    found = (child for each in _at(tree, wanted.path) for child in (children(each) if each.is_dir else (each,)))
    return page.cut(_each_part(wanted, found))


def walk_file(connection: sqlite3.Connection, wanted: FileRef, page: Page | None = None) -> Iterator[FoundEntry]:
    """Yield an entry and everything below it.

    Raises:
        NotFound: The path doesn't exist and isn't the root.
    """
    tree = _open(connection, wanted)
    found = _at(tree, wanted.path)
    if not found and clean_path(wanted.path) != "/":
        raise NotFound(f"commit/{wanted.commit.id} does not contain item: ({clean_path(wanted.path)})")
    return (page or Page()).cut(_each_part(wanted, (entry for each in found for entry in tree.walk(each))))


def glob_file(connection: sqlite3.Connection, wanted: FileRef) -> Iterator[FoundEntry]:
    """Yield the entries that a glob pattern matches.

    Raises:
        Fault: The pattern is invalid.
    """
    compile_glob(wanted.path)
    return _each_part(wanted, glob_tree(_open(connection, wanted), wanted.path))


def one_file(connection: sqlite3.Connection, wanted: FileRef) -> FoundEntry:
    """Return the one file that a path or glob matches.

    Raises:
        NotFound: Nothing matches.
        Fault: The match is a directory, or several entries match.
    """
    found = list(islice(matching_trees(connection, wanted), 2))
    for number, each in enumerate(found):
        if each.is_dir:
            raise Fault("cannot get directory or non-regular file. Use GetFileTAR instead")
        if number:
            raise Fault("matched multiple files. Use GetFileTAR instead")
    return found[0]


def matching_trees(connection: sqlite3.Connection, wanted: FileRef) -> Iterator[FoundEntry]:
    """Yield the entries that a path or glob matches, each followed by everything below it.

    Raises:
        NotFound: Nothing matches.
        Fault: The pattern is invalid.
    """
    tree = _open(connection, wanted)
    globbing = _GLOB_CHARACTER.search(wanted.path)
    matches = list(glob_tree(tree, wanted.path)) if globbing else _at(tree, wanted.path)
    if not matches:
        raise wanted.missing
    return _each_part(wanted, _walk_all(tree, matches))


def _walk_all(tree: Tree, matches: list[FoundEntry]) -> Iterator[FoundEntry]:
    covered = ""
    for each in matches:
        if covered and each.path.startswith(covered):
            continue
        if each.is_dir:
            covered = each.path
        yield from tree.walk(each)


Difference = tuple[FoundEntry | None, Commit, FoundEntry | None, Commit | None]


def diff_file(connection: sqlite3.Connection, new: FileRef, old: FileRef | None) -> Iterator[Difference]:
    """Yield the entries that differ between two paths, everything below them included.

    Args:
        connection: The connection to read from.
        new: The newer commit and a path in it.
        old: The older commit and a path in it; None means the newer commit's parent and the same path.

    Yields:
        New entry or None, new commit, old entry or None, old commit or None.
    """
    if old is None and new.commit.parent is not None:
        old = FileRef(commit_by_pk(connection, new.commit.parent), new.path)
    old_commit = old.commit if old else None

    def listing(wanted: FileRef | None, side: int) -> Iterator[tuple[str, int, FoundEntry]]:
        if wanted is None:
            return
        tree = _open(connection, wanted)
        for start in _at(tree, wanted.path):
            for each in _each_part(wanted, tree.walk(start)):
                yield each.path, side, each

    pending: FoundEntry | None = None
    merged = heapq.merge(listing(new, 0), listing(old, 1), key=lambda item: item[:2])
    for _, side, found in merged:
        if side == 0:
            if pending is not None:
                yield pending, new.commit, None, old_commit
            pending = found
            continue
        if pending is not None and pending.path == found.path:
            if pending.entry.hash != found.entry.hash:
                yield pending, new.commit, found, old_commit
            pending = None
            continue
        if pending is not None:
            yield pending, new.commit, None, old_commit
            pending = None
        yield None, new.commit, found, old_commit
    if pending is not None:
        yield pending, new.commit, None, old_commit
