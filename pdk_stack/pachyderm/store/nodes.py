"""Directory nodes: immutable, addressed by the hash of their content, shared between commits.

A node is text, one entry per line, in the order in which Pachyderm lists: by bytes, a directory's name with
its slash. Fields are separated by tabs (no path may hold one):

``name  size  hash  parts`` for a file; ``name/  size  hash  node`` for a directory.

``hash`` is what ``FileInfo`` shows. ``parts`` is ``=`` for the usual file (one blob under the default tag,
whose hash is the file's), else JSON: ``[[tag, size, [blob hash, …]], …]``.
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
    """What one datum wrote into a file."""

    tag: str
    size: int
    blobs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or directory in its parent.

    Attributes:
        name: Last part of the path; a directory's ends in a slash.
        size: Bytes; of a directory, those of all files below.
        hash: 32 bytes; of a directory, over its children's hashes.
        parts: A file's content by tag.
        node: A directory's node.
    """

    name: str
    size: int
    hash: bytes
    parts: tuple[Part, ...] = ()
    node: bytes = b""

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.name.endswith("/")

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """The blobs whose concatenation is the file's content."""
        return tuple(blob for part in self.parts for blob in part.blobs)


class NodeReader(Protocol):
    """Gives a node's bytes."""

    def node(self, key: bytes) -> bytes:
        """The node's content."""


class StoredNodes:
    """Nodes in the database.

    Args:
        connection: Where they are read.
        fresh: Nodes that are not stored yet, e.g. those of an open commit.
    """

    def __init__(self, connection: sqlite3.Connection, fresh: dict[bytes, bytes] | None = None) -> None:
        self._connection = connection
        self._fresh = fresh or {}

    def node(self, key: bytes) -> bytes:
        """The node's content.

        Raises:
            KeyError: There is no such node.
        """
        found = self._fresh.get(key)
        if found is not None:
            return found
        row = self._connection.execute("SELECT data FROM nodes WHERE hash = ?", (key,)).fetchone()
        if row is None:
            raise KeyError(key.hex())
        return bytes(row[0])


def file_entry(name: str, parts: Iterable[Part]) -> Entry:
    """A file's entry from its parts; they are ordered by tag, as Pachyderm concatenates them."""
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
    """A directory's node.

    Returns:
        The node's content, and the directory's own entry (name ``/``, to be renamed by the caller).
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    data = "".join(map(_format, ordered)).encode()
    digest = hashlib.blake2b(b"".join(entry.hash for entry in ordered), digest_size=HASH_SIZE).digest()
    key = hashlib.blake2b(data, digest_size=HASH_SIZE).digest()
    return data, Entry("/", sum(entry.size for entry in ordered), digest, node=key)


def decode(data: bytes) -> Iterator[Entry]:
    """The entries of a node, one after another."""
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
