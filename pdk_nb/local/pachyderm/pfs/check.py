"""Checking that the store holds together (``fsck``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pdk_nb.local.pachyderm.pfs.types import FROM_COMMITS, commit_of
from pdk_nb.local.pachyderm.store.blobs import EMPTY_HASH, BlobStore
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
