"""Reading request bodies: plain, or in AWS's chunked encoding."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.replies import Request

CHUNK = 1 << 20
MAX_LINE = 1 << 14
_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_body(request: Request) -> Iterator[bytes]:
    """The body's content, in chunks; what the request says about length and hash is checked.

    Raises:
        S3Error: The body is cut short, or is not what its hash says.
    """
    declared = request.headers.get("x-amz-content-sha256", "")
    if declared.startswith("STREAMING-") or "aws-chunked" in request.headers.get("content-encoding", ""):
        yield from _chunked(request)
        return
    digest = hashlib.sha256()
    for chunk in _plain(request):
        digest.update(chunk)
        yield chunk
    if _DIGEST.fullmatch(declared) and digest.hexdigest() != declared:
        raise S3Error(400, "XAmzContentSHA256Mismatch", "The body is not what x-amz-content-sha256 says.")


def _plain(request: Request) -> Iterator[bytes]:
    try:
        remaining = int(request.headers.get("content-length", "0"))
    except ValueError as error:
        raise S3Error(400, "InvalidRequest", "Content-Length must be a number.") from error
    while remaining and request.body is not None:
        chunk = request.body.read(min(CHUNK, remaining))
        if not chunk:
            raise S3Error(400, "IncompleteBody", "The body is shorter than Content-Length says.")
        remaining -= len(chunk)
        yield chunk


def _chunked(request: Request) -> Iterator[bytes]:
    """``<size in hex>[;chunk-signature=…]``, the bytes, a line end; ended by a chunk of size 0."""
    stream = request.body
    if stream is None:
        return
    while True:
        line = stream.readline(MAX_LINE)
        try:
            remaining = int(line.split(b";", 1)[0].strip(), 16)
        except ValueError as error:
            raise S3Error(400, "IncompleteBody", "A chunk's size cannot be read.") from error
        if remaining == 0:
            break
        while remaining:
            chunk = stream.read(min(CHUNK, remaining))
            if not chunk:
                raise S3Error(400, "IncompleteBody", "A chunk is cut short.")
            remaining -= len(chunk)
            yield chunk
        stream.readline(MAX_LINE)
    # Trailers, e.g. a checksum, until an empty line.
    while stream.readline(MAX_LINE).strip():
        pass
