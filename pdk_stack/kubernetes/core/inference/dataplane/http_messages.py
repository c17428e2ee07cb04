"""HTTP/1.1 messages on a socket: heads, and bodies with a length or in chunks, whole or as they come."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 << 10
PIECE_BYTES = 256 << 10
# How much of a refused body is read and thrown away, so that its sender sees the answer and not a reset.
MAX_DISCARDED_BYTES = 512 << 20

LAST_CHUNK = b"0\r\n\r\n"


class WireError(Exception):
    """A message that cannot be taken; the connection ends after the answer.

    Args:
        code: HTTP status code for the sender.
        message: Why.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class Head:
    """The first part of a message.

    Attributes:
        start: The three parts of the first line.
        headers: Values by lower-case name; repeated headers are joined by a comma.
    """

    start: tuple[str, str, str]
    headers: dict[str, str]

    @property
    def length(self) -> int:
        """Declared length of the body.

        Raises:
            WireError: It is not a number (400).
        """
        text = self.headers.get("content-length", "0")
        if not text.isdecimal():
            raise WireError(400, f"Content-Length is not a number: {text}")
        return int(text)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks.

        Raises:
            WireError: Another coding is asked for (501), or a length is given as well (400).
        """
        coding = self.headers.get("transfer-encoding", "").lower()
        if not coding:
            return False
        if coding != "chunked":
            raise WireError(501, f"Transfer-Encoding {coding} is not offered.")
        if "content-length" in self.headers:
            # RFC 9112, 6.3: the two together are how requests are smuggled.
            raise WireError(400, "Content-Length and Transfer-Encoding cannot be used together.")
        return True


class Wire:
    """Reads HTTP messages from a connected socket.

    Args:
        connection: The socket; its time-out holds for every read.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = bytearray()

    def is_quiet(self) -> bool:
        """Whether the other side has sent nothing and has not closed: a kept connection that can be used again."""
        watch = select.poll()
        watch.register(self.socket, select.POLLIN)
        return not self._buffer and not watch.poll(0)

    def head(self) -> Head | None:
        """The next message's head; None when the other side has closed.

        Raises:
            WireError: It is too large or not HTTP.
            OSError: The connection broke.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise WireError(431, f"The headers have more than {MAX_HEAD_BYTES} bytes.")
            piece = self.socket.recv(PIECE_BYTES)
            if not piece:
                return None
            self._buffer += piece
        lines = bytes(self._buffer[:end]).decode("latin-1").lstrip("\r\n").split("\r\n")
        del self._buffer[: end + 4]
        parts = lines[0].split(" ", 2)
        if len(parts) == 2:
            parts.append("")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or "\n" in line or "\0" in line:
                raise WireError(400, "A header cannot be read.")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if len(parts) != 3 or "HTTP/1." not in (parts[2] + parts[0]) or "\n" in lines[0]:
            raise WireError(400, "The first line is not HTTP/1.1.")
        return Head((parts[0], parts[1], parts[2]), headers)

    def body(self, head: Head, limit: int) -> bytes:
        """A message's body as a whole.

        Args:
            head: Its head.
            limit: Largest size that is taken.

        Raises:
            WireError: It is larger (413), malformed (400) or cut off (400).
            OSError: The connection broke.
        """
        if head.chunked:
            return b"".join(self._chunks(limit))
        check_length(head, limit)
        return self._exactly(head.length)

    def pieces(self, head: Head, limit: int) -> Iterator[bytes]:
        """A message's body as it comes, in pieces of any size.

        Args:
            head: Its head.
            limit: Largest size that is taken.

        Raises:
            WireError: It is larger (413), malformed (400) or cut off (400).
            OSError: The connection broke.
        """
        if head.chunked:
            yield from self._chunks(limit)
        else:
            check_length(head, limit)
            yield from self._parts(head.length)

    def until_closed(self, limit: int) -> Iterator[bytes]:
        """A response's body without a length, as it comes.

        Raises:
            WireError: It is larger than the limit (413).
        """
        piece, total = bytes(self._buffer), 0
        self._buffer.clear()
        while piece or (piece := self.socket.recv(PIECE_BYTES)):
            total += len(piece)
            if total > limit:
                raise WireError(413, f"The answer has more than {limit} bytes.")
            yield piece
            piece = b""

    def push(self, content: bytes, seconds: float) -> bool:
        """Send, unless the other side speaks first: a server that refuses a body need not read it.

        Args:
            content: What to send.
            seconds: How long the other side may take nothing.

        Returns:
            Whether all was sent.

        Raises:
            OSError: The connection broke, or the time was over.
        """
        watch = select.poll()
        watch.register(self.socket, select.POLLIN | select.POLLOUT)
        left = memoryview(content)
        while left:
            events = watch.poll(1000 * seconds)
            if not events:
                raise TimeoutError
            if self._buffer or events[0][1] & ~select.POLLOUT:
                return False
            left = left[self.socket.send(left) :]
        return True

    def discard(self, left: int | None) -> None:
        """Read the rest of a refused body and forget it, as far as it is worth it.

        Args:
            left: Bytes of it that have not been read; None when it has no known end, which is not looked for: the
                connection ends after the answer.
        """
        if left is None:
            self.socket.settimeout(0.2)
        wanted = MAX_DISCARDED_BYTES if left is None else min(left, MAX_DISCARDED_BYTES) - len(self._buffer)
        self._buffer.clear()
        with contextlib.suppress(OSError):
            while wanted > 0 and (piece := self.socket.recv(min(wanted, PIECE_BYTES))):
                wanted -= len(piece)

    def _exactly(self, length: int) -> bytes:
        if len(self._buffer) >= length:
            content = bytes(self._buffer[:length])
            del self._buffer[:length]
            return content
        content_buffer = bytearray(length)
        have = len(self._buffer)
        content_buffer[:have] = self._buffer
        self._buffer.clear()
        view = memoryview(content_buffer)
        while have < length:
            count = self.socket.recv_into(view[have:])
            if not count:
                raise WireError(400, f"The body ends after {have} of {length} bytes.")
            have += count
        view.release()
        return bytes(content_buffer)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise WireError(400, "A chunk's first line is too long.")
            piece = self.socket.recv(PIECE_BYTES)
            if not piece:
                raise WireError(400, "The body ends within a chunk.")
            self._buffer += piece
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _parts(self, length: int) -> Iterator[bytes]:
        """So many bytes, as they come."""
        left = length
        while left:
            if self._buffer:
                piece = bytes(self._buffer[:left])
                del self._buffer[: len(piece)]
            else:
                piece = self.socket.recv(min(left, PIECE_BYTES))
            if not piece:
                raise WireError(400, f"The body ends after {length - left} of {length} bytes.")
            left -= len(piece)
            yield piece

    def _chunks(self, limit: int) -> Iterator[bytes]:
        total = 0
        while True:
            text = self._line().split(b";")[0].strip()
            try:
                size = int(text, 16)
            except ValueError as error:
                raise WireError(400, f"A chunk's size cannot be read: {text[:20]!r}") from error
            total += size
            if size < 0 or total > limit:
                raise WireError(413, f"The body has more than {limit} bytes.")
            if size == 0:
                while self._line():
                    pass
                return
            yield from self._parts(size)
            if self._line():
                raise WireError(400, "A chunk is longer than it says.")


def check_length(head: Head, limit: int) -> None:
    """Refuse a body that says it is too large.

    Raises:
        WireError: It is larger than the limit (413), or its length cannot be read (400).
    """
    if head.length > limit:
        raise WireError(413, f"The body has {head.length} bytes; at most {limit} are taken.")


def chunk(piece: bytes) -> bytes:
    """A piece of a body as a chunk of the chunked coding (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
