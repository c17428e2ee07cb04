"""Checking that the store holds together (``fsck``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pdk_nb.local.pachyderm.faults import Fault
from pdk_nb.local.pachyderm.pfs.types import FROM_COMMITS, commit_of
from pdk_nb.local.pachyderm.store.blobs import EMPTY_HASH, BlobStore, new_hash
from pdk_nb.local.pachyderm.store.nodes import StoredNodes, decode


def check(connection: sqlite3.Connection, blobs: BlobStore) -> Iterator[str]:
    """Problems, in words; none where the store is sound."""
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row[1]} of table {row[0]} refers to something that is gone"
    nodes = StoredNodes(connection)
    seen: set[bytes] = set()
    for row in connection.execute(f"{FROM_COMMITS} WHERE commits.tree IS NOT NULL"):
        commit = commit_of(row)
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


def check_blobs(connection: sqlite3.Connection, blobs: BlobStore, begin: bytes, end: bytes, read: bool) -> int:
    """Check stored content (``CheckStorage``); how many blobs were looked at.

    Args:
        connection: Where blobs are looked up.
        blobs: Where they lie.
        begin: Only hashes from here on.
        end: Only hashes before this one; all when empty.
        read: Whether to read the content and compare its hash.

    Raises:
        Fault: Content is missing, cut short or changed.
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
