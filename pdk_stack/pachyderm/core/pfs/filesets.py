"""File sets: files that belong to no commit yet, kept for a while (``src/server/pfs/server``, file set calls).

A file set is a list of changes; adding it to a commit does these changes there. Applied to nothing they give a
tree, by which a file set can be read like a commit of the repo ``__filesets__``.
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
# A shard ends when it has so many files or bytes.
SHARD_FILES = 10_000
SHARD_BYTES = 1 << 30
_NANO = 1_000_000_000


def create(connection: sqlite3.Connection, changes: Iterable[edits.TreeEdit], ttl: int = DEFAULT_TTL_S) -> str:
    """Make a file set.

    Args:
        connection: The change's connection.
        changes: What it does to a commit.
        ttl: Seconds that it is kept.

    Returns:
        Its id.

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
    """A file set with everything that a finished commit holds."""
    if not commit.finished:
        raise Fault(f"commit {commit} is not finished")
    return create(connection, [edits.Graft(commit.tree)] if commit.tree else [])


def add_to_commit(change: Change, ref: CommitRef, key: str) -> None:
    """Do a file set's changes in an open commit.

    Raises:
        NotFound: There is no such commit or file set.
        Fault: The commit is finished.
    """
    commit = get_commit(change.connection, ref)
    if not commit.is_open:
        raise Fault(f"commit {commit} has already finished")
    commits.stage(change, commit, list(changes_of(change.connection, key)))


def changes_of(connection: sqlite3.Connection, key: str) -> Iterator[edits.TreeEdit]:
    """What a file set does to a commit.

    Raises:
        NotFound: There is none of that id.
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
    """Keep a file set so many seconds from now on.

    Raises:
        NotFound: There is none of that id.
    """
    _row(connection, key)
    connection.execute("UPDATE filesets SET expires = ? WHERE id = ?", (now_ns() + _life(ttl), key))


def compose(connection: sqlite3.Connection, keys: Sequence[str], ttl: int) -> str:
    """One file set that does what several do, in order."""
    return create(connection, (each for key in keys for each in changes_of(connection, key)), ttl)


def as_commit(connection: sqlite3.Connection, key: str) -> Commit:
    """A file set in the form in which files are read.

    Raises:
        NotFound: There is none of that id.
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
    """A file set's paths in ranges of about equal work: lower bound and, exclusive, upper; empty where open."""
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
    """Forget file sets whose time is over; how many."""
    return connection.execute("DELETE FROM filesets WHERE expires <= ?", (now_ns(),)).rowcount
