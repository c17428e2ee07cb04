"""The ingress' HTTP/1.1 server: keep-alive, ``Expect: 100-continue``, bodies that stream in and out.

It is in every prediction's way, so that it is a server of its own: one thread per connection and no hand-over between
threads, which costs less than half of what a general WSGI server adds.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pdk_stack.kubernetes.core.inference.dataplane.http_messages import (
    LAST_CHUNK,
    PIECE_BYTES,
    Head,
    Wire,
    WireError,
    check_length,
    chunk,
)

log = logging.getLogger(__name__)

IDLE_SECONDS = 75.0
BODY_SECONDS = 60.0
MAX_CONNECTIONS = 512


class Body:
    """The body of the request that is being answered; read when the handler asks for it.

    Args:
        wire: The connection.
        head: The request's head.

    Attributes:
        length: Its size in bytes; None when it comes in chunks.
        expected: Whether the sender waits until it is told to go on.
        begun: Whether reading has begun.
    """

    def __init__(self, wire: Wire, head: Head) -> None:
        self._wire = wire
        self._head = head
        self.length = None if "transfer-encoding" in head.headers else head.length
        self.expected = self.length != 0 and head.headers.get("expect", "").lower() == "100-continue"
        self.begun = False
        self._taken = 0
        self._ended = self.length == 0

    def __call__(self, limit: int) -> bytes:
        """The whole body.

        Args:
            limit: Largest size that is taken.

        Raises:
            WireError: It is larger (413), malformed (400) or cut off (400).
            OSError: The connection broke.
        """
        self._begin(limit)
        content = self._wire.body(self._head, limit)
        self._ended = True
        return content

    def pieces(self, limit: int) -> Iterator[bytes]:
        """The body as it comes; arguments and errors are those of the whole one."""
        self._begin(limit)
        for piece in self._wire.pieces(self._head, limit):
            self._taken += len(piece)
            yield piece
        self._ended = True

    def check(self, limit: int) -> None:
        """Refuse a body that says it is too large, before it is sent.

        Raises:
            WireError: It is (413).
        """
        if not self._head.chunked:
            check_length(self._head, limit)

    def _begin(self, limit: int) -> None:
        self.check(limit)
        self.begun = True
        if self.expected:
            self._wire.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def discard(self) -> bool:
        """Throw away what the handler left; whether that was anything."""
        if self._ended:
            return False
        # Who waits to be told to go on has not sent it.
        if self.begun or not self.expected:
            self._wire.discard(None if self.length is None else self.length - self._taken)
        return True


@dataclass
class Answer:
    """What is sent back.

    Attributes:
        pieces: The body as it comes, instead of a whole one; ``Content-Length`` is among the headers, or it is sent
            in chunks.
        done: Called once it was sent, or could not be.
    """

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    close: bool = False
    pieces: Iterator[bytes] | None = None
    done: Callable[[], None] | None = None

    def encoded(self, *, close: bool, without_body: bool = False, in_chunks: bool = False) -> bytes:
        """The message's bytes; of a body that comes in pieces, only the head."""
        lines = [f"HTTP/1.1 {self.code} {http.client.responses.get(self.code, 'Unknown')}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.pieces is None:
            lines.append(f"Content-Length: {len(self.body)}")
        elif in_chunks:
            lines.append("Transfer-Encoding: chunked")
        lines += [f"Connection: {'close' if close else 'keep-alive'}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + (b"" if without_body else self.body)

    def send(self, connection: socket.socket, head: Head, *, close: bool) -> bool:
        """Send it.

        Args:
            connection: Where to.
            head: The head of the request that it answers.
            close: Whether the connection is to end.

        Returns:
            Whether the connection goes on.

        Raises:
            OSError: The connection broke, or the pieces did.
        """
        sized = self.pieces is None or "Content-Length" in self.headers
        # HTTP/1.0 knows no chunks: the end of the body is the end of the connection.
        in_chunks = not sized and head.start[2] != "HTTP/1.0"
        close = close or not (sized or in_chunks)
        without_body = head.start[0] == "HEAD"
        connection.sendall(self.encoded(close=close, without_body=without_body, in_chunks=in_chunks))
        for piece in () if without_body or self.pieces is None else self.pieces:
            connection.sendall(chunk(piece) if in_chunks else piece)
        if in_chunks and not without_body:
            connection.sendall(LAST_CHUNK)
        return not close


Handler = Callable[[Head, Body], Answer]


class Server:
    """A threaded HTTP/1.1 server.

    Args:
        address: Host and port; port 0 lets the system choose.
        handler: Answers a request: gets its head and its body. A body that the handler leaves is thrown away, and the
            connection ends after the answer.
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
                    connection.sendall(Answer(503, headers, text).encoded(close=True))
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
        try:
            body = Body(wire, head)
        except WireError as error:
            return self._refuse(wire, error)
        try:
            answer = self._handler(head, body)
        except WireError as error:
            body.discard()
            return self._refuse(wire, error)
        try:
            left = body.discard()
            asked = head.headers.get("connection", "").lower()
            close = left or answer.close or asked == "close" or (head.start[2] == "HTTP/1.0" and asked != "keep-alive")
            return answer.send(wire.socket, head, close=close)
        finally:
            if answer.done is not None:
                answer.done()

    @staticmethod
    def _refuse(wire: Wire, error: WireError) -> bool:
        text = b'{"error": "' + error.message.encode("ascii", "replace").replace(b'"', b"'") + b'"}'
        answer = Answer(error.code, {"Content-Type": "application/json"}, text)
        wire.socket.sendall(answer.encoded(close=True))
        with contextlib.suppress(OSError):
            # Closing with unread bytes would reset the connection before the answer is read.
            wire.socket.shutdown(socket.SHUT_WR)
            wire.socket.settimeout(1.0)
            while wire.socket.recv(PIECE_BYTES):
                pass
        return False
