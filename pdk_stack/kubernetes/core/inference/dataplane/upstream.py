"""Requests to a model server over kept-alive connections."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h11

from pdk_stack.common.limits import Limits
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head, HttpConnection, WireError

# Bodies up to this size are read whole and forwarded at once, which is faster; longer ones are streamed.
SMALL_BYTES = 1 << 20
CONNECT_SECONDS = 5.0
LIMITS = Limits(body_bytes=1 << 30)


class Unanswered(Exception):
    """The model server gave no answer.

    Args:
        message: The reason.
        timed_out: Whether it accepted the request and was then silent for too long.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Interrupted(Exception):
    """The request's sender failed while sending the body.

    Args:
        cause: The original error.
    """

    def __init__(self, cause: WireError | OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Streamed:
    """A streaming request body.

    Args:
        pieces: The body.
        length: Size in bytes; None when unknown.

    Attributes:
        begun: Whether the body is being sent, so that the request can't be retried.
        begin: The first piece.

    Raises:
        WireError: The sender failed before the first piece.
        OSError: The connection broke.
    """

    def __init__(self, pieces: Iterator[bytes], length: int | None) -> None:
        self.length = length
        self.begun = False
        self.begin = next(pieces, b"")
        self._pieces = itertools.chain([self.begin] if self.begin else [], pieces)

    def pass_on(self, connection: HttpConnection, seconds: float) -> None:
        """Send the body until the server answers.

        Raises:
            Interrupted: The sender failed.
            OSError: The server failed without an answer.
        """
        self.begun = True
        while True:
            try:
                piece = next(self._pieces, None)
            except (WireError, OSError) as error:
                raise Interrupted(error) from error
            content = connection.encode(h11.EndOfMessage() if piece is None else h11.Data(data=piece))
            try:
                if content and not connection.push(content, seconds):
                    return
            except ConnectionError:
                # A server that refuses a body can close immediately; an answer that it sent before is still readable.
                return
            if piece is None:
                return


class Pieces:
    """A streaming response body; must be closed.

    Args:
        pieces: The body.
        length: Size in bytes as declared by the server; None when unknown.
        close: Called at the end; keeps the connection if the body was fully read.
    """

    def __init__(self, pieces: Iterator[bytes], length: int | None, close: Callable[[], None]) -> None:
        self.length = length
        self.close = close
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except WireError as error:
            # The answer has begun, so the only option left is to break the client's connection as well.
            raise ConnectionError(error.message) from error


@dataclass(frozen=True)
class Reply:
    """A model server's answer.

    Attributes:
        code: Status.
        headers: Values by lowercase name.
        content: The body, whole or streaming.
    """

    code: int
    headers: dict[str, str]
    content: bytes | Pieces

    def whole(self) -> bytes:
        """Read the whole body.

        Raises:
            Unanswered: The body was cut off.
        """
        if isinstance(self.content, bytes):
            return self.content
        try:
            return b"".join(self.content)
        except OSError as error:
            raise Unanswered(str(error)) from error
        finally:
            self.content.close()


class Upstream:
    """A model server on a loopback port.

    Args:
        port: The port.
        own: Headers by lowercase name for every request; they replace the client's.
    """

    def __init__(self, port: int, own: dict[str, str] | None = None) -> None:
        self.port = port
        self._own = own or {}
        self._idle: deque[HttpConnection] = deque()
        self._closed = False

    def close(self) -> None:
        """Close idle connections; those in use close after their request."""
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes | Streamed, timeout: float) -> Reply:
        """Send one request.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: Headers without hop-by-hop ones.
            body: The body.
            timeout: Seconds without a byte from the server.

        Raises:
            Unanswered: No answer came.
            Interrupted: The request's body was cut off.
        """
        size = body.length if isinstance(body, Streamed) else len(body)
        framing = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))
        given = [("Host", f"{LOOPBACK}:{self.port}"), framing, *{**headers, **self._own}.items()]
        request = h11.Request(method=method, target=target, headers=given)
        while True:
            connection, kept = self._connection()
            answered = False
            try:
                connection.socket.settimeout(timeout)
                if isinstance(body, Streamed):
                    connection.send(request)
                    body.pass_on(connection, timeout)
                else:
                    connection.send(request, h11.Data(data=body), h11.EndOfMessage())
                reply = self._reply(connection, connection.response(timeout))
                answered = True
                return reply
            except TimeoutError as error:
                raise Unanswered(f"no answer within {timeout:.0f} s", timed_out=True) from error
            except OSError as error:
                # The server can have closed a kept-alive connection before it saw the request.
                if not kept or (isinstance(body, Streamed) and body.begun):
                    raise Unanswered(str(error)) from error
            except WireError as error:
                raise Unanswered(error.message) from error
            finally:
                if not answered:
                    connection.close()

    def _connection(self) -> tuple[HttpConnection, bool]:
        """Return a connection and whether it is reused; discard idle ones that the server has closed."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            if connection.quiet:
                return connection, True
            connection.close()
        try:
            opened = socket.create_connection((LOOPBACK, self.port), timeout=CONNECT_SECONDS)
        except OSError as error:
            raise Unanswered(str(error)) from error
        return HttpConnection(opened, h11.CLIENT, LIMITS), False

    def _reply(self, connection: HttpConnection, head: Head) -> Reply:
        """Return the answer; stream it if it is long or of unknown length."""
        pieces = connection.body()
        if head.length is not None and head.length <= SMALL_BYTES:
            content = b"".join(pieces)
            self._keep(connection)
            return Reply(head.code, head.headers, content)
        return Reply(head.code, head.headers, Pieces(pieces, head.length, lambda: self._keep(connection)))

    def _keep(self, connection: HttpConnection) -> None:
        """Keep a connection for the next request if both sides have finished this one."""
        if not self._closed and connection.next_message():
            self._idle.append(connection)
        else:
            connection.close()
