"""File trees of commits: stored for finished commits, computed for open ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk
from pdk_stack.pachyderm.core.pfs.types import Commit
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.store import tree_edits as edits
from pdk_stack.pachyderm.store.nodes import StoredNodes
from pdk_stack.pachyderm.store.tree import Tree


def staged_changes(connection: sqlite3.Connection, commit: int) -> Iterator[edits.TreeEdit]:
    """Yield the changes staged in an open commit."""
    rows = connection.execute("SELECT change FROM staged WHERE commit_pk = ? ORDER BY seq", (commit,))
    return (edits.load_edit(row[0]) for row in rows)


def base_commit(connection: sqlite3.Connection, commit: Commit) -> Commit | None:
    """Return the commit that a commit starts from: its nearest ancestor without an error."""
    pk = commit.parent
    while pk is not None:
        parent = commit_by_pk(connection, pk)
        if not parent.error:
            return parent
        pk = parent.parent
    return None


def check_base(connection: sqlite3.Connection, commit: Commit) -> None:
    """Check that a commit can be read: an open one starts from another, which must be finished.

    Raises:
        Fault: The commit is open, and so is the commit that it starts from.
    """
    base = base_commit(connection, commit) if commit.is_open else None
    if base is not None and base.is_open:
        raise Fault(f"base commit {base} for commit {commit} unfinished")


def base_tree(connection: sqlite3.Connection, commit: Commit, fresh: dict[bytes, bytes]) -> bytes | None:
    """Return the tree that a commit starts from.

    Args:
        connection: The connection to read from.
        commit: The commit.
        fresh: Receives the nodes of open ancestors, which aren't stored.
    """
    base = base_commit(connection, commit)
    if base is None:
        return None
    return _open_tree(connection, base, fresh) if base.is_open else base.tree


def _open_tree(connection: sqlite3.Connection, commit: Commit, fresh: dict[bytes, bytes]) -> bytes:
    base = base_tree(connection, commit, fresh)
    editor = edits.TreeEditor(StoredNodes(connection, fresh), base)
    editor.apply(staged_changes(connection, commit.pk))
    result = editor.finish()
    fresh.update(result.nodes)
    return result.root.node


def tree_of(connection: sqlite3.Connection, commit: Commit) -> Tree:
    """Return a commit's file tree; for an open commit, its parent's tree with the staged changes."""
    if not commit.is_open:
        return Tree(StoredNodes(connection), commit.tree)
    fresh: dict[bytes, bytes] = {}
    key = _open_tree(connection, commit, fresh)
    return Tree(StoredNodes(connection, fresh), key)


def size_upper_bound(connection: sqlite3.Connection, commit: Commit) -> int:
    """Return the size that a list shows for a commit, in bytes; 0 while the commit that it starts from is open."""
    if not commit.is_open:
        return commit.size
    base = base_commit(connection, commit)
    top = None if base is not None and base.is_open else tree_of(connection, commit).root()
    return top.entry.size if top else 0
