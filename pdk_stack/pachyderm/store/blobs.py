"""Content-addressed blobs in pack files.

All uploads of one request go into one pack, synced once: thousands of small files cost one fsync. The BLAKE2b-256 hash
of its content identifies a blob, and a known blob isn't stored again. The transaction that uses a blob also writes
the row with its location, so a pack without rows is left over from a request that never finished. The next start moves
such packs into the quarantine.

Every read checks the hash. Content that doesn't match is never returned whole; uploading it again replaces it.
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
from pdk_stack.pachyderm.errors import DataLoss, Fault

HASH_SIZE = 32
READ_CHUNK = 2 << 20
MAX_OPEN_PACKS = 64
# Blobs that were found intact, so that reading one in many ranges checks it once.
MAX_CHECKED = 4096
EMPTY_HASH = hashlib.blake2b(b"", digest_size=HASH_SIZE).digest()

Location = tuple[bytes, str, int, int]


def new_hash() -> hashlib.blake2b:
    """Create the hash object for a blob."""
    return hashlib.blake2b(digest_size=HASH_SIZE)


class PackWriter:
    """Writes the content of one request.

    Call ``begin``, ``write`` any number of times, and ``end`` for each blob. Then call ``seal`` and insert
    ``locations`` in the transaction that uses the blobs, or call ``discard``.
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
        """Append data to the current blob.

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
        """Close the current blob; return its hash and size. Content that is already known is removed from the pack."""
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
        """Make the content durable; call it before the transaction that refers to the content.

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
        """Remove the written data."""
        if self._handle is not None:
            # On a full disk, the buffer can't be flushed; remove the file anyway.
            with contextlib.suppress(OSError):
                self._handle.close()
            self._handle = None
        self._path.unlink(missing_ok=True)
        self._mine.clear()


class BlobStore:
    """Reads blobs and hands out pack writers.

    Args:
        folder: The folder for the packs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._users_changed = threading.Condition()
        self._users = 0
        self._marks = threading.Lock()
        self._damaged: set[bytes] = set()
        self._checked: dict[bytes, None] = {}

    def mark(self, digest: bytes, *, intact: bool) -> None:
        """Remember whether a blob's content matched its hash."""
        with self._marks:
            self._checked.pop(digest, None)
            if not intact:
                self._damaged.add(digest)
                return
            self._damaged.discard(digest)
            self._checked[digest] = None
            if len(self._checked) > MAX_CHECKED:
                del self._checked[next(iter(self._checked))]

    def was_damaged(self, digest: bytes) -> bool:
        """Whether a blob's content didn't match its hash when it was read last."""
        return digest in self._damaged

    def was_checked(self, digest: bytes) -> bool:
        """Whether a blob's content matched its hash when it was read last, not long ago."""
        with self._marks:
            return digest in self._checked

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Block garbage collection while blobs are written or read."""
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
        """Wait until no user is left, then lock the blobs for the block; yield False on a timeout."""
        with self._users_changed:
            yield self._users_changed.wait_for(lambda: self._users == 0, timeout)

    def writer(self, known: Callable[[bytes], bool]) -> PackWriter:
        """Create a writer for one request; ``known`` returns whether a hash is already stored.

        A blob that was found damaged is stored again.
        """
        return PackWriter(self.folder, lambda digest: not self.was_damaged(digest) and known(digest))

    def path(self, pack: str) -> Path:
        """Return the path of a pack."""
        return self.folder / pack[:2] / pack

    @property
    def quarantine(self) -> Path:
        """The folder for packs that are unknown to the database."""
        return self.folder.with_name("quarantine")

    def set_aside(self, pack: str) -> None:
        """Move a pack into the quarantine."""
        self.quarantine.mkdir(exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            self.path(pack).replace(self.quarantine / pack)

    @contextmanager
    def reader(self, connection: sqlite3.Connection) -> Iterator[BlobReader]:
        """Open a reader that keeps packs open for the duration of the block."""
        with self.in_use():
            reader = BlobReader(self, connection)
            try:
                yield reader
            finally:
                reader.close()

    def packs(self) -> Iterator[str]:
        """Yield the names of all packs on disk."""
        for folder in self.folder.iterdir():
            if folder.is_dir():
                yield from (each.name for each in folder.iterdir())


class BlobReader:
    """Reads blobs; keeps packs open between reads.

    Args:
        store: The blob store.
        connection: The connection for looking up locations.
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

    def read(self, hashes: tuple[bytes, ...], offset: int = 0, limit: int = -1, path: str = "") -> Iterator[bytes]:
        """Yield the concatenated content of blobs, in chunks.

        Args:
            hashes: The blobs, in order.
            offset: Number of bytes to skip at the beginning.
            limit: Maximum number of bytes; a negative value means all.
            path: The file that the blobs belong to, for errors.

        Raises:
            DataLoss: A blob is missing or damaged; the end of its content wasn't yielded.
        """
        for digest in hashes:
            if digest == EMPTY_HASH:
                continue
            row = self._connection.execute("SELECT pack, start, size FROM blobs WHERE hash = ?", (digest,)).fetchone()
            if row is None:
                raise DataLoss(_loss(path, f"chunk {digest.hex()} is missing from storage", "all packs"))
            if offset >= row["size"]:
                offset -= row["size"]
                continue
            remaining = row["size"] - offset
            if limit >= 0:
                remaining = min(remaining, limit)
                limit -= remaining
            place = row["start"] + offset
            try:
                if remaining == row["size"]:
                    yield from self._whole(digest, row["pack"], place, remaining)
                else:
                    if not self._store.was_checked(digest):
                        for _ in self._whole(digest, row["pack"], row["start"], row["size"]):
                            pass
                    yield from self._pieces(row["pack"], place, remaining)
            except (_Damage, OSError) as error:
                self._store.mark(digest, intact=False)
                what = f"chunk {digest.hex()} is damaged in storage ({error})"
                raise DataLoss(_loss(path, what, str(self._store.path(row["pack"])))) from error
            offset = 0
            if limit == 0:
                return

    def _whole(self, digest: bytes, pack: str, place: int, size: int) -> Iterator[bytes]:
        """Yield a blob's content; hold the last chunk back until the hash is known to match."""
        if size <= READ_CHUNK:
            last = os.pread(self._descriptor(pack), size, place)
            if len(last) < size:
                raise _Damage("it is cut short")
            found = hashlib.blake2b(last, digest_size=HASH_SIZE)
        else:
            found, last = new_hash(), b""
            for chunk in self._pieces(pack, place, size):
                if last:
                    yield last
                found.update(chunk)
                last = chunk
        if found.digest() != digest:
            raise _Damage("its hash differs")
        # A small blob is checked again as fast as it is looked up.
        if size > READ_CHUNK or self._store.was_damaged(digest):
            self._store.mark(digest, intact=True)
        yield last

    def _pieces(self, pack: str, place: int, remaining: int) -> Iterator[bytes]:
        while remaining:
            chunk = os.pread(self._descriptor(pack), min(READ_CHUNK, remaining), place)
            if not chunk:
                raise _Damage("it is cut short")
            remaining -= len(chunk)
            place += len(chunk)
            yield chunk


class _Damage(Exception):
    """A blob's content isn't what was stored."""


def _loss(path: str, what: str, where: str) -> str:
    return (
        f"{path or 'content'}: {what}; upload it again, or restore {where} from a backup; Fsck names all lost content"
    )


def known_in(connection: sqlite3.Connection, digest: bytes) -> bool:
    """Whether a blob is stored."""
    return connection.execute("SELECT 1 FROM blobs WHERE hash = ?", (digest,)).fetchone() is not None


def insert_locations(connection: sqlite3.Connection, locations: list[Location]) -> None:
    """Record the locations of new blobs; a blob that was stored before, and maybe damaged since, gets the new one."""
    connection.executemany("INSERT OR REPLACE INTO blobs (hash, pack, start, size) VALUES (?, ?, ?, ?)", locations)


def sync_folder(folder: Path) -> None:
    """Make a new file's directory entry durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_fault(error: OSError) -> Refusal:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"no space left on the device that holds the store: {error}")
    return Fault(f"cannot write to storage: {error}")
