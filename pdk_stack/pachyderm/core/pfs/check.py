"""Consistency checks of the store (``fsck``)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit, select_commits
from pdk_stack.pachyderm.errors import DataLoss
from pdk_stack.pachyderm.names import DEFAULT_TAG
from pdk_stack.pachyderm.store.blobs import BlobStore
from pdk_stack.pachyderm.store.nodes import StoredNodes, decode


def check(connection: sqlite3.Connection, blobs: BlobStore) -> Iterator[str]:
    """Yield a description of each problem; nothing if the store is sound. This reads all content."""
    for row in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row[1]} of table {row[0]} refers to something that is gone"
    nodes = StoredNodes(connection)
    seen: set[bytes] = set()
    with blobs.reader(connection) as reader:
        for commit in select_commits(connection, "WHERE commits.tree IS NOT NULL"):
            pending = [("/", commit.tree)]
            while pending:
                folder, key = pending.pop()
                if key is None or key in seen:
                    continue
                seen.add(key)
                try:
                    entries = list(decode(nodes.node(key)))
                except KeyError:
                    yield f"commit {commit}: directory {folder} ({key.hex()}) is missing"
                    continue
                for entry in entries:
                    if entry.is_dir:
                        pending.append((folder + entry.name, entry.node))
                        continue
                    new = [blob for blob in dict.fromkeys(entry.blobs) if blob not in seen]
                    seen.update(new)
                    for blob in new:
                        try:
                            for _ in reader.read((blob,), path=folder + entry.name):
                                pass
                        except DataLoss as error:
                            yield f"commit {commit}: {error.message}"


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
