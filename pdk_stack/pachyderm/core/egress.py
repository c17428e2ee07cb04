"""Sending files of a commit to an object store (``getFileURL`` of ``src/server/pfs/server/url.go``)."""

from __future__ import annotations

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import files
from pdk_stack.pachyderm.core.pfs.files import PathRange
from pdk_stack.pachyderm.core.pfs.objectstore import open_store, parse_url
from pdk_stack.pachyderm.core.pfs.types import Commit


def send(engine: Engine, commit: Commit, pattern: str, url: str, wanted: PathRange | None = None) -> int:
    """Send the files that a path or glob names, under their whole paths.

    Args:
        engine: The store.
        commit: Where they are.
        pattern: A path or glob.
        url: Where they go: bucket and prefix.
        wanted: Which paths; all when None.

    Returns:
        Their size in bytes.

    Raises:
        NotFound: There are none.
        Fault: The object store is not known, or refuses.
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
