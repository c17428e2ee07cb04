"""The ingress's HTTP/1.1 server: keep-alive, ``Expect: 100-continue``, and streaming bodies in both directions.

Every prediction passes through it, so it doesn't use the stack's common server (``common/http``): one thread per
connection reads, forwards, and answers, without a handoff between an event loop and threads. The common server takes
1.6 times as long (``python -m benchmarks.ingress_server``). h11 parses and writes the messages.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import h11

from pdk_stack.common.http.server import listen
from pdk_stack.common.limits import Limits
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head, HttpConnection, WireError

log = logging.getLogger(__name__)

JSON = {"Content-Type": "application/json"}
#: Pause after accept fails, for example without free descriptors (asyncio's ``ACCEPT_RETRY_DELAY``).
ACCEPT_RETRY_SECONDS = 1.0


class RequestBody:
    """The body of the current request, read on demand.

    Args:
        connection: The client's connection.
        head: The request's head.

    Attributes:
        length: Size in bytes; None for a chunked body.
    """

    def __init__(self, connection: HttpConnection, head: Head) -> None:
        self._connection = connection
        self.length = head.length

    def whole(self) -> bytes:
        """Read the whole body; raises the errors of :meth:`pieces`."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            WireError: It is larger (413), malformed (400), cut off (400) or late (408).
            OSError: The connection broke.
        """
        self.check()
        if self._connection.other_waits:
            self._connection.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        yield from self._connection.body()

    def check(self) -> None:
        """Refuse a body whose declared length is too large, before the client sends it.

        Raises:
            WireError: The body is too large (413).
        """
        limit = self._connection.limits.body_bytes
        if self.length is not None and self.length > limit:
            raise WireError(413, f"The body has {self.length} bytes; at most {limit} are taken.")


@dataclass
class Answer:
    """The answer to a request.

    Attributes:
        pieces: A streaming body instead of a whole one; without ``Content-Length`` among the headers, it is sent in
          chunks.
        done: Called once the answer is sent or has failed.
        pod: The pod that gave it; empty if none was asked.
    """

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    close: bool = False
    pieces: Iterator[bytes] | None = None
    done: Callable[[], None] | None = None
    pod: str = ""

    def send(self, connection: HttpConnection, method: str) -> None:
        """Send the answer; h11 frames it by length, by chunks, or, for old clients, by closing the connection.

        Args:
            connection: The client's connection.
            method: The request's method.

        Raises:
            OSError: The connection or the source of the pieces broke.
        """
        headers = dict(self.headers)
        if self.pieces is None:
            headers["Content-Length"] = str(len(self.body))
        if self.close:
            headers["Connection"] = "close"
        head = h11.Response(
            status_code=self.code,
            headers=list(headers.items()),
            reason=http.client.responses.get(self.code, "Unknown").encode(),
        )
        if method == "HEAD":
            connection.send(head, h11.EndOfMessage())
        elif self.pieces is None:
            connection.send(head, h11.Data(data=self.body), h11.EndOfMessage())
        else:
            connection.send(head)
            for piece in self.pieces:
                connection.send(h11.Data(data=piece))
            connection.send(h11.EndOfMessage())


Handler = Callable[[Head, RequestBody], Answer]


class Server:
    """A threaded HTTP/1.1 server on a loopback port.

    Args:
        name: Service and listener, for the log.
        port: The port; 0 lets the system choose.
        limits: The port's deadlines and sizes.
        handler: Answers a request, given its head and body. If it doesn't read the whole body, the connection closes
          after the answer.

    Attributes:
        port: The actual port.

    Raises:
        StackError: The port is taken.
    """

    def __init__(self, name: str, port: int, limits: Limits, handler: Handler) -> None:
        self._name = name
        self._limits = limits
        self._handler = handler
        self._listener = listen(name, port)
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def start(self) -> None:
        """Serve in a separate thread."""
        threading.Thread(target=self._accept, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Stop listening and close all connections."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if not self._ended.is_set():
                    log.exception("%s failed to accept a connection", self._name)
                    self._ended.wait(ACCEPT_RETRY_SECONDS)
                continue
            with self._lock:
                full = len(self._open) >= self._limits.connections
                if not full:
                    self._open.add(connection)
            if full:
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(1)
                    answer = _refusal(503, "Too many connections.")
                    answer.headers["Retry-After"] = "1"
                    answer.send(HttpConnection(connection, h11.SERVER, self._limits), "")
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        try:
            with accepted:
                connection = HttpConnection(accepted, h11.SERVER, self._limits)
                while not self._ended.is_set() and self._answer_one(connection):
                    pass
        except OSError:
            # The client has disconnected or stopped reading.
            pass
        except Exception:
            log.exception("Failed to answer a request")
        finally:
            with self._lock:
                self._open.discard(accepted)

    def _answer_one(self, connection: HttpConnection) -> bool:
        """Answer one request; return whether the connection stays open."""
        answer, method = None, ""
        try:
            head = connection.request()
            if head is None:
                return False
            method = head.method
            answer = self._handler(head, RequestBody(connection, head))
        except WireError as error:
            answer = _refusal(error.code, error.message)
        try:
            answer.close = answer.close or not connection.other_is_done
            connection.socket.settimeout(self._limits.body_seconds)
            answer.send(connection, method)
        finally:
            if answer.done is not None:
                answer.done()
        if connection.next_message():
            return True
        connection.discard()
        return False


def _refusal(code: int, message: str) -> Answer:
    return Answer(code, dict(JSON), json.dumps({"error": message}).encode(), close=True)
