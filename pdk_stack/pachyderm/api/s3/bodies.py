"""Reads request bodies, plain or in signed chunks, and checks their declared sizes and hashes.

Sources: ``s2.go`` (``bodyReadingMiddleware``) and ``util_chunked_reader.go`` of github.com/pachyderm/s2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator

from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.messages import Request
from pdk_stack.pachyderm.api.s3.signatures import Signed, chunk_signature

MAX_LINE = 1 << 14
MAX_DOCUMENT = 4 << 20
#: The only encoding in chunks that the server knows; it would store the framing of any other as content.
SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8});chunk-signature=([0-9a-fA-F]+)")


def require_length(request: Request) -> None:
    """Refuse a body whose length isn't announced.

    Raises:
        S3Error: There is no ``Content-Length``.
    """
    if "content-length" not in request.exchange.headers:
        raise S3Error("MissingContentLength")


def read_body(request: Request, chunks: bool = False) -> Iterator[bytes]:
    """Yield the body's content as it arrives.

    Args:
        request: The request.
        chunks: Whether the body may come in signed chunks.

    Raises:
        S3Error: The body doesn't match its hashes or signatures, or has an encoding that isn't supported.
    """
    pieces = _checked(request)
    declared = request.header("x-amz-content-sha256")
    if declared == SIGNED_CHUNKS and chunks:
        return _Chunks(pieces, request.exchange.user).content()
    if declared.startswith("STREAMING-") or "aws-chunked" in request.header("content-encoding"):
        raise S3Error("NotImplemented", f"Bodies in chunks need x-amz-content-sha256: {SIGNED_CHUNKS}.")
    return pieces


def read_document(request: Request) -> bytes:
    """Read a body that holds an XML document.

    Raises:
        S3Error: It is too large or doesn't match its hashes.
    """
    data = b""
    for piece in read_body(request):
        data += piece
        if len(data) > MAX_DOCUMENT:
            raise S3Error("MalformedXML")
    return data


def _checked(request: Request) -> Iterator[bytes]:
    """Return the body as it is sent; its end is checked against ``Content-MD5`` and ``x-amz-content-sha256``."""
    # The server checks a body whose length it knows.
    md5 = request.header("content-md5") if "content-length" in request.exchange.headers else ""
    try:
        expected = base64.b64decode(md5, validate=True)
    except binascii.Error:
        expected = b""
    if md5 and len(expected) != 16:
        raise S3Error("InvalidDigest")
    sha256 = request.header("x-amz-content-sha256")
    return _pieces(request, expected, sha256 if _DIGEST.fullmatch(sha256) else "")


def _pieces(request: Request, md5: bytes, sha256: str) -> Iterator[bytes]:
    taken, hashed = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    for piece in request.exchange.pieces():
        if md5:
            taken.update(piece)
        if sha256:
            hashed.update(piece)
        yield piece
    if md5 and taken.digest() != md5:
        raise S3Error("BadDigest")
    if sha256 and hashed.hexdigest() != sha256:
        raise S3Error("XAmzContentSHA256Mismatch")


class _Chunks:
    """Signed chunks: ``<size in hex>;chunk-signature=<hex>``, data, line end; the last one has size 0."""

    def __init__(self, pieces: Iterator[bytes], signed: Signed | None) -> None:
        if signed is None:
            raise S3Error("SignatureDoesNotMatch")
        self._pieces = pieces
        self._signed = signed
        self._previous = signed.signature
        self._rest = b""

    def content(self) -> Iterator[bytes]:
        """Yield the data of the chunks."""
        while True:
            head = _CHUNK.match(self._line())
            if head is None:
                raise S3Error("SignatureDoesNotMatch")
            size = remaining = int(head[1], 16)
            digest = hashlib.sha256()
            while remaining:
                part, self._rest = self._rest[:remaining], self._rest[remaining:]
                remaining -= len(part)
                digest.update(part)
                yield part
                if remaining and not self._more():
                    raise S3Error("SignatureDoesNotMatch")
            expected = chunk_signature(self._signed, self._previous, digest.hexdigest())
            if self._line() != b"\r" or not hmac.compare_digest(expected.encode(), head[2]):
                raise S3Error("SignatureDoesNotMatch")
            self._previous = expected
            if not size:
                for _ in self._pieces:  # to the end, where the hashes are checked
                    pass
                return

    def _line(self) -> bytes:
        while b"\n" not in self._rest and len(self._rest) < MAX_LINE and self._more():
            pass
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _more(self) -> bool:
        piece = next(self._pieces, b"")
        self._rest += piece
        return bool(piece)
