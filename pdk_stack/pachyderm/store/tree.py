"""Reading a file tree: lookup, children, and walk in Pachyderm's order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pdk_stack.pachyderm.names import clean_path
from pdk_stack.pachyderm.store.nodes import Entry, NodeReader, decode, encode

EMPTY_DATA, EMPTY_ROOT = encode([])


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry with its path.

    Attributes:
        path: The absolute path; a directory's ends in a slash.
        entry: The entry.
    """

    path: str
    entry: Entry

    @property
    def is_dir(self) -> bool:
        """Whether the entry is a directory."""
        return self.entry.is_dir


class Tree:
    """A file tree.

    Args:
        nodes: The source of nodes.
        root: The root node's key; None for an empty tree.
    """

    def __init__(self, nodes: NodeReader, root: bytes | None) -> None:
        self._nodes = nodes
        self.key = root

    @property
    def is_empty(self) -> bool:
        """Whether the tree has no entries."""
        return self.key is None or self.key == EMPTY_ROOT.node

    def root(self) -> FoundEntry | None:
        """Return the root directory, or None if the tree is empty."""
        if self.key is None or self.is_empty:
            return None
        entries = decode(self._nodes.node(self.key))
        _, entry = encode(entries)
        return FoundEntry("/", entry)

    def find(self, path: str) -> FoundEntry | None:
        """Return the entry at a path; without a trailing slash, a file takes precedence over a directory."""
        wants_dir = path.endswith("/")
        parts = [part for part in clean_path(path).split("/") if part]
        if not parts:
            return self.root()
        key = self.key
        if key is None:
            return None
        for part in parts[:-1]:
            entry = self._entry(key, part + "/")
            if entry is None:
                return None
            key = entry.node
        prefix = "/" + "/".join(parts)
        if not wants_dir:
            entry = self._entry(key, parts[-1])
            if entry is not None:
                return FoundEntry(prefix, entry)
        entry = self._entry(key, parts[-1] + "/")
        return None if entry is None else FoundEntry(prefix + "/", entry)

    def _entry(self, key: bytes, name: str) -> Entry | None:
        data = self._nodes.node(key)
        wanted = f"{name}\t".encode()
        if data.startswith(wanted):
            start = 0
        else:
            start = data.find(b"\n" + wanted) + 1
            if start == 0:
                return None
        return next(decode(data[start : data.index(b"\n", start) + 1]))

    def children(self, folder: FoundEntry, start: str = "") -> Iterator[FoundEntry]:
        """Yield the direct children of a directory.

        Args:
            folder: The directory.
            start: Name of a file in it to begin with; from the first child if it has no such file.
        """
        data = self._nodes.node(folder.entry.node)
        # Its line is found without reading those before it. Names contain no tabs and no newlines.
        begin = data.find(f"\n{start}\t".encode()) + 1 if start else 0
        for entry in decode(data[begin:] if begin else data):
            yield FoundEntry(folder.path + entry.name, entry)

    def walk(self, start: FoundEntry) -> Iterator[FoundEntry]:
        """Yield an entry and everything below it, in order, each directory before its content."""
        yield start
        if not start.is_dir:
            return
        pending = [self.children(start)]
        while pending:
            found = next(pending[-1], None)
            if found is None:
                pending.pop()
                continue
            yield found
            if found.is_dir:
                pending.append(self.children(found))

    def files(self, start: FoundEntry) -> Iterator[FoundEntry]:
        """Yield only the files of :meth:`walk`."""
        return (found for found in self.walk(start) if not found.is_dir)
