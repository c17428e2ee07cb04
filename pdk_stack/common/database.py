"""SQLite for all services: one writer at a time, snapshot reads, and a bell that wakes waiting calls."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pdk_shared.errors import StackError
from pdk_stack.common.errors import StorageFull

__all__ = ["Bell", "Database", "Schema"]

BUSY_TIMEOUT_S = 30.0
START_OVER = "Put the file back from a backup, or delete all state and start over: pdk-nb down --purge"


class Bell:
    """Rings after every committed change so that waiting calls check again.

    Read the count *before* you look at the data; then no change in between is missed.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """The number of rings so far."""
        with self._condition:
            return self._count

    def ring(self) -> None:
        """Wake all waiters."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, timeout: float | None) -> int:
        """Wait for a ring after the count was ``seen``.

        Args:
            seen: The last count that the caller knows.
            timeout: Maximum time to wait, in seconds; None means no limit.

        Returns:
            The current count.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, timeout)
            return self._count


@dataclass(frozen=True)
class Schema:
    """The tables of a database and their migrations.

    Attributes:
        version: The version stored in the file (``user_version``), starting at 1.
        script: Creates all tables of this version in an empty file.
        migrations: For each version, the script that migrates to the next one.
    """

    version: int
    script: str
    migrations: Mapping[int, str] = field(default_factory=dict)


class Database:
    """One SQLite file in write-ahead mode.

    Args:
        path: The database file; created with owner-only permissions if missing.
        schema: The tables.
        survives_power_loss: Whether a commit waits for the disk. If False, a commit still survives a crash of the
            process.
        log_pages: Size of the write-ahead log, in pages of 4 KiB, at which a writer checkpoints it.
        beside: Files and folders that stay empty until the database has content. If one isn't empty but the database
            is, the database has lost its content.

    Attributes:
        lock: Held during every change. Hold it during a read that a later change depends on.
        bell: Rings after every change.

    Raises:
        StackError: A different release wrote the file, or it is damaged, not writable, or has lost its content.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        *,
        survives_power_loss: bool = True,
        log_pages: int = 1000,
        beside: Sequence[Path] = (),
    ) -> None:
        self.path = path
        self.bell = Bell()
        self.lock = threading.RLock()
        self._pragmas = (
            "PRAGMA journal_mode = WAL",
            f"PRAGMA synchronous = {'FULL' if survives_power_loss else 'NORMAL'}",
            f"PRAGMA wal_autocheckpoint = {log_pages}",
            "PRAGMA foreign_keys = ON",
        )
        # Check before SQLite opens the file, because it deletes the write-ahead log of an empty file.
        if not _has_content(path):
            self._refuse_loss([path.with_name(f"{path.name}-wal"), *beside])
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
        except OSError as error:
            raise StackError(f"The database cannot be opened: {error.strerror}.", where=str(path)) from error
        self._writing: int | None = None
        self._after_commit: list[Callable[[], None]] = []
        self._idle: list[sqlite3.Connection] = []
        self._idle_lock = threading.Lock()
        self._closed = False
        with self._damage_named(), ExitStack() as opened:
            try:
                self._writer = self._connect()
                opened.callback(self._writer.close)
                self._prepare(schema, beside)
                opened.pop_all()
            except sqlite3.OperationalError as error:
                raise StackError(
                    f"The database cannot be opened: {error}.",
                    where=str(path),
                    fix="Make sure that the folder can be written to and has room, then: pdk-nb up",
                ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        try:
            for pragma in self._pragmas:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self, schema: Schema, beside: Sequence[Path]) -> None:
        if self._writer.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            self._refuse_loss(beside)
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
                fix="Use the release that wrote it, or delete all state and start over: pdk-nb down --purge",
            )

    def _refuse_loss(self, beside: Sequence[Path]) -> None:
        left = next((each for each in beside if _has_content(each)), None)
        if left is not None:
            raise StackError(
                f"The database is empty, but {left.name} beside it is not: the database has lost its content.",
                where=str(self.path),
                fix=START_OVER,
            )

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # SQLite raises subclasses for statements and rows; only the base class concerns the file.
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise StackError(f"The database is damaged: {error}.", where=str(self.path), fix=START_OVER) from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Make an atomic change: commit at the end of the block, roll back if the block raises.

        A nested block in the same thread joins the outer one.

        Raises:
            StorageFull: The disk has no room for the change.
            sqlite3.Error: The write failed; nothing was stored.
        """
        with self.lock:
            connection = self._writer
            if self._writing is not None:
                yield connection
                return
            with self._damage_named():
                connection.execute("BEGIN IMMEDIATE")
            self._writing = threading.get_ident()
            try:
                with self._damage_named():
                    yield connection
                if not connection.in_transaction:  # SQLite rolls back on its own when the disk is full
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
            # Still under the lock, so that in-memory state changes in commit order.
            calls, self._after_commit = self._after_commit, []
            for call in calls:
                call()
        self.bell.ring()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Within :meth:`write`: call a function after the change commits; not if it is rolled back."""
        self._after_commit.append(call)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open a snapshot of the last committed state; within :meth:`write`, of that change's own writes too."""
        if self._writing == threading.get_ident():
            yield self._writer
            return
        with self._idle_lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        try:
            connection.execute("BEGIN")
            with self._damage_named():
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


def _has_content(path: Path) -> bool:
    """Whether a file has content, or a folder has a file somewhere in it."""
    if path.is_dir():
        return any(each.is_file() for each in path.rglob("*"))
    return path.is_file() and path.stat().st_size > 0
