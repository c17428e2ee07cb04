"""Tar streams as GetFileTAR sends them: absolute names, directories with a slash, mode 0."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator

from pdk_nb.local.pachyderm.store.tree import Found

BLOCK = 512


def _header(name: str, size: int, is_dir: bool, modified: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0
    info.mtime = modified
    info.type = tarfile.DIRTYPE if is_dir else tarfile.REGTYPE
    return info.tobuf(format=tarfile.GNU_FORMAT)


def tar_stream(
    found: Iterable[Found], content: Callable[[Found], Iterable[bytes]], modified: int, chunk_size: int
) -> Iterator[bytes]:
    """A tar archive, in chunks.

    Args:
        found: The entries, in order.
        content: Gives a file's bytes.
        modified: Modification time for all entries, in seconds since the epoch.
        chunk_size: Size of the chunks, in bytes.
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
