"""Sending files of a commit to an object store (``getFileURL`` of ``src/server/pfs/server/url.go``)."""

from __future__ import annotations

from pdk_nb.local.pachyderm.engine import Engine
from pdk_nb.local.pachyderm.pfs import files
from pdk_nb.local.pachyderm.pfs.objectstore import ObjectStore, parse_url
from pdk_nb.local.pachyderm.pfs.types import Commit


def send(engine: Engine, commit: Commit, pattern: str, url: str, lower: str = "", upper: str = "") -> int:
    """Send the files that a path or glob names, under their whole paths.

    Args:
        engine: The store.
        commit: Where they are.
        pattern: A path or glob.
        url: Where they go: bucket and prefix.
        lower: Only paths from here on; all when empty.
        upper: Only paths before this one; all when empty.

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
        store = ObjectStore(place)
        for each in found:
            if each.is_dir or (lower and each.path < lower) or (upper and each.path >= upper):
                continue
            key = f"{prefix}{each.path}" if prefix else each.path.lstrip("/")
            total += store.write(key, content.read(each.entry.blobs))
    return total
