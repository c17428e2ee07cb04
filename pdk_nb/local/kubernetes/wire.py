"""HTTP/1.1 on a socket: heads, bodies with a length or in chunks, ``Expect: 100-continue``, keep-alive.

The ingress is in every prediction's way, so that it has a reader and a server of its own: one thread per connection
and no hand-over between threads, which costs less than half of what a general WSGI server adds.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 << 10
PIECE_BYTES = 256 << 10
# How much of a refused body is read and thrown away, so that its sender sees the answer and not a reset.
MAX_DISCARDED_BYTES = 512 << 20
IDLE_SECONDS = 75.0
BODY_SECONDS = 60.0
MAX_CONNECTIONS = 512


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
        """A message's body.

        Args:
            head: Its head.
            limit: Largest size that is taken.

        Raises:
            WireError: It is larger (413), malformed (400) or cut off (400).
            OSError: The connection broke.
        """
        if head.chunked:
            return self._chunks(limit)
        length = head.length
        if length > limit:
            raise WireError(413, f"The request has {length} bytes; at most {limit} are taken.")
        return self._exactly(length)

    def until_closed(self, limit: int) -> bytes:
        """A response's body without a length.

        Raises:
            WireError: It is larger than the limit (413).
        """
        while piece := self.socket.recv(PIECE_BYTES):
            self._buffer += piece
            if len(self._buffer) > limit:
                raise WireError(413, f"The answer has more than {limit} bytes.")
        content = bytes(self._buffer)
        self._buffer.clear()
        return content

    def discard(self, head: Head) -> None:
        """Read a refused body and forget it, as far as it is worth it."""
        with contextlib.suppress(OSError, WireError):
            if "transfer-encoding" in head.headers:
                # Its end is not looked for: the connection ends after the answer.
                taken = 0
                self.socket.settimeout(0.2)
                while taken < MAX_DISCARDED_BYTES and (piece := self.socket.recv(PIECE_BYTES)):
                    taken += len(piece)
                return
            left = min(head.length, MAX_DISCARDED_BYTES) - len(self._buffer)
            self._buffer.clear()
            while left > 0 and (piece := self.socket.recv(min(left, PIECE_BYTES))):
                left -= len(piece)

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

    def _chunks(self, limit: int) -> bytes:
        content = bytearray()
        while True:
            text = self._line().split(b";")[0].strip()
            try:
                size = int(text, 16)
            except ValueError as error:
                raise WireError(400, f"A chunk's size cannot be read: {text[:20]!r}") from error
            if size < 0 or len(content) + size > limit:
                raise WireError(413, f"The request has more than {limit} bytes.")
            if size == 0:
                while self._line():
                    pass
                return bytes(content)
            content += self._exactly(size)
            if self._line():
                raise WireError(400, "A chunk is longer than it says.")


@dataclass
class Answer:
    """What is sent back."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    close: bool = False

    def encoded(self, *, close: bool, without_body: bool) -> bytes:
        """The message's bytes."""
        lines = [f"HTTP/1.1 {self.code} {http.client.responses.get(self.code, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", f"Connection: {'close' if close else 'keep-alive'}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + (b"" if without_body else self.body)


Handler = Callable[[Head, Callable[[int], bytes]], Answer]


class Server:
    """A threaded HTTP/1.1 server.

    Args:
        address: Host and port; port 0 lets the system choose.
        handler: Answers a request: gets its head and a function that reads its body up to a limit. A body that the
            handler leaves is thrown away, and the connection ends after the answer.
    """

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        self._handler = handler
        self._listener = socket.create_server(address, backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = False

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self._accept, name="ingress", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end all connections."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._ended:
                    return
                log.exception("A connection could not be accepted")
                continue
            with self._lock:
                full = len(self._open) >= MAX_CONNECTIONS
                if not full:
                    self._open.add(connection)
            if full:
                text = b'{"error": "Too many connections."}'
                headers = {"Content-Type": "application/json", "Retry-After": "1"}
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(1)
                    connection.sendall(Answer(503, headers, text).encoded(close=True, without_body=False))
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = Wire(connection)
                while not self._ended and self._one(wire):
                    pass
        except OSError:
            # The client has gone, or was silent for too long.
            pass
        except Exception:
            log.exception("A request could not be answered")
        finally:
            with self._lock:
                self._open.discard(connection)

    def _one(self, wire: Wire) -> bool:
        """Answer one request; whether the connection goes on."""
        wire.socket.settimeout(IDLE_SECONDS)
        try:
            head = wire.head()
        except WireError as error:
            return self._refuse(wire, error)
        if head is None:
            return False
        wire.socket.settimeout(BODY_SECONDS)
        expected = head.headers.get("expect", "").lower() == "100-continue"
        has_body = "transfer-encoding" in head.headers or head.headers.get("content-length", "0") != "0"
        read = False

        def body(limit: int) -> bytes:
            nonlocal read
            if expected and has_body:
                if not head.chunked and head.length > limit:
                    raise WireError(413, f"The request has {head.length} bytes; at most {limit} are taken.")
                wire.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            content = wire.body(head, limit)
            read = True
            return content

        try:
            answer = self._handler(head, body)
        except WireError as error:
            if not expected:
                wire.discard(head)
            return self._refuse(wire, error)
        left = has_body and not read
        if left and not expected:
            wire.discard(head)
        asked = head.headers.get("connection", "").lower()
        close = left or answer.close or asked == "close" or (head.start[2] == "HTTP/1.0" and asked != "keep-alive")
        wire.socket.sendall(answer.encoded(close=close, without_body=head.start[0] == "HEAD"))
        return not close

    @staticmethod
    def _refuse(wire: Wire, error: WireError) -> bool:
        text = b'{"error": "' + error.message.encode("ascii", "replace").replace(b'"', b"'") + b'"}'
        answer = Answer(error.code, {"Content-Type": "application/json"}, text)
        wire.socket.sendall(answer.encoded(close=True, without_body=False))
        with contextlib.suppress(OSError):
            # Closing with unread bytes would reset the connection before the answer is read.
            wire.socket.shutdown(socket.SHUT_WR)
            wire.socket.settimeout(1.0)
            while wire.socket.recv(PIECE_BYTES):
                pass
        return False
