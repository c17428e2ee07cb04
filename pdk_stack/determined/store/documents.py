"""The master's database: SQLite documents by kind and id, and tables for logs, metrics, and sessions."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from pdk_stack.common.database import Database, Schema
from pdk_stack.determined.errors import not_found

__all__ = ["Copies", "Document", "Store"]

Document = dict[str, Any]
Key = TypeVar("Key")
Value = TypeVar("Value")

#: Size of the write-ahead log, in 4 KiB pages, that triggers a checkpoint; the writer then waits for the disk.
LOG_PAGES = 10_000

# Earlier releases wrote the same tables but left the file's version at 0. `if not exists` adopts such a file
# unchanged and then writes the version.
_TABLES = """
create table if not exists documents(
    kind text not null, id not null, parent, body text not null, primary key(kind, id)) without rowid;
create index if not exists documents_by_parent on documents(kind, parent);
create table if not exists blobs(kind text not null, id not null, body blob not null, primary key(kind, id));
create table if not exists sequences(kind text primary key, last integer not null) without rowid;
create table if not exists sessions(
    token_hash text primary key, user_id integer not null, expires real not null) without rowid;
create table if not exists metrics(
    id integer primary key, trial_id integer not null, run_id integer not null, metric_group text not null,
    steps integer not null, end_time text not null, body text not null, archived integer not null default 0);
create index if not exists metrics_by_trial on metrics(trial_id, metric_group, archived, steps, id);
create table if not exists logs(
    id integer primary key, task_id text not null, allocation_id text, timestamp text not null, level text,
    source text, stdtype text, rank_id integer, agent_id text, container_id text, log text not null);
create index if not exists logs_by_task on logs(task_id, id);
"""
SCHEMA = Schema(version=1, script=_TABLES)


class Store(Database):
    """The master's database.

    Args:
        path: The database file; created when missing.

    Raises:
        StackError: It cannot be used, or is empty beside runs or checkpoints of earlier experiments.
    """

    def __init__(self, path: Path) -> None:
        # A power loss can lose only the last moment of a training run, which the power loss ends anyway.
        beside = [path.with_name("runs"), path.with_name("checkpoints")]
        super().__init__(path, SCHEMA, survives_power_loss=False, log_pages=LOG_PAGES, beside=beside)
        self._versions: dict[str, int] = {}

    # -- documents -----------------------------------------------------------------------------------------------

    def next_id(self, kind: str) -> int:
        """Return the next id of a kind, starting at 1; ids are never reused."""
        with self.write() as db:
            db.execute("insert into sequences values(?, 1) on conflict(kind) do update set last = last + 1", (kind,))
            return int(db.execute("select last from sequences where kind = ?", (kind,)).fetchone()[0])

    def get(self, kind: str, key: int | str) -> Document | None:
        """Return a document, or None."""
        with self.read() as db:
            row = db.execute("select body from documents where kind = ? and id = ?", (kind, key)).fetchone()
        return json.loads(row[0]) if row else None

    def need(self, kind: str, key: int | str) -> Document:
        """Return a document.

        Raises:
            Refusal: The document doesn't exist.
        """
        found = self.get(kind, key)
        if found is None:
            raise not_found(f"{kind} '{key}' not found")
        return found

    def put(self, kind: str, key: int | str, body: Document, parent: int | str | None = None) -> None:
        """Write a document; None keeps its parent."""
        with self.write() as db:
            self.count_change(kind)
            db.execute(
                "insert into documents values(?, ?, ?, ?) on conflict(kind, id) do update set "
                "body = excluded.body, parent = coalesce(excluded.parent, parent)",
                (kind, key, parent, json.dumps(body)),
            )

    def update(self, kind: str, key: int | str, **changes: Any) -> Document:
        """Change fields of a document and return it.

        Raises:
            Refusal: The document doesn't exist.
        """
        with self.write():
            body = {**self.need(kind, key), **changes}
            self.put(kind, key, body)
        return body

    def ids(self, kind: str) -> list[int]:
        """List the ids of a kind in order, without reading its documents."""
        # The index holds the ids without the documents, which the table's own order would pass through.
        query = "select id from documents indexed by documents_by_parent where kind = ? order by id"
        with self.read() as db:
            return [int(row[0]) for row in db.execute(query, (kind,))]

    def list(self, kind: str, parent: int | str | None = None) -> list[Document]:
        """List the documents of a kind (and parent), ordered by id."""
        # By itself, SQLite would pass through all documents of the kind, because these are in the wanted order.
        children = "documents indexed by documents_by_parent where kind = ? and parent = ?"
        where, values = ("documents where kind = ?", (kind,)) if parent is None else (children, (kind, parent))
        with self.read() as db:
            rows = db.execute(f"select body from {where} order by id", values).fetchall()
        return [json.loads(row[0]) for row in rows]

    def values(self, kind: str, field: str) -> set[Any]:
        """Return what the documents of a kind have in a field, without the documents that have nothing there."""
        with self.read() as db:
            rows = db.execute(
                "select distinct json_extract(body, '$.' || ?) from documents where kind = ?", (field, kind)
            ).fetchall()
        return {row[0] for row in rows if row[0] is not None}

    def count(self, kind: str, parent: int | str) -> int:
        """Count a parent's documents of a kind."""
        with self.read() as db:
            row = db.execute("select count(*) from documents where kind = ? and parent = ?", (kind, parent)).fetchone()
        return int(row[0])

    def delete(self, kind: str, key: int | str) -> None:
        """Delete a document if it exists."""
        with self.write() as db:
            self.count_change(kind)
            db.execute("delete from documents where kind = ? and id = ?", (kind, key))

    # -- blobs ---------------------------------------------------------------------------------------------------

    def put_blob(self, kind: str, key: int | str, body: bytes) -> None:
        """Write a blob."""
        with self.write() as db:
            db.execute("insert or replace into blobs values(?, ?, ?)", (kind, key, body))

    def get_blob(self, kind: str, key: int | str) -> bytes | None:
        """Return a blob, or None."""
        with self.read() as db:
            row = db.execute("select body from blobs where kind = ? and id = ?", (kind, key)).fetchone()
        return bytes(row[0]) if row else None

    def delete_blob(self, kind: str, key: int | str) -> None:
        """Delete a blob if it exists."""
        with self.write() as db:
            db.execute("delete from blobs where kind = ? and id = ?", (kind, key))

    # -- versions ------------------------------------------------------------------------------------------------

    def version(self, kind: str) -> int:
        """Return a number that grows with every committed change to a kind."""
        return self._versions.get(kind, 0)

    def count_change(self, kind: str) -> None:
        """Record a change to a kind; call within :meth:`write`."""
        self.after_commit(functools.partial(self._count_change, kind))

    def _count_change(self, kind: str) -> None:
        self._versions[kind] = self._versions.get(kind, 0) + 1


class Copies(Generic[Key, Value]):
    """In-memory cache of documents that every request looks up; a change to the kind invalidates it.

    Args:
        store: The database.
        kind: The kind whose changes invalidate the cache.
        read: Reads one entry; None is not cached.
    """

    def __init__(self, store: Store, kind: str, read: Callable[[Key], Value | None]) -> None:
        self._store = store
        self._kind = kind
        self._read = read
        self._held: tuple[int, dict[Key, Value]] = (-1, {})

    def get(self, key: Key) -> Value | None:
        """Return an entry, or None."""
        # Read the version before the database, so that a copy that is already stale keeps the older version.
        version, (held_version, copies) = self._store.version(self._kind), self._held
        if held_version != version:
            copies = {}
            self._held = (version, copies)
        found = copies.get(key)
        if found is None:
            found = self._read(key)
            if found is not None:
                copies[key] = found
        return found
