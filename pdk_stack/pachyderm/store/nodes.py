"""Directory nodes: immutable, content-addressed, and shared between commits.

A node is text with one entry per line, in Pachyderm's listing order: by bytes, with a trailing slash in directory
names. Fields are separated by tabs, which paths can't contain:

``name  size  hash  parts`` for a file; ``name/  size  hash  node`` for a directory.

``hash`` is the hash in ``FileInfo``. ``parts`` is ``=`` for a common file (one blob under the default tag, with the
file's hash); otherwise it is JSON: ``[[tag, size, [blob hash, …]], …]``.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pdk_stack.pachyderm.names import DEFAULT_TAG
from pdk_stack.pachyderm.store.blobs import EMPTY_HASH, HASH_SIZE


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a file that one datum wrote."""

    tag: str
    size: int
    blobs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory within its parent.

    Attributes:
        name: The last path component; a directory's ends in a slash.
        size: Size in bytes; for a directory, the total of all files below it.
        hash: 32 bytes; for a directory, the hash of its children's hashes.
        parts: A file's content by tag.
        node: A directory's node key.
    """

    name: str
    size: int
    hash: bytes
    parts: tuple[Part, ...] = ()
    node: bytes = b""

    @property
    def is_dir(self) -> bool:
        """Whether the entry is a directory."""
        return self.name.endswith("/")

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """The blobs that make up the file's content, in order."""
        return tuple(blob for part in self.parts for blob in part.blobs)


class NodeReader(Protocol):
    """A source of nodes."""

    def node(self, key: bytes) -> bytes:
        """Return a node's content."""


class StoredNodes:
    """Nodes in the database.

    Args:
        connection: The connection to read from.
        fresh: Nodes that aren't stored yet, such as those of an open commit.
    """

    def __init__(self, connection: sqlite3.Connection, fresh: dict[bytes, bytes] | None = None) -> None:
        self._connection = connection
        self._fresh = fresh or {}

    def node(self, key: bytes) -> bytes:
        """Return a node's content.

        Raises:
            KeyError: The node doesn't exist.
        """
        found = self._fresh.get(key)
        if found is not None:
            return found
        row = self._connection.execute("SELECT data FROM nodes WHERE hash = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key.hex())
        return bytes(row[0])


def file_entry(name: str, parts: Iterable[Part]) -> Entry:
    """Build a file's entry from its parts, ordered by tag as in Pachyderm."""
    ordered = tuple(sorted(parts, key=lambda part: part.tag))
    blobs = [blob for part in ordered for blob in part.blobs]
    if not blobs:
        digest = EMPTY_HASH
    elif len(blobs) == 1:
        digest = blobs[0]
    else:
        digest = hashlib.blake2b(b"".join(blobs), digest_size=HASH_SIZE).digest()
    return Entry(name, sum(part.size for part in ordered), digest, ordered)


def _format(entry: Entry) -> str:
    if entry.is_dir:
        rest = entry.node.hex()
    elif len(entry.parts) == 1 and entry.parts[0].tag == DEFAULT_TAG and len(entry.parts[0].blobs) == 1:
        rest = "="
    else:
        rest = json.dumps([[p.tag, p.size, [blob.hex() for blob in p.blobs]] for p in entry.parts])
    return f"{entry.name}\t{entry.size}\t{entry.hash.hex()}\t{rest}\n"


def encode(entries: Iterable[Entry]) -> tuple[bytes, Entry]:
    """Encode a directory's node.

    Returns:
        The node's content, and the directory's own entry (named ``/``; the caller renames it).
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    data = "".join(map(_format, ordered)).encode()
    digest = hashlib.blake2b(b"".join(entry.hash for entry in ordered), digest_size=HASH_SIZE).digest()
    key = hashlib.blake2b(data, digest_size=HASH_SIZE).digest()
    return data, Entry("/", sum(entry.size for entry in ordered), digest, node=key)


def decode(data: bytes) -> Iterator[Entry]:
    """Yield the entries of a node."""
    start, end = 0, len(data)
    while start < end:
        stop = data.index(b"\n", start)
        name, size, digest_hex, rest = data[start:stop].decode().split("\t")
        start = stop + 1
        digest = bytes.fromhex(digest_hex)
        if name.endswith("/"):
            yield Entry(name, int(size), digest, node=bytes.fromhex(rest))
        elif rest == "=":
            yield Entry(name, int(size), digest, (Part(DEFAULT_TAG, int(size), (digest,)),))
        else:
            parts = tuple(
                Part(tag, length, tuple(bytes.fromhex(blob) for blob in blobs))
                for tag, length, blobs in json.loads(rest)
            )
            yield Entry(name, int(size), digest, parts)
