"""Listing buckets and reading objects (``service.go``, ``bucket.go`` and ``object.go`` in ``src/server/pfs/s3``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from starlette.responses import Response

from pdk_stack.pachyderm.api.s3.buckets import Buckets, keys, modified, open_bucket, require_branch
from pdk_stack.pachyderm.api.s3.content import Content, serve
from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.messages import Request, element, iso_time, result, user
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit
from pdk_stack.pachyderm.store.tree import FoundEntry

DEFAULT_KEYS, MAX_KEYS = 1000, 5000
LOCATION = "PACHYDERM"
STORAGE_CLASS = element("StorageClass", "STANDARD")


class Reading:
    """Handles read-only requests.

    Args:
        engine: The store.
        buckets: The gateway's buckets.
    """

    def __init__(self, engine: Engine, buckets: Buckets) -> None:
        self._engine = engine
        self._buckets = buckets

    def list_buckets(self, request: Request) -> Response:
        """Handle ``GET /``."""
        with self._engine.read() as connection:
            entries = [
                f"<Bucket>{element('Name', name)}{element('CreationDate', iso_time(created))}</Bucket>"
                for name, created in self._buckets.names(connection)
            ]
        return result("ListAllMyBucketsResult", f"{user('Owner')}<Buckets>{''.join(entries)}</Buckets>")

    def location(self, request: Request) -> Response:
        """Handle ``GET /bucket?location``."""
        with self._engine.read() as connection:
            require_branch(connection, self._buckets.find(request.bucket))
        return result("LocationConstraint", LOCATION)

    def versioning(self, request: Request) -> Response:
        """Handle ``GET /bucket?versioning``."""
        bucket = self._buckets.find(request.bucket)
        with self._engine.read() as connection:
            require_branch(connection, bucket)
        versions = self._buckets.abilities(bucket).versions
        return result("VersioningConfiguration", element("Status", "Enabled") if versions else "")

    def list_objects(self, request: Request) -> Response:
        """Handle ``GET /bucket``.

        Release 2.8 knows the first form of this call only: ``list-type=2`` changes nothing, so such a client gets no
        token for the next page.
        """
        query = request.query
        limit = request.number("max-keys", MAX_KEYS, DEFAULT_KEYS)
        prefix, delimiter, marker = query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", "")
        if delimiter not in ("", "/"):
            raise S3Error("InvalidDelimiter")
        found: list[tuple[str, FoundEntry | None]] = []
        moment = ""
        bucket = self._buckets.find(request.bucket)
        with self._engine.read() as connection:
            commit = open_bucket(connection, bucket)
            if commit is not None and limit and self._buckets.abilities(bucket).readable:
                tree, moment = tree_of(connection, commit), iso_time(modified(commit))
                found = list(islice(keys(tree, prefix.removeprefix("/"), delimiter, marker), limit + 1))
        truncated = len(found) > limit
        del found[limit:]
        parts = [
            f"<Contents>{element('Key', key)}{element('LastModified', moment)}{element('ETag', etag(entry))}"
            f"{element('Size', entry.entry.size)}{STORAGE_CLASS}{user('Owner')}</Contents>"
            for key, entry in found
            if entry is not None
        ]
        parts += [
            f"<CommonPrefixes>{element('Prefix', key)}{user('Owner')}</CommonPrefixes>"
            for key, entry in found
            if entry is None
        ]
        if delimiter:
            parts.append(element("Delimiter", delimiter))
        parts += [
            element("IsTruncated", str(truncated).lower()),
            element("Marker", marker),
            element("MaxKeys", limit),
            element("Name", request.bucket),
        ]
        if truncated:
            parts.append(element("NextMarker", found[-1][0]))
        return result("ListBucketResult", "".join([*parts, element("Prefix", prefix)]))

    def get_object(self, request: Request) -> Response:
        """Handle ``GET /bucket/key`` and ``HEAD /bucket/key``."""
        commit, found, version = self.find(request.bucket, request.key, request.query.get("versionId", ""))
        blobs = found.entry.blobs

        def read(start: int, length: int) -> Iterator[bytes]:
            # The snapshot stays open until the last byte is sent.
            with self._engine.read() as connection, self._engine.blobs.reader(connection) as content:
                yield from content.read(blobs, start, length, found.path)

        headers = {"x-amz-version-id": version} if version else {}
        content = Content(request.key, etag(found), modified(commit), found.entry.size, read, headers)
        return serve(request.method, request.exchange.headers, content)

    def find(self, name: str, key: str, version: str) -> tuple[Commit, FoundEntry, str]:
        """Find an object.

        Args:
            name: The bucket's name.
            key: The object's key; one slash at the end counts for nothing.
            version: The version asked for, or empty. As on the server, it changes what the answer says, not the object.

        Returns:
            The commit, the file, and its version: what was asked for, or the commit that the bucket's name has.

        Raises:
            S3Error: There is no such object.
        """
        bucket = self._buckets.find(name)
        abilities = self._buckets.abilities(bucket)
        with self._engine.read() as connection:
            commit = open_bucket(connection, bucket)
            if not abilities.readable:
                raise S3Error("NoSuchKey")
            if version and not abilities.versions:
                raise S3Error("NotImplemented")
            found = None if commit is None else tree_of(connection, commit).find("/" + key.removesuffix("/"))
        if commit is None or found is None or found.is_dir:
            raise S3Error("NoSuchKey")
        return commit, found, version or bucket.commit


def etag(found: FoundEntry) -> str:
    """Return a file's entity tag: its hash in hex, in quotes."""
    return f'"{found.entry.hash.hex()}"'
