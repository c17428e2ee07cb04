"""Collects a stream of file modifications for one atomic change."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import DEFAULT_TAG, check_path, clean_path
from pdk_stack.pachyderm.store.blobs import PackWriter
from pdk_stack.pachyderm.store.tree import FoundEntry
from pdk_stack.pachyderm.store.tree_edits import Add, Copy, Delete, TreeEdit

COPY_CHUNK = 1 << 20
# A cluster accepts it, but can't return it afterwards.
NO_ROOT_FILE = "cannot put a file at the root directory"


class Upload:
    """Collects modifications; content goes directly to a pack, so memory doesn't grow with file sizes.

    Args:
        pack: Receives the content.
    """

    def __init__(self, pack: PackWriter) -> None:
        self.pack = pack
        self.changes: list[TreeEdit] = []
        self._open: tuple[str, str] | None = None

    def add(self, path: str, data: bytes | memoryview | None, tag: str = "") -> None:
        """Append bytes to a file; a call without data creates the file.

        Raises:
            Fault: The path is invalid.
        """
        key = (path, tag)
        if self._open != key:
            self.close()
            check_path(path)
            if clean_path(path) == "/":
                raise Fault(NO_ROOT_FILE)
            self.pack.begin()
            self._open = key
        if data:
            self.pack.write(data)

    def close(self) -> None:
        """Finish the current file."""
        if self._open is None:
            return
        path, tag = self._open
        self._open = None
        digest, size = self.pack.end()
        self.changes.append(Add(clean_path(path), tag or DEFAULT_TAG, (digest,) if size else (), size))

    def delete(self, path: str, tag: str = "") -> None:
        """Delete a file or, with a trailing slash, a directory.

        Raises:
            Fault: The path is invalid.
        """
        self.close()
        check_path(path)
        cleaned = clean_path(path)
        if path.endswith("/") and cleaned != "/":
            cleaned += "/"
        self.changes.append(Delete(cleaned, None if cleaned.endswith("/") and not tag else tag or DEFAULT_TAG))

    def copy(self, path: str, tag: str, append: bool, source_tree: bytes, source_path: str) -> None:
        """Copy a file or directory from a stored tree; the target's name isn't checked, as on a cluster."""
        self.close()
        self.changes.append(Copy(clean_path(path), tag or DEFAULT_TAG, append, source_tree, clean_path(source_path)))

    def copy_files(self, path: str, tag: str, append: bool, found: FoundEntry, files: Iterable[FoundEntry]) -> None:
        """Copy a file or directory by its content.

        Args:
            path: The target.
            tag: The tag of the copied parts.
            append: Whether to append to files at the target.
            found: The file or directory.
            files: The file, or all files below the directory.
        """
        self.close()
        target = clean_path(path)
        for each in files:
            to = clean_path(f"{target}/{each.path[len(found.path) :]}") if found.is_dir else target
            if not append:
                self.changes.append(Delete(to, tag or DEFAULT_TAG))
            self.changes.append(Add(to, tag or DEFAULT_TAG, each.entry.blobs, each.entry.size))

    def add_local(self, path: str, source: Path, tag: str) -> int:
        """Append a local file's content; return its size in bytes."""
        self.add(path, None, tag)
        total = 0
        with source.open("rb", buffering=0) as handle:
            while chunk := handle.read(COPY_CHUNK):
                self.add(path, chunk, tag)
                total += len(chunk)
        self.close()
        return total

    def seal(self) -> None:
        """Make the content durable."""
        self.close()
        self.pack.seal()
