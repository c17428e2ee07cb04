"""File sets: temporary sets of files outside any commit (``src/server/pfs/server``, file set calls).

A file set is a list of changes; adding it to a commit applies these changes. Applied to an empty tree, they give a tree
that clients can read like a commit of the repo ``__filesets__``.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from pdk_stack.pachyderm.core.pfs import commits
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import FILESETS_REPO, ORIGIN_USER, Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, new_id
from pdk_stack.pachyderm.store import tree_edits as edits
from pdk_stack.pachyderm.store.clock import now_ns
from pdk_stack.pachyderm.store.nodes import StoredNodes
from pdk_stack.pachyderm.store.tree import Tree

DEFAULT_TTL_S = 600
MAX_TTL_S = 1800
ID_LENGTH = 32
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
    """
    kept = list(changes)
    editor = edits.TreeEditor(StoredNodes(connection), None)
    editor.apply(kept)
    result = editor.finish()
    connection.executemany("INSERT OR IGNORE INTO nodes (hash, data) VALUES (?, ?)", list(result.nodes.items()))
    key, moment = new_id(), now_ns()
    connection.execute(
        "INSERT INTO filesets (id, tree, created, expires) VALUES (?, ?, ?, ?)",
        (key, result.root.node, moment, moment + min(max(ttl, 0), MAX_TTL_S) * _NANO),
    )
    connection.executemany(
        "INSERT INTO fileset_changes (fileset, change) VALUES (?, ?)",
        [(key, edits.dump_edit(each)) for each in kept],
    )
    return key


def check_id(key: str) -> str:
    """Return a file set's ID without dashes (``fileset.ParseID``).

    Raises:
        Fault: The text isn't an ID.
    """
    text = key.replace("-", "")
    length = len(text.encode())
    if length != ID_LENGTH:
        raise Fault(f"parsing fileset.ID: too {'short' if length < ID_LENGTH else 'long'} to be ID len={length}")
    wrong = re.search(r"[^0-9a-fA-F]", text)
    if wrong:
        raise Fault(f"encoding/hex: invalid byte: U+{ord(wrong[0]):04X} '{wrong[0]}'")
    return text.lower()


def of_commit(connection: sqlite3.Connection, commit: Commit) -> str:
    """Create a file set with the content of a commit, also of an open one."""
    tree = tree_of(connection, commit)
    if not commit.is_open:
        return create(connection, [edits.Graft(tree.key)] if tree.key else [])
    top = tree.root()
    return create(
        connection,
        [
            edits.Add(found.path, part.tag, part.blobs, part.size)
            for found in (tree.files(top) if top else ())
            for part in found.entry.parts
        ],
    )


def add_to_commit(change: Change, ref: CommitRef, key: str) -> None:
    """Apply a file set's changes to an open commit.

    Raises:
        NotFound: The commit doesn't exist.
        Fault: The commit is finished, or the file set doesn't exist.
    """
    check_id(key)
    commit = get_commit(change.connection, ref)
    if not commit.is_open:
        raise Fault(f"commit {commit} has already finished")
    commits.stage(change, commit, list(changes_of(change.connection, key)))


def changes_of(connection: sqlite3.Connection, key: str) -> Iterator[edits.TreeEdit]:
    """Yield the changes that a file set applies to a commit.

    Raises:
        Fault: The file set doesn't exist, or its ID is invalid.
    """
    key = _row(connection, key)["id"]
    rows = connection.execute("SELECT change FROM fileset_changes WHERE fileset = ? ORDER BY seq", (key,))
    return (edits.load_edit(row["change"]) for row in rows)


def _find(connection: sqlite3.Connection, key: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM filesets WHERE id = ? AND expires > ?", (key, now_ns())
    ).fetchone()
    return found


def _row(connection: sqlite3.Connection, key: str) -> sqlite3.Row:
    found = _find(connection, check_id(key))
    if found is None:
        raise Fault("path does not exist")
    return found


def renew(connection: sqlite3.Connection, key: str, ttl: int) -> None:
    """Set a file set's time to live, in seconds from now.

    Raises:
        NotFound: The file set doesn't exist.
        Fault: The ID is invalid, or the time is too short or too long.
    """
    key = check_id(key)
    if ttl < 1:
        raise Fault(f"ttl ({ttl * _NANO}) must be at least one second")
    if ttl > MAX_TTL_S:
        raise Fault(f"ttl ({ttl * _NANO}) exceeds max ttl ({MAX_TTL_S * _NANO})")
    now = now_ns()
    done = connection.execute(
        "UPDATE filesets SET expires = ? WHERE id = ? AND expires > ?", (now + ttl * _NANO, key, now)
    )
    if done.rowcount != 1:
        raise NotFound(f"tracker does not contain item: (fileset/{key})")


def compose(connection: sqlite3.Connection, keys: Sequence[str], ttl: int) -> str:
    """Create a file set that applies several others in order.

    Raises:
        Fault: One of them doesn't exist, or its ID is invalid.
    """
    for key in map(check_id, keys):
        if _find(connection, key) is None:
            raise Fault("the operation would create a dangling reference")
    return create(connection, (each for key in keys for each in changes_of(connection, key)), ttl)


def as_commit(connection: sqlite3.Connection, key: str) -> Commit:
    """Return a file set as a commit, for reading its files.

    Raises:
        Fault: The file set doesn't exist, or its ID is invalid.
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
