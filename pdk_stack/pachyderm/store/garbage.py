"""Garbage collection of unreferenced directory nodes, blobs, and packs."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from pdk_stack.common.database import Database
from pdk_stack.pachyderm.errors import DataLoss
from pdk_stack.pachyderm.store.blobs import BlobReader, BlobStore, insert_locations
from pdk_stack.pachyderm.store.nodes import StoredNodes, decode
from pdk_stack.pachyderm.store.tree_edits import Add, Copy, Graft, load_edit

log = logging.getLogger("pdk_stack.pachyderm.garbage")

# Rewrite a pack when at least this share of it is garbage.
DEAD_SHARE = 0.5


@dataclass(frozen=True)
class Collected:
    """The result of a garbage collection.

    Attributes:
        nodes: Number of directory nodes removed.
        blobs: Number of blobs removed.
        bytes: Disk space freed in packs, in bytes.
    """

    nodes: int
    blobs: int
    bytes: int


def is_due(connection: sqlite3.Connection) -> bool:
    """Whether any commits were removed since the last collection."""
    return connection.execute("SELECT 1 FROM meta WHERE key = 'garbage'").fetchone() is not None


def collect(database: Database, blobs: BlobStore, timeout: float) -> Collected | None:
    """Remove everything that no commit refers to.

    Args:
        database: The database.
        blobs: The blobs; collection needs exclusive access.
        timeout: Maximum time to wait for exclusive access, in seconds.

    Returns:
        What was removed; None if the blobs stayed in use.
    """
    with blobs.alone(timeout) as free:
        if not free:
            return None
        before = _disk_use(blobs)
        with database.write() as connection:
            used = _packs_in_use(connection)
            live_nodes, live_blobs = _reachable(connection)
            nodes = _delete_others(connection, "nodes", live_nodes)
            dead = _delete_others(connection, "blobs", live_blobs)
            connection.execute("DELETE FROM meta WHERE key = 'garbage'")
            _compact(connection, blobs)
        # Delete old packs only after the new locations are committed.
        with database.read() as connection:
            for pack in used - _packs_in_use(connection):
                blobs.path(pack).unlink(missing_ok=True)
        found = Collected(nodes, dead, before - _disk_use(blobs))
    log.info("removed %d directories, %d blobs, %d bytes", found.nodes, found.blobs, found.bytes)
    return found


def set_unknown_packs_aside(connection: sqlite3.Connection, blobs: BlobStore) -> int:
    """Move packs that no row refers to into the quarantine; return their number.

    Most are left over from requests that never finished. They are kept in case the database is wrong.
    """
    unknown = set(blobs.packs()) - _packs_in_use(connection)
    for pack in unknown:
        blobs.set_aside(pack)
    return len(unknown)


def _packs_in_use(connection: sqlite3.Connection) -> set[str]:
    return {str(row["pack"]) for row in connection.execute("SELECT DISTINCT pack FROM blobs")}


def _disk_use(blobs: BlobStore) -> int:
    return sum(blobs.path(pack).stat().st_size for pack in blobs.packs())


def _reachable(connection: sqlite3.Connection) -> tuple[set[bytes], set[bytes]]:
    rows = connection.execute("SELECT DISTINCT tree FROM commits WHERE tree IS NOT NULL")
    pending = [bytes(row["tree"]) for row in rows]
    pending += [bytes(row["tree"]) for row in connection.execute("SELECT tree FROM filesets")]
    live_blobs: set[bytes] = set()
    for row in connection.execute("SELECT change FROM staged UNION ALL SELECT change FROM fileset_changes"):
        change = load_edit(row["change"])
        if isinstance(change, Add):
            live_blobs.update(change.blobs)
        elif isinstance(change, Copy | Graft):
            pending.append(change.source_tree)
    nodes = StoredNodes(connection)
    live_nodes: set[bytes] = set()
    while pending:
        key = pending.pop()
        if key in live_nodes:
            continue
        live_nodes.add(key)
        for entry in decode(nodes.node(key)):
            if entry.is_dir:
                pending.append(entry.node)
            else:
                live_blobs.update(entry.blobs)
    return live_nodes, live_blobs


def _delete_others(connection: sqlite3.Connection, table: str, live: Iterable[bytes]) -> int:
    connection.execute("CREATE TEMP TABLE live (hash BLOB PRIMARY KEY) WITHOUT ROWID")
    try:
        connection.executemany("INSERT INTO live VALUES (?)", ((key,) for key in live))
        return connection.execute(f"DELETE FROM {table} WHERE hash NOT IN (SELECT hash FROM live)").rowcount
    finally:
        connection.execute("DROP TABLE live")


def _compact(connection: sqlite3.Connection, blobs: BlobStore) -> None:
    rows = connection.execute("SELECT pack, SUM(size) AS used FROM blobs GROUP BY pack").fetchall()
    for row in rows:
        size = os.stat(blobs.path(row["pack"])).st_size
        if size - row["used"] < DEAD_SHARE * size:
            continue
        writer = blobs.writer(lambda digest: False)
        reader = BlobReader(blobs, connection)
        hashes = connection.execute("SELECT hash FROM blobs WHERE pack = ? ORDER BY start", (row["pack"],)).fetchall()
        try:
            for each in hashes:
                writer.begin()
                for chunk in reader.read((bytes(each["hash"]),)):
                    writer.write(chunk)
                writer.end()
            writer.seal()
        except DataLoss as error:
            # The intact blobs of this pack stay readable where they are.
            writer.discard()
            log.warning("pack %s is kept as it is: %s", row["pack"], error.message)
            continue
        finally:
            reader.close()
        connection.execute("DELETE FROM blobs WHERE pack = ?", (row["pack"],))
        insert_locations(connection, writer.locations)
