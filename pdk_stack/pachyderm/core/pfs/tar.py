"""Tar streams as GetFileTAR sends them: absolute names, directories with a trailing slash, mode 0."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator

from pdk_stack.pachyderm.store.tree import FoundEntry

BLOCK = 512
# Limits of the fields in the original format (100 bytes, 11 octal digits).
SHORT_NAME = 99
MAX_OCTAL_SIZE = 8**11


def _header(name: str, size: int, is_dir: bool, modified: int) -> bytes:
    if len(name) <= SHORT_NAME and size < MAX_OCTAL_SIZE:
        return _short_header(name.encode(), size, is_dir, modified)
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0
    info.mtime = modified
    info.type = tarfile.DIRTYPE if is_dir else tarfile.REGTYPE
    return info.tobuf(format=tarfile.GNU_FORMAT)


def _short_header(name: bytes, size: int, is_dir: bool, modified: int) -> bytes:
    """Build the header of a common entry without the library's overhead, which dominates for many small files."""
    head = bytearray(BLOCK)
    head[: len(name)] = name
    head[100:124] = b"0000000\0" * 3  # mode, owner, group
    head[124:136] = b"%011o\0" % size
    head[136:148] = b"%011o\0" % modified
    head[148:156] = b" " * 8
    head[156:157] = tarfile.DIRTYPE if is_dir else tarfile.REGTYPE
    head[257:265] = b"ustar  \0"
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def tar_stream(
    found: Iterable[FoundEntry], content: Callable[[FoundEntry], Iterable[bytes]], modified: int, chunk_size: int
) -> Iterator[bytes]:
    """Yield a tar archive in chunks.

    Args:
        found: The entries, in order.
        content: Yields a file's bytes.
        modified: Modification time of all entries, in seconds since the epoch.
        chunk_size: Chunk size, in bytes.
    """
    buffer = bytearray()
    for each in found:
        buffer += _header(each.path, 0 if each.is_dir else each.entry.size, each.is_dir, modified)
        if not each.is_dir:
            for chunk in content(each):
                buffer += chunk
                if len(buffer) >= chunk_size:
                    yield bytes(buffer)
                    buffer.clear()
            buffer += bytes(-each.entry.size % BLOCK)
        if len(buffer) >= chunk_size:
            yield bytes(buffer)
            buffer.clear()
    buffer += bytes(2 * BLOCK)
    yield bytes(buffer)
