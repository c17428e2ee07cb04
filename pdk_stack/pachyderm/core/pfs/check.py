"""Consistency checks of the store (``fsck``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit, select_commits
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import DEFAULT_TAG
from pdk_stack.pachyderm.store.blobs import EMPTY_HASH, BlobStore, new_hash
from pdk_stack.pachyderm.store.nodes import StoredNodes, decode


def check(connection: sqlite3.Connection, blobs: BlobStore) -> Iterator[str]:
    """Yield a description of each problem; nothing if the store is sound."""
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row[1]} of table {row[0]} refers to something that is gone"
    nodes = StoredNodes(connection)
    seen: set[bytes] = set()
    for commit in select_commits(connection, "WHERE commits.tree IS NOT NULL"):
        pending = [commit.tree]
        while pending:
            key = pending.pop()
            if key is None or key in seen:
                continue
            seen.add(key)
            try:
                entries = list(decode(nodes.node(key)))
            except KeyError:
                yield f"commit {commit}: directory {key.hex()} is missing"
                continue
            for entry in entries:
                if entry.is_dir:
                    pending.append(entry.node)
                    continue
                for blob in entry.blobs:
                    if blob != EMPTY_HASH and not _stored(connection, blobs, blob):
                        yield f"commit {commit}: content {blob.hex()} of {entry.name} is missing"


def _stored(connection: sqlite3.Connection, blobs: BlobStore, digest: bytes) -> bool:
    row = connection.execute("SELECT pack, start, size FROM blobs WHERE hash = ?", (digest,)).fetchone()
    if row is None:
        return False
    try:
        return blobs.path(row["pack"]).stat().st_size >= row["start"] + row["size"]
    except FileNotFoundError:
        return False


def repair(connection: sqlite3.Connection) -> Iterator[str]:
    """Remove rows that refer to missing ones, and their dependent rows; yield a description of each removal."""
    tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    removed = True
    while removed:
        removed = False
        for table in tables:
            for key in connection.execute(f"PRAGMA foreign_key_list({table})").fetchall():
                there = f"SELECT {key['to'] or 'rowid'} FROM {key['table']}"
                count = connection.execute(
                    f"DELETE FROM {table} WHERE {key['from']} IS NOT NULL AND {key['from']} NOT IN ({there})"
                ).rowcount
                if count:
                    removed = True
                    yield f"removed {count} rows of table {table} that referred to missing {key['table']}"


def stale_files(connection: sqlite3.Connection, output: Commit) -> Iterator[str]:
    """Yield a description of each output file that no datum of the job wrote (a "zombie")."""
    row = connection.execute("SELECT pk FROM jobs WHERE output = ?", (output.pk,)).fetchone()
    if row is None:
        return
    known = {each["id"] for each in connection.execute("SELECT id FROM datums WHERE job = ?", (row["pk"],))}
    tree = tree_of(connection, output)
    top = tree.root()
    for found in tree.files(top) if top else ():
        for part in found.entry.parts:
            # Files written through a job's S3 gateway belong to no datum.
            if part.tag not in known and part.tag != DEFAULT_TAG:
                yield f"stale datum {part.tag} had file {found.path}"


def check_blobs(connection: sqlite3.Connection, blobs: BlobStore, begin: bytes, end: bytes, read: bool) -> int:
    """Check stored content (``CheckStorage``); return the number of blobs checked.

    Args:
        connection: The connection for looking up blobs.
        blobs: The blob store.
        begin: Only hashes from this one on.
        end: Only hashes before this one; empty means no limit.
        read: Whether to read the content and verify its hash.

    Raises:
        Fault: Content is missing, truncated, or changed.
    """
    query, values = "SELECT hash FROM blobs WHERE hash >= ?", [begin]
    if end:
        query, values = f"{query} AND hash < ?", [begin, end]
    count = 0
    with blobs.reader(connection) as reader:
        for row in connection.execute(f"{query} ORDER BY hash", values):
            digest = bytes(row["hash"])
            if not _stored(connection, blobs, digest):
                raise Fault(f"chunk {digest.hex()} is missing from storage")
            if read:
                found = new_hash()
                for chunk in reader.read((digest,)):
                    found.update(chunk)
                if found.digest() != digest:
                    raise Fault(f"chunk {digest.hex()} is damaged in storage")
            count += 1
    return count
