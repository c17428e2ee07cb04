"""Egress of a commit's files to an object store (``getFileURL`` of ``src/server/pfs/server/url.go``)."""

from __future__ import annotations

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import files
from pdk_stack.pachyderm.core.pfs.files import PathRange
from pdk_stack.pachyderm.core.pfs.objectstore import open_store, parse_url
from pdk_stack.pachyderm.core.pfs.types import Commit


def send(engine: Engine, commit: Commit, pattern: str, url: str, wanted: PathRange | None = None) -> int:
    """Send the files that a path or glob matches, with their full paths as keys.

    Args:
        engine: The store.
        commit: The commit to read.
        pattern: A path or glob.
        url: The target: bucket and prefix.
        wanted: The range of paths to send; None means all.

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
        found = files.matching_trees(connection, commit, pattern)
        store = open_store(place)
        for each in (wanted or PathRange()).cut(found):
            if each.is_dir:
                continue
            key = f"{prefix}{each.path}" if prefix else each.path.lstrip("/")
            total += store.write(key, content.read(each.entry.blobs))
    return total
