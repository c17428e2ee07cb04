"""Content-addressed blobs in pack files.

Everything that one request uploads goes into one pack, synced once: thousands of small files cost one fsync.
A blob is found by the BLAKE2b-256 hash of its content; a blob that is already known is not stored again. The
rows that say where a blob lies are written by the same database transaction that makes use of it, so a pack
without rows is a left-over of a request that never ended. The next start moves it into the quarantine.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pdk_stack.common.errors import Refusal, StorageFull
from pdk_stack.pachyderm.errors import Fault

HASH_SIZE = 32
READ_CHUNK = 2 << 20
MAX_OPEN_PACKS = 64
EMPTY_HASH = hashlib.blake2b(b"", digest_size=HASH_SIZE).digest()

Location = tuple[bytes, str, int, int]


def new_hash() -> hashlib.blake2b:
    """A hash object as blobs use it."""
    return hashlib.blake2b(digest_size=HASH_SIZE)


class PackWriter:
    """Receives the content of one request.

    ``begin``, any number of ``write``, ``end`` for each blob; then ``seal``, and insert ``locations`` in the
    transaction that uses the blobs; or ``discard``.
    """

    def __init__(self, folder: Path, known: Callable[[bytes], bool]) -> None:
        self._name = uuid.uuid4().hex
        self._path = folder / self._name[:2] / self._name
        self._known = known
        self._handle: IO[bytes] | None = None
        self._end = 0
        self._start = 0
        self._hash = new_hash()
        self._mine: dict[bytes, Location] = {}

    @property
    def locations(self) -> list[Location]:
        """Rows for the ``blobs`` table: hash, pack, start, size."""
        return list(self._mine.values())

    def begin(self) -> None:
        """Start a blob."""
        self._start = self._end
        self._hash = new_hash()

    def write(self, data: bytes | memoryview) -> None:
        """Append to the current blob.

        Raises:
            StorageFull: The disk is full.
        """
        try:
            if self._handle is None:
                if not self._path.parent.exists():
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    sync_folder(self._path.parent.parent)
                self._handle = self._path.open("w+b", buffering=1 << 18)
            self._handle.write(data)
        except OSError as error:
            raise _storage_fault(error) from error
        self._hash.update(data)
        self._end += len(data)

    def end(self) -> tuple[bytes, int]:
        """Close the current blob; its hash and size. Known content is taken back from the pack."""
        digest, size = self._hash.digest(), self._end - self._start
        if size == 0:
            return EMPTY_HASH, 0
        if digest in self._mine or self._known(digest):
            self._rewind()
        else:
            self._mine[digest] = (digest, self._name, self._start, size)
        return digest, size

    def _rewind(self) -> None:
        assert self._handle is not None
        try:
            self._handle.seek(self._start)
            self._handle.truncate()
        except OSError as error:
            raise _storage_fault(error) from error
        self._end = self._start

    def seal(self) -> None:
        """Make the content durable; must come before the transaction that refers to it.

        Raises:
            StorageFull: The disk is full.
        """
        if self._handle is None:
            return
        try:
            self._handle.flush()
            if self._mine:
                os.fsync(self._handle.fileno())
            self._handle.close()
            self._handle = None
            if self._mine:
                sync_folder(self._path.parent)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            self.discard()
            raise _storage_fault(error) from error

    def discard(self) -> None:
        """Remove what was written."""
        if self._handle is not None:
            # The buffer of a full disk cannot be flushed; the file goes anyway.
            with contextlib.suppress(OSError):
                self._handle.close()
            self._handle = None
        self._path.unlink(missing_ok=True)
        self._mine.clear()


class BlobStore:
    """Reads blobs and hands out pack writers.

    Args:
        folder: Where the packs lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._users_changed = threading.Condition()
        self._users = 0

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps :meth:`collect` away while blobs are written or read."""
        with self._users_changed:
            self._users += 1
        try:
            yield
        finally:
            with self._users_changed:
                self._users -= 1
                self._users_changed.notify_all()

    @contextmanager
    def alone(self, timeout: float) -> Iterator[bool]:
        """Waits until nobody uses the blobs, then keeps everybody out; False when the time is over."""
        with self._users_changed:
            yield self._users_changed.wait_for(lambda: self._users == 0, timeout)

    def writer(self, known: Callable[[bytes], bool]) -> PackWriter:
        """A writer for one request; ``known`` says whether a hash is stored already."""
        return PackWriter(self.folder, known)

    def path(self, pack: str) -> Path:
        """The file of a pack."""
        return self.folder / pack[:2] / pack

    @property
    def quarantine(self) -> Path:
        """Where packs lie that the database doesn't know."""
        return self.folder.with_name("quarantine")

    def set_aside(self, pack: str) -> None:
        """Move a pack into the quarantine."""
        self.quarantine.mkdir(exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            self.path(pack).replace(self.quarantine / pack)

    @contextmanager
    def reader(self, connection: sqlite3.Connection) -> Iterator[BlobReader]:
        """A reader that keeps packs open for the length of the block."""
        with self.in_use():
            reader = BlobReader(self, connection)
            try:
                yield reader
            finally:
                reader.close()

    def packs(self) -> Iterator[str]:
        """Names of all packs on disk."""
        for folder in self.folder.iterdir():
            if folder.is_dir():
                yield from (each.name for each in folder.iterdir())


class BlobReader:
    """Reads blobs; the packs stay open from one blob to the next.

    Args:
        store: Where the packs lie.
        connection: Where locations are looked up.
    """

    def __init__(self, store: BlobStore, connection: sqlite3.Connection) -> None:
        self._store = store
        self._connection = connection
        self._open: dict[str, int] = {}

    def close(self) -> None:
        """Close all packs."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _descriptor(self, pack: str) -> int:
        found = self._open.get(pack)
        if found is None:
            if len(self._open) >= MAX_OPEN_PACKS:
                os.close(self._open.pop(next(iter(self._open))))
            found = self._open[pack] = os.open(self._store.path(pack), os.O_RDONLY)
        return found

    def read(self, hashes: tuple[bytes, ...], offset: int = 0, limit: int = -1) -> Iterator[bytes]:
        """The concatenated content of some blobs, in chunks.

        Args:
            hashes: The blobs, in order.
            offset: Bytes to leave out at the beginning.
            limit: Bytes to give at most; all when negative.
        """
        for digest in hashes:
            if digest == EMPTY_HASH:
                continue
            row = self._connection.execute("SELECT pack, start, size FROM blobs WHERE hash = ?", (digest,)).fetchone()
            if row is None:
                raise Fault(f"chunk {digest.hex()} is missing from storage")
            if offset >= row["size"]:
                offset -= row["size"]
                continue
            remaining = row["size"] - offset
            if limit >= 0:
                remaining = min(remaining, limit)
                limit -= remaining
            place = row["start"] + offset
            while remaining:
                chunk = os.pread(self._descriptor(row["pack"]), min(READ_CHUNK, remaining), place)
                if not chunk:
                    raise Fault(f"chunk {digest.hex()} is cut short in storage")
                remaining -= len(chunk)
                place += len(chunk)
                yield chunk
            offset = 0
            if limit == 0:
                return


def known_in(connection: sqlite3.Connection, digest: bytes) -> bool:
    """Whether a blob is stored."""
    return connection.execute("SELECT 1 FROM blobs WHERE hash = ?", (digest,)).fetchone() is not None


def insert_locations(connection: sqlite3.Connection, locations: list[Location]) -> None:
    """Record where new blobs lie; a blob that came in meanwhile keeps its first place."""
    connection.executemany("INSERT OR IGNORE INTO blobs (hash, pack, start, size) VALUES (?, ?, ?, ?)", locations)


def sync_folder(folder: Path) -> None:
    """Make a new file's name durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_fault(error: OSError) -> Refusal:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"no space left on the device that holds the store: {error}")
    return Fault(f"cannot write to storage: {error}")
