"""Tar streams as GetFileTAR sends them: absolute names, directories with a trailing slash, mode 0."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator

from pdk_stack.pachyderm.store.tree import FoundEntry

BLOCK = 512
# Limits of the fields in the original format (100 bytes, 11 octal digits).
SHORT_NAME = 99
MAX_OCTAL_SIZE = 8**11
# What all short headers share: mode, owner, and group; what follows the kind of entry.
_OWNERS = b"0000000\0" * 3
_REST = bytes(100) + b"ustar  \0" + bytes(247)
# The checksum counts its own field as spaces.
_CONSTANT = sum(_OWNERS) + sum(_REST) + sum(b" " * 8)
_PADDING = bytes(BLOCK)


def _header(name: str, size: int, is_dir: bool, modified: int) -> bytes:
    encoded = name.encode()
    if len(encoded) <= SHORT_NAME and size < MAX_OCTAL_SIZE:
        return _short_header(encoded, size, is_dir, modified)
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0
    info.mtime = modified
    info.type = tarfile.DIRTYPE if is_dir else tarfile.REGTYPE
    return info.tobuf(format=tarfile.GNU_FORMAT)


def _short_header(name: bytes, size: int, is_dir: bool, modified: int) -> bytes:
    """Build the header of a common entry without the library's overhead, which dominates for many small files."""
    numbers = b"%011o\0%011o\0" % (size, modified)
    kind = tarfile.DIRTYPE if is_dir else tarfile.REGTYPE
    checksum = _CONSTANT + sum(name) + sum(numbers) + sum(kind)
    return b"%b%b%b%06o\0 %b%b" % (name.ljust(100, b"\0"), _OWNERS, numbers, checksum, kind, _REST)


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
    # Parts are joined once for a chunk: a buffer that grows is copied again and again.
    parts: list[bytes] = []
    waiting = 0
    for each in found:
        is_dir, size = each.is_dir, 0 if each.is_dir else each.entry.size
        parts.append(_header(each.path, size, is_dir, modified))
        waiting += len(parts[-1])
        if not is_dir:
            for chunk in content(each):
                parts.append(chunk)
                waiting += len(chunk)
                if waiting >= chunk_size:
                    yield b"".join(parts)
                    parts, waiting = [], 0
            parts.append(_PADDING[: -size % BLOCK])
            waiting += -size % BLOCK
        if waiting >= chunk_size:
            yield b"".join(parts)
            parts, waiting = [], 0
    yield b"".join([*parts, bytes(2 * BLOCK)])
