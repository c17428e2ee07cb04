"""SQLite as all services use it: one writer at a time, readers that see a snapshot, a bell for those who wait."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pdk_shared.errors import StackError
from pdk_stack.common.errors import StorageFull

__all__ = ["Bell", "Database", "Schema"]

BUSY_TIMEOUT_S = 30.0


class Bell:
    """Rings after every committed change, so that waiting calls look again.

    A waiter takes the count *before* it looks at the data; a change in between is then not missed.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """How often it has rung."""
        with self._condition:
            return self._count

    def ring(self) -> None:
        """Wake all waiters."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float | None) -> int:
        """Wait until it has rung since the count was ``seen``.

        Args:
            seen: The count that the caller knows.
            timeout: Seconds to wait at most; None is no limit.

        Returns:
            The count now.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout)
            return self._count


@dataclass(frozen=True)
class Schema:
    """Tables of a database, and how they came to be.

    Attributes:
        version: Written into the file (``user_version``), from 1.
        script: Makes all tables of this version in an empty file.
        migrations: By version, the script that leads to the next one.
    """

    version: int
    script: str
    migrations: Mapping[int, str] = field(default_factory=dict)


class Database:
    """One SQLite file in write-ahead mode.

    Args:
        path: The file; created, for its owner only, when missing.
        schema: Its tables.
        survives_power_loss: Whether a commit waits for the disk. Without it a commit still survives the end of the
            process, however it ends.
        log_pages: Pages of 4 KiB in the write-ahead log before a writer moves them into the file.

    Attributes:
        lock: Held over every change; to be held over a read that a later change depends on.
        bell: Rings after every change.

    Raises:
        StackError: Another release wrote the file.
    """

    def __init__(self, path: Path, schema: Schema, *, survives_power_loss: bool = True, log_pages: int = 1000) -> None:
        self.path = path
        self.bell = Bell()
        self.lock = threading.RLock()
        self._pragmas = (
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {'FULL' if survives_power_loss else 'NORMAL'}",
            f"PRAGMA wal_autocheckpoint = {log_pages}",
            "PRAGMA foreign_keys = ON",
        )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        self._writer = self._connect()
        self._writing: int | None = None
        self._after_commit: list[Callable[[], None]] = []
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        self._prepare(schema)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in self._pragmas:
            connection.execute(pragma)
        return connection

    def _prepare(self, schema: Schema) -> None:
        found = self._writer.execute("PRAGMA user_version").fetchone()[0]
        while found in schema.migrations:
            self._writer.executescript(f"BEGIN; {schema.migrations[found]} PRAGMA user_version = {found + 1}; COMMIT;")
            found += 1
        if found == 0:
            self._writer.executescript(f"BEGIN; {schema.script} PRAGMA user_version = {schema.version}; COMMIT;")
        elif found != schema.version:
            raise StackError(
                f"The embedded stack's state has version {found}; this release reads {schema.version}.",
                where=str(self.path),
                fix="pdk-nb reset (discards the embedded stack's state)",
            )

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One atomic change: committed at the end of the block, undone when an error leaves it.

        A block inside another one of the same thread joins it.

        Raises:
            StorageFull: The disk has no room for the change.
            sqlite3.Error: It could not be written, and nothing of it was.
        """
        with self.lock:
            connection = self._writer
            if self._writing is not None:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            self._writing = threading.get_ident()
            try:
                yield connection
                if not connection.in_transaction:  # SQLite gives it up on its own when the disk is full
                    raise sqlite3.OperationalError("the transaction was given up")
                connection.execute("COMMIT")
            except BaseException as error:
                self._after_commit.clear()
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and ("full" in str(error) or "given up" in str(error)):
                    raise StorageFull(f"no space left for the database: {error}") from error
                raise
            finally:
                self._writing = None
            # Still under the lock: what is kept in memory changes in the order of the commits.
            calls, self._after_commit = self._after_commit, []
            for call in calls:
                call()
        self.bell.ring()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Within :meth:`write`: call a function once the change is committed; never when it is undone."""
        self._after_commit.append(call)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A snapshot of the last committed state; within :meth:`write`, of what that change has written so far."""
        if self._writing == threading.get_ident():
            yield self._writer
            return
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            with self._idle_lock:
                if self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    def close(self) -> None:
        """Close all connections."""
        with self.lock, self._idle_lock:
            self._closed = True
            for connection in [self._writer, *self._idle]:
                connection.close()
            self._idle.clear()
