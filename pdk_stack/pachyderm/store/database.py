"""The database: one writer at a time, readers that see a snapshot, a bell for those who wait."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdk_shared.errors import StackError
from pdk_stack.pachyderm.errors import StorageFull
from pdk_stack.pachyderm.store.schema import MIGRATIONS, SCHEMA, VERSION

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

    def wait(self, seen: int, timeout: float) -> int:
        """Wait until it has rung more often than ``seen``, at most ``timeout`` seconds; the new count."""
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout)
            return self._count


class Database:
    """SQLite in write-ahead mode, synced to disk at every commit.

    Args:
        path: The database file; created when missing.

    Raises:
        StackError: The file was written by another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bell = Bell()
        self._writing = threading.RLock()
        self._writer = self._connect()
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        self._prepare()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a committed transaction survives power loss, not only the end of the process.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    def _prepare(self) -> None:
        found = self._writer.execute("PRAGMA user_version").fetchone()[0]
        while found in MIGRATIONS:
            step = f"BEGIN; {MIGRATIONS[found]} PRAGMA user_version = {found + 1}; COMMIT;"
            self._writer.executescript(step)
            found += 1
        if found == VERSION:
            return
        if found != 0:
            raise StackError(
                f"The embedded Pachyderm's state has version {found}; this release reads {VERSION}.",
                where=str(self.path),
                fix="pdk-nb reset (discards the embedded stack's state)",
            )
        self._writer.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One atomic change. Ends in a commit, or in a rollback when an error leaves the block.

        Raises:
            StorageFull: The disk has no room for the change.
        """
        with self._writing:
            connection = self._writer
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                    raise StorageFull(f"no space left for the database: {error}") from error
                raise
        self.bell.ring()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A snapshot of the last committed state, for as long as the block lasts."""
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
        with self._writing, self._idle_lock:
            self._closed = True
            for connection in [self._writer, *self._idle]:
                connection.close()
            self._idle.clear()


def now_ns() -> int:
    """The time in nanoseconds since the epoch, never on a whole second (clients test the fraction)."""
    moment = time.time_ns()
    return moment if moment % 1_000_000_000 else moment + 1
