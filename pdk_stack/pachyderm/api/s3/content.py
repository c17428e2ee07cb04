"""Answers a GET or HEAD of an object, with conditions and ranges: ``http.ServeContent`` in Go's ``net/http/fs.go``."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from starlette.responses import Response

from pdk_stack.common.http.exchange import stream
from pdk_stack.pachyderm.api.s3 import content_types
from pdk_stack.pachyderm.api.s3.messages import empty, http_time
from pdk_stack.pachyderm.store.clock import NANOSECONDS

# Smaller objects are sent at once, larger ones piece by piece.
WHOLE_BYTES = 1 << 20
_TAG = re.compile(r"\s*(?P<tag>(?:W/)?\"[\x21\x23-\x7e\x80-\U0010ffff]*\")")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class Content:
    """An object to send.

    Attributes:
        name: The name whose extension tells the content type.
        etag: The entity tag, in quotes.
        modified: When it was written, in nanoseconds since the epoch; 0 where that isn't known.
        size: Its size, in bytes.
        read: Returns a number of its bytes, piece by piece, from a position on.
        headers: Further headers of every answer.
    """

    name: str
    etag: str
    modified: int
    size: int
    read: Callable[[int, int], Iterator[bytes]]
    headers: Mapping[str, str] = field(default_factory=dict)


def serve(method: str, asked: Mapping[str, str], content: Content) -> Response:
    """Build the response to a GET or a HEAD.

    Args:
        method: The HTTP method.
        asked: The request's headers by lowercase name.
        content: The object.
    """
    headers = {**content.headers, "ETag": content.etag}
    if content.modified:
        headers["Last-Modified"] = http_time(content.modified)
    if not _may_be_used(asked, content):
        return empty(412, headers)
    if _is_known(asked, content):
        headers.pop("Last-Modified", None)
        return empty(304, headers)
    kind = content_types.by_name(content.name)
    if not kind:
        kind = content_types.by_content(b"".join(content.read(0, min(content.size, content_types.SNIFFED_BYTES))))
    try:
        ranges = _ranges(asked.get("range", ""), content.size) if _range_counts(asked, content) else []
    except _InvalidRange as error:
        if error.beyond:
            headers["Content-Range"] = f"bytes */{content.size}"
        headers["X-Content-Type-Options"] = "nosniff"
        return Response(f"{error}\n", 416, headers, content_types.TEXT)
    if sum(each.length for each in ranges) > content.size:
        ranges = []
    headers["Accept-Ranges"] = "bytes"
    if len(ranges) > 1:
        parts = _Parts(content, ranges, kind)
        headers |= {"Content-Type": f"multipart/byteranges; boundary={parts.boundary}"}
        return _answer(method, 206, headers, parts.size, parts.pieces())
    headers["Content-Type"] = kind
    status, start, length = 200, 0, content.size
    if ranges:
        status, start, length = 206, ranges[0].start, ranges[0].length
        headers["Content-Range"] = ranges[0].words(content.size)
    return _answer(method, status, headers, length, content.read(start, length))


def _answer(method: str, status: int, headers: dict[str, str], length: int, pieces: Iterable[bytes]) -> Response:
    headers["Content-Length"] = str(length)
    if method == "HEAD":
        return empty(status, headers)
    return stream(pieces, status, headers) if length > WHOLE_BYTES else Response(b"".join(pieces), status, headers)


# -- conditions (RFC 7232) ------------------------------------------------------------------------------------------


def quoted(tag: str) -> str:
    """Put an entity tag in quotes where it has none, as the gateway does for clients that leave them out."""
    return tag if tag.startswith('"') else f'"{tag}"'


def matches(header: str, etag: str, weakly: bool) -> bool:
    """Whether a list of entity tags contains one, or is ``*``.

    Args:
        header: The list.
        etag: The entity tag.
        weakly: Whether ``W/`` makes no difference; otherwise both must be strong.
    """
    while header := header.lstrip(" \t,"):
        if header.startswith("*"):
            return True
        found = _TAG.match(header)
        if found is None:
            return False
        tag = found["tag"]
        if weakly and tag.removeprefix("W/") == etag.removeprefix("W/"):
            return True
        if not weakly and tag == etag and tag.startswith('"'):
            return True
        header = header[found.end() :]
    return False


def later_than(modified: int, header: str) -> bool | None:
    """Whether an object is newer than a date in a header, to the second; None where one of them isn't known."""
    if not header or not modified:
        return None
    try:
        return modified // NANOSECONDS > int(parsedate_to_datetime(header).timestamp())
    except (ValueError, OverflowError, OSError):
        return None


def _may_be_used(asked: Mapping[str, str], content: Content) -> bool:
    if wanted := asked.get("if-match", ""):
        return matches(quoted(wanted), content.etag, weakly=False)
    return later_than(content.modified, asked.get("if-unmodified-since", "")) is not True


def _is_known(asked: Mapping[str, str], content: Content) -> bool:
    if known := asked.get("if-none-match", ""):
        return matches(quoted(known), content.etag, weakly=True)
    return later_than(content.modified, asked.get("if-modified-since", "")) is False


def _range_counts(asked: Mapping[str, str], content: Content) -> bool:
    condition = asked.get("if-range", "")
    if not condition:
        return True
    if found := _TAG.match(condition):
        return found["tag"] == content.etag
    try:
        return int(parsedate_to_datetime(condition).timestamp()) == content.modified // NANOSECONDS
    except (ValueError, OverflowError, OSError):
        return False


# -- ranges (RFC 7233) ----------------------------------------------------------------------------------------------


class _InvalidRange(Exception):
    def __init__(self, beyond: bool) -> None:
        super().__init__("invalid range: failed to overlap" if beyond else "invalid range")
        self.beyond = beyond


@dataclass(frozen=True)
class _Range:
    start: int
    length: int

    def words(self, size: int) -> str:
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def _ranges(header: str, size: int) -> list[_Range]:
    """Parse a ``Range`` header (``parseRange``); those wholly beyond the end are left out.

    Raises:
        _InvalidRange: It can't be read, or nothing of it overlaps the object.
    """
    if not header:
        return []
    if not header.startswith("bytes="):
        raise _InvalidRange(False)
    found, beyond = [], False
    for each in header.removeprefix("bytes=").split(","):
        if not each.strip():
            continue
        first, dash, last = (part.strip() for part in each.partition("-"))
        if not dash:
            raise _InvalidRange(False)
        if not first:
            length = min(_position(last), size)
            found.append(_Range(size - length, length))
            continue
        start = _position(first)
        if start >= size:
            beyond = True
            continue
        end = min(_position(last), size - 1) if last else size - 1
        if last and _position(last) < start:
            raise _InvalidRange(False)
        found.append(_Range(start, end - start + 1))
    if beyond and not found and size:
        raise _InvalidRange(True)
    return found


def _position(text: str) -> int:
    if not _NUMBER.fullmatch(text) or text.startswith("-"):
        raise _InvalidRange(False)
    return int(text)


class _Parts:
    """Several ranges in one body (RFC 2046)."""

    def __init__(self, content: Content, ranges: list[_Range], kind: str) -> None:
        self.boundary = secrets.token_hex(30)
        self._content = content
        self._ranges = ranges
        self._heads = [
            f"{'' if each is ranges[0] else chr(13) + chr(10)}--{self.boundary}\r\n"
            f"Content-Range: {each.words(content.size)}\r\nContent-Type: {kind}\r\n\r\n".encode()
            for each in ranges
        ]
        self._end = f"\r\n--{self.boundary}--\r\n".encode()
        self.size = sum(map(len, self._heads)) + sum(each.length for each in ranges) + len(self._end)

    def pieces(self) -> Iterator[bytes]:
        for head, each in zip(self._heads, self._ranges, strict=True):
            yield head
            yield from self._content.read(each.start, each.length)
        yield self._end
