"""The ingress' HTTP/1.1 server: keep-alive, ``Expect: 100-continue``, bodies that stream in and out.

It is in every prediction's way, so it is not the stack's common server (``common/http``): one thread per connection
reads, forwards and answers, with no hand-over between an event loop and threads. The way through the common server
takes 1.6 times as long (``python -m benchmarks.ingress_server``). h11 reads and writes the messages.
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

from pdk_stack.common.http.limits import Limits
from pdk_stack.common.http.server import listen
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head, HttpConnection, WireError

log = logging.getLogger(__name__)

JSON = {"Content-Type": "application/json"}
#: Pause before the next accept when it fails, as when descriptors run out (asyncio's ``ACCEPT_RETRY_DELAY``).
ACCEPT_RETRY_SECONDS = 1.0


class RequestBody:
    """The body of the request that is being answered; read when the handler asks for it.

    Args:
        connection: Where it comes from.
        head: The request's head.

    Attributes:
        length: Its size in bytes; None when it comes in chunks.
    """

    def __init__(self, connection: HttpConnection, head: Head) -> None:
        self._connection = connection
        self.length = head.length

    def whole(self) -> bytes:
        """The whole body; errors are those of :meth:`pieces`."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes.

        Raises:
            WireError: It is larger (413), malformed (400), cut off (400) or late (408).
            OSError: The connection broke.
        """
        self.check()
        if self._connection.other_waits:
            self._connection.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        yield from self._connection.body()

    def check(self) -> None:
        """Refuse a body that says it is too large, before it is sent.

        Raises:
            WireError: It is (413).
        """
        limit = self._connection.limits.body_bytes
        if self.length is not None and self.length > limit:
            raise WireError(413, f"The body has {self.length} bytes; at most {limit} are taken.")


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

    def send(self, connection: HttpConnection, method: str) -> None:
        """Send it; h11 chooses between a length, chunks, and the end of the connection for old clients.

        Args:
            connection: Where to.
            method: The request's method.

        Raises:
            OSError: The connection broke, or the pieces did.
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
        limits: What the port grants.
        handler: Answers a request: gets its head and its body. When the handler leaves some of the body, the connection
            ends after the answer.

    Attributes:
        port: The port that it has.

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
        """Serve from a thread of its own."""
        threading.Thread(target=self._accept, name=self._name, daemon=True).start()

    def stop(self) -> None:
        """Stop listening and end all connections."""
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
                    log.exception("%s could not accept a connection", self._name)
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
            # The client has gone, or takes nothing.
            pass
        except Exception:
            log.exception("A request could not be answered")
        finally:
            with self._lock:
                self._open.discard(accepted)

    def _answer_one(self, connection: HttpConnection) -> bool:
        """Answer one request; whether the connection goes on."""
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
