"""Listing buckets and reading objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from starlette.responses import Response

from pdk_stack.common.http.exchange import stream
from pdk_stack.pachyderm.api.s3.buckets import Buckets, keys, open_bucket
from pdk_stack.pachyderm.api.s3.errors import S3Error, no_such_key, not_implemented
from pdk_stack.pachyderm.api.s3.messages import (
    Request,
    element,
    empty,
    http_time,
    iso_time,
    result,
    url_encoded,
)
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.types import Commit
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree

MAX_KEYS = 1000
# Smaller objects are sent at once, larger ones piece by piece.
WHOLE_BYTES = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# Bucket subresources, which clients request by name; all other query parameters belong to a listing.
_SUBRESOURCES = (
    "acl",
    "cors",
    "encryption",
    "lifecycle",
    "policy",
    "tagging",
    "uploads",
    "versions",
    "website",
)


class Reading:
    """Handles read-only requests.

    Args:
        engine: The store.
        buckets: The gateway's buckets.
    """

    def __init__(self, engine: Engine, buckets: Buckets) -> None:
        self._engine = engine
        self._buckets = buckets

    def answer(self, request: Request) -> Response:
        """Handle a request.

        Raises:
            S3Error: The request is refused.
        """
        if request.method not in ("GET", "HEAD"):
            raise not_implemented(f"{request.method} {'object' if request.key else 'bucket'}")
        if not request.bucket:
            return self._list_buckets()
        if request.key:
            return self._get_object(request)
        return self._bucket(request)

    def _list_buckets(self) -> Response:
        with self._engine.read() as connection:
            entries = [
                f"<Bucket>{element('Name', name)}{element('CreationDate', iso_time(created))}</Bucket>"
                for name, created in self._buckets.names(connection)
            ]
        owner = "<Owner><ID>pachyderm</ID><DisplayName>pachyderm</DisplayName></Owner>"
        return result("ListAllMyBucketsResult", f"{owner}<Buckets>{''.join(entries)}</Buckets>")

    def _bucket(self, request: Request) -> Response:
        with self._engine.read() as connection:
            commit = open_bucket(connection, self._buckets.find(request.bucket))
            if request.method == "HEAD":
                return empty(200)
            if "location" in request.query:
                return result("LocationConstraint", "")
            if "versioning" in request.query:
                return result("VersioningConfiguration", "<Status>Enabled</Status>")
            for name in _SUBRESOURCES:
                if name in request.query:
                    raise not_implemented(f"GET bucket {name}")
            tree = Tree(_NoNodes(), None) if commit is None else tree_of(connection, commit)
            return self._list(request, tree, commit)

    def _list(self, request: Request, tree: Tree, commit: Commit | None) -> Response:
        query = request.query
        second = query.get("list-type") == "2"
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        if delimiter not in ("", "/"):
            raise S3Error(400, "InvalidArgument", "The delimiter must be '/' or be left out.")
        try:
            limit = min(MAX_KEYS, int(query.get("max-keys") or MAX_KEYS))
        except ValueError as error:
            raise S3Error(400, "InvalidArgument", "max-keys must be a number.") from error
        after = query.get("marker", "")
        if second:
            after = query.get("continuation-token") or query.get("start-after", "")
        found = list(islice(keys(tree, prefix, delimiter, after), limit + 1)) if limit > 0 else []
        truncated = len(found) > limit
        found = found[:limit]
        show = url_encoded if query.get("encoding-type") == "url" else str
        moment = iso_time(commit.finishing or commit.started) if commit else ""
        parts = [
            element("Name", request.bucket),
            element("Prefix", show(prefix)),
            element("MaxKeys", limit),
            element("IsTruncated", str(truncated).lower()),
        ]
        if delimiter:
            parts.append(element("Delimiter", delimiter))
        if "encoding-type" in query:
            parts.append(element("EncodingType", query["encoding-type"]))
        last = found[-1][0] if found else ""
        if second:
            parts.append(element("KeyCount", len(found)))
            if "continuation-token" in query:
                parts.append(element("ContinuationToken", query["continuation-token"]))
            if "start-after" in query:
                parts.append(element("StartAfter", show(query["start-after"])))
            if truncated:
                parts.append(element("NextContinuationToken", last))
        else:
            parts.append(element("Marker", show(after)))
            if truncated:
                parts.append(element("NextMarker", show(last)))
        for key, entry in found:
            if entry is None:
                parts.append(f"<CommonPrefixes>{element('Prefix', show(key))}</CommonPrefixes>")
            else:
                parts.append(
                    f"<Contents>{element('Key', show(key))}{element('LastModified', moment)}"
                    f"{element('ETag', _etag(entry))}{element('Size', entry.entry.size)}"
                    "<StorageClass>STANDARD</StorageClass></Contents>"
                )
        return result("ListBucketResult", "".join(parts))

    def _get_object(self, request: Request) -> Response:
        for name in ("acl", "tagging", "torrent", "uploadId"):
            if name in request.query:
                raise not_implemented(f"{request.method} object {name}")
        with self._engine.read() as connection:
            commit = open_bucket(connection, self._buckets.find(request.bucket))
            found = None
            if commit is not None and not request.key.endswith("/"):
                found = tree_of(connection, commit).find(request.key)
            if commit is None or found is None or found.is_dir:
                raise no_such_key(request.key)
        size = found.entry.size
        headers = {
            "ETag": _etag(found),
            "Last-Modified": http_time(commit.finishing or commit.started),
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "x-amz-version-id": commit.id,
        }
        if request.header("if-none-match") == _etag(found):
            return empty(304, headers)
        start, length, partial = _range(request.header("range"), size)
        if partial:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        headers["Content-Length"] = str(length)
        status = 206 if partial else 200
        if request.method == "HEAD":
            return empty(status, headers)
        content = self._content(found.entry.blobs, start, length)
        return (
            stream(content, status, headers) if length > WHOLE_BYTES else Response(b"".join(content), status, headers)
        )

    def _content(self, blobs: tuple[bytes, ...], start: int, length: int) -> Iterator[bytes]:
        """Yield an object's bytes from a snapshot that stays open until the last one is sent."""
        with self._engine.read() as connection, self._engine.blobs.reader(connection) as content:
            yield from content.read(blobs, start, length)


class _NoNodes:
    """The nodes of an empty tree."""

    def node(self, key: bytes) -> bytes:
        raise KeyError(key.hex())


def _etag(found: FoundEntry) -> str:
    return f'"{found.entry.hash.hex()}"'


def _range(header: str, size: int) -> tuple[int, int, bool]:
    """Parse a ``Range`` header: first byte, length, and whether the range is partial."""
    matched = _RANGE.fullmatch(header.strip()) if header else None
    if matched is None or (not matched[1] and not matched[2]):
        return 0, size, False
    if not matched[1]:
        length = min(int(matched[2]), size)
        start = size - length
    else:
        start = int(matched[1])
        end = min(int(matched[2]), size - 1) if matched[2] else size - 1
        length = end - start + 1
    if start >= size or length <= 0:
        raise S3Error(416, "InvalidRange", "The requested range is not satisfiable.")
    return start, length, True
