"""What the master remembers: documents by kind and id in SQLite, beside tables for logs, metrics and sessions.

One connection per thread; writes are serialised by one lock. The write-ahead log makes every finished write
survive the end of the process, however it ends.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Document", "Store"]

Document = dict[str, Any]

#: Pages of 4 KiB in the write-ahead log before they move into the database; whoever writes then waits for the disk.
LOG_PAGES = 10_000

_SCHEMA = """
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


class Store:
    """The master's database.

    Args:
        path: The database file; made if absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        #: Held over every write, and over a read that a write depends on.
        self.lock = threading.RLock()
        self._touched: set[str] = set()
        self._versions: dict[str, int] = {}
        self._to_ring = False
        #: Rings after every change that somebody may wait for.
        self.changed = threading.Condition()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.db.executescript(_SCHEMA)
        path.chmod(0o600)

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection, for reading."""
        found = getattr(self._local, "connection", None)
        if found is None:
            found = sqlite3.connect(self._path, check_same_thread=False, timeout=30, isolation_level=None)
            found.execute("pragma journal_mode=wal")
            found.execute("pragma synchronous=normal")
            found.execute(f"pragma wal_autocheckpoint={LOG_PAGES}")
            self._local.connection = found
            with self.lock:
                self._connections.append(found)
        return found

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction; nested ones join the outer one.

        Raises:
            sqlite3.Error: It could not be written, and nothing of it was.
        """
        with self.lock:
            db = self.db
            if db.in_transaction:
                yield db
                return
            db.execute("begin immediate")
            try:
                yield db
                if not db.in_transaction:  # SQLite ends it on its own when the disk is full
                    raise sqlite3.OperationalError("the transaction was given up")
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                self._touched.clear()
                self._to_ring = False
                raise
            while self._touched:
                kind = self._touched.pop()
                self._versions[kind] = self._versions.get(kind, 0) + 1
            ring, self._to_ring = self._to_ring, False
        if ring:
            self.ring()

    def insert(self, statement: str, row: tuple[Any, ...]) -> int:
        """Write one row in a transaction of its own, or in the one that is open.

        Returns:
            The row's number.
        """
        with self.lock:
            return int(self.db.execute(statement, row).lastrowid or 0)

    def close(self) -> None:
        """Close all connections."""
        with self.lock:
            for each in self._connections:
                each.close()
            self._connections.clear()

    def ring(self) -> None:
        """Wake everybody who waits for a change: after the transaction that is open, as nobody sees it before."""
        if self.db.in_transaction:
            self._to_ring = True
            return
        with self.changed:
            self.changed.notify_all()

    # -- documents -----------------------------------------------------------------------------------------------

    def next_id(self, kind: str) -> int:
        """The next number of a kind, from 1; never given out twice."""
        with self.write() as db:
            db.execute("insert into sequences values(?, 1) on conflict(kind) do update set last = last + 1", (kind,))
            return int(db.execute("select last from sequences where kind = ?", (kind,)).fetchone()[0])

    def get(self, kind: str, key: int | str) -> Document | None:
        """One document, or None."""
        row = self.db.execute("select body from documents where kind = ? and id = ?", (kind, key)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, kind: str, key: int | str, body: Document, parent: int | str | None = None) -> None:
        """Write a document; its parent stays when None."""
        with self.write() as db:
            self._touched.add(kind)
            db.execute(
                "insert into documents values(?, ?, ?, ?) on conflict(kind, id) do update set "
                "body = excluded.body, parent = coalesce(excluded.parent, parent)",
                (kind, key, parent, json.dumps(body)),
            )

    def update(self, kind: str, key: int | str, **changes: Any) -> Document:
        """Change fields of a document and return it.

        Raises:
            KeyError: There is none.
        """
        with self.write():
            body = self.get(kind, key)
            if body is None:
                raise KeyError(f"{kind} {key}")
            body.update(changes)
            self.put(kind, key, body)
        self.ring()
        return body

    def list(self, kind: str, parent: int | str | None = None) -> list[Document]:
        """All documents of a kind (and parent), ordered by id."""
        query, values = "select body from documents where kind = ?", [kind]
        if parent is not None:
            query, values = query + " and parent = ?", [kind, parent]  # type: ignore[list-item]
        return [json.loads(row[0]) for row in self.db.execute(query + " order by id", values)]

    def count(self, kind: str, parent: int | str) -> int:
        """How many documents of a kind a parent has."""
        row = self.db.execute("select count(*) from documents where kind = ? and parent = ?", (kind, parent))
        return int(row.fetchone()[0])

    def delete(self, kind: str, key: int | str) -> None:
        """Remove a document, if there."""
        with self.write() as db:
            self._touched.add(kind)
            db.execute("delete from documents where kind = ? and id = ?", (kind, key))

    def version(self, kind: str) -> int:
        """A number that grows with every change of a kind's documents, for those who keep copies."""
        return self._versions.get(kind, 0)

    # -- blobs ---------------------------------------------------------------------------------------------------

    def put_blob(self, kind: str, key: int | str, body: bytes) -> None:
        """Write bytes."""
        with self.write() as db:
            db.execute("insert or replace into blobs values(?, ?, ?)", (kind, key, body))

    def get_blob(self, kind: str, key: int | str) -> bytes | None:
        """Read bytes, or None."""
        row = self.db.execute("select body from blobs where kind = ? and id = ?", (kind, key)).fetchone()
        return bytes(row[0]) if row else None

    def delete_blob(self, kind: str, key: int | str) -> None:
        """Remove bytes, if there."""
        with self.write() as db:
            db.execute("delete from blobs where kind = ? and id = ?", (kind, key))
