"""Reads request bodies, plain or in AWS's chunked encoding, and checks their declared sizes and hashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.api.s3.messages import Request

MAX_LINE = 1 << 14
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def read_body(request: Request) -> Iterator[bytes]:
    """Yield the body's content as it arrives.

    Raises:
        S3Error: The body is truncated or doesn't match its hash.
    """
    declared = request.header("x-amz-content-sha256")
    pieces = request.exchange.pieces()
    if declared.startswith("STREAMING-") or "aws-chunked" in request.header("content-encoding"):
        yield from _ChunkedBody(pieces).content()
        return
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    if _DIGEST.fullmatch(declared) and digest.hexdigest() != declared:
        raise S3Error(400, "XAmzContentSHA256Mismatch", "The body is not what x-amz-content-sha256 says.")


class _ChunkedBody:
    """The chunked encoding: ``<size in hex>[;chunk-signature=…]``, data, line end; ends with size 0 and trailers."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def content(self) -> Iterator[bytes]:
        """Yield the data of the chunks."""
        while remaining := self._size():
            while remaining:
                part, self._rest = self._rest[:remaining], self._rest[remaining:]
                remaining -= len(part)
                yield part
                if remaining and not self._more():
                    raise S3Error(400, "IncompleteBody", "A chunk is cut short.")
            self._line()
        # Skip trailers, such as a checksum, up to an empty line.
        while self._line().strip():
            pass

    def _size(self) -> int:
        size = self._line().split(b";", 1)[0].strip()
        if not _SIZE.fullmatch(size):
            raise S3Error(400, "IncompleteBody", "A chunk's size cannot be read.")
        return int(size, 16)

    def _line(self) -> bytes:
        while b"\n" not in self._rest and len(self._rest) < MAX_LINE and self._more():
            pass
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _more(self) -> bool:
        piece = next(self._pieces, b"")
        self._rest += piece
        return bool(piece)
