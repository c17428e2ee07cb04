"""File sets: temporary sets of files outside any commit (``src/server/pfs/server``, file set calls).

A file set is a list of changes; adding it to a commit applies these changes. Applied to an empty tree, they give a tree
that clients can read like a commit of the repo ``__filesets__``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from pdk_stack.pachyderm.core.pfs import commits
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.types import FILESETS_REPO, ORIGIN_USER, Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, new_id
from pdk_stack.pachyderm.store import tree_edits as edits
from pdk_stack.pachyderm.store.clock import now_ns
from pdk_stack.pachyderm.store.nodes import StoredNodes
from pdk_stack.pachyderm.store.tree import Tree

DEFAULT_TTL_S = 600
MAX_TTL_S = 1800
# A shard ends when it reaches this many files or bytes.
SHARD_FILES = 10_000
SHARD_BYTES = 1 << 30
_NANO = 1_000_000_000


def create(connection: sqlite3.Connection, changes: Iterable[edits.TreeEdit], ttl: int = DEFAULT_TTL_S) -> str:
    """Create a file set.

    Args:
        connection: The change's connection.
        changes: The changes that it applies to a commit.
        ttl: Time to live, in seconds.

    Returns:
        The file set's ID.

    Raises:
        Fault: The files contradict each other.
    """
    kept = list(changes)
    editor = edits.TreeEditor(StoredNodes(connection), None)
    editor.apply(kept)
    result = editor.finish()
    if result.problem:
        raise Fault(result.problem)
    connection.executemany("INSERT OR IGNORE INTO nodes (hash, data) VALUES (?, ?)", list(result.nodes.items()))
    key, moment = new_id(), now_ns()
    connection.execute(
        "INSERT INTO filesets (id, tree, created, expires) VALUES (?, ?, ?, ?)",
        (key, result.root.node, moment, moment + _life(ttl)),
    )
    connection.executemany(
        "INSERT INTO fileset_changes (fileset, change) VALUES (?, ?)",
        [(key, edits.dump_edit(each)) for each in kept],
    )
    return key


def _life(ttl: int) -> int:
    if ttl < 0 or ttl > MAX_TTL_S:
        raise Fault(f"ttl ({ttl}s) exceeds max ttl ({MAX_TTL_S}s)")
    return (ttl or DEFAULT_TTL_S) * _NANO


def of_commit(connection: sqlite3.Connection, commit: Commit) -> str:
    """Create a file set with the content of a finished commit."""
    if not commit.finished:
        raise Fault(f"commit {commit} is not finished")
    return create(connection, [edits.Graft(commit.tree)] if commit.tree else [])


def add_to_commit(change: Change, ref: CommitRef, key: str) -> None:
    """Apply a file set's changes to an open commit.

    Raises:
        NotFound: The commit or the file set doesn't exist.
        Fault: The commit is finished.
    """
    commit = get_commit(change.connection, ref)
    if not commit.is_open:
        raise Fault(f"commit {commit} has already finished")
    commits.stage(change, commit, list(changes_of(change.connection, key)))


def changes_of(connection: sqlite3.Connection, key: str) -> Iterator[edits.TreeEdit]:
    """Yield the changes that a file set applies to a commit.

    Raises:
        NotFound: The file set doesn't exist.
    """
    _row(connection, key)
    rows = connection.execute("SELECT change FROM fileset_changes WHERE fileset = ? ORDER BY seq", (key,))
    return (edits.load_edit(row["change"]) for row in rows)


def _row(connection: sqlite3.Connection, key: str) -> sqlite3.Row:
    row = connection.execute("SELECT * FROM filesets WHERE id = ? AND expires > ?", (key, now_ns())).fetchone()
    if row is None:
        raise NotFound(f"fileset {key} not found")
    found: sqlite3.Row = row
    return found


def renew(connection: sqlite3.Connection, key: str, ttl: int) -> None:
    """Set a file set's time to live, in seconds from now.

    Raises:
        NotFound: The file set doesn't exist.
    """
    _row(connection, key)
    connection.execute("UPDATE filesets SET expires = ? WHERE id = ?", (now_ns() + _life(ttl), key))


def compose(connection: sqlite3.Connection, keys: Sequence[str], ttl: int) -> str:
    """Create a file set that applies several others in order."""
    return create(connection, (each for key in keys for each in changes_of(connection, key)), ttl)


def as_commit(connection: sqlite3.Connection, key: str) -> Commit:
    """Return a file set as a commit, for reading its files.

    Raises:
        NotFound: The file set doesn't exist.
    """
    row = _row(connection, key)
    return Commit(
        repo=RepoKey(DEFAULT_PROJECT, FILESETS_REPO),
        pk=0,
        repo_pk=0,
        id=key,
        branch="",
        origin=ORIGIN_USER,
        description="",
        parent=None,
        started=row["created"],
        finishing=row["created"],
        finished=row["created"],
        error="",
        tree=bytes(row["tree"]),
        size=0,
    )


def shards(connection: sqlite3.Connection, key: str) -> list[tuple[str, str]]:
    """Split a file set into path ranges of similar size: inclusive lower and exclusive upper bound; empty if open."""
    tree = Tree(StoredNodes(connection), as_commit(connection, key).tree)
    top = tree.root()
    bounds, files, size = [""], 0, 0
    for each in tree.files(top) if top else ():
        if files >= SHARD_FILES or size >= SHARD_BYTES:
            bounds.append(each.path)
            files = size = 0
        files += 1
        size += each.entry.size
    return list(zip(bounds, [*bounds[1:], ""], strict=True))


def drop_expired(connection: sqlite3.Connection) -> int:
    """Delete expired file sets; return their number."""
    return connection.execute("DELETE FROM filesets WHERE expires <= ?", (now_ns(),)).rowcount
