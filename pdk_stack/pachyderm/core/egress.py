"""Egress of a commit's files to an object store (``getFileURL`` of ``src/server/pfs/server/url.go``)."""

from __future__ import annotations

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import files
from pdk_stack.pachyderm.core.pfs.files import FileRef, PathRange
from pdk_stack.pachyderm.core.pfs.objectstore import open_store, parse_url


def send(engine: Engine, wanted: FileRef, url: str, within: PathRange | None = None) -> int:
    """Send the files that a path or glob matches, with their full paths as keys.

    Args:
        engine: The store.
        wanted: The commit to read, and a path or glob.
        url: The target: bucket and prefix.
        within: The range of paths to send; None means all.

    Returns:
        The total size, in bytes.

    Raises:
        NotFound: Nothing matches.
        Fault: The object store isn't supported, or refuses.
    """
    place = parse_url(url)
    prefix = place.key.strip("/")
    total = 0
    with engine.read() as connection, engine.blobs.reader(connection) as content:
        found = files.matching_trees(connection, wanted)
        store = open_store(place)
        for each in (within or PathRange()).cut(found):
            if each.is_dir:
                continue
            key = f"{prefix}{each.path}" if prefix else each.path.lstrip("/")
            total += store.write(key, content.read(each.entry.blobs, path=each.path))
    return total
