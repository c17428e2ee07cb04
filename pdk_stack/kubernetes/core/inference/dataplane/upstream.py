"""Requests to one model server over kept connections."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h11

from pdk_stack.common.http.limits import Limits
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head, HttpConnection, WireError

# Bodies up to here are read whole and passed on at once, which is quicker; longer ones as they come.
SMALL_BYTES = 1 << 20
CONNECT_SECONDS = 5.0
LIMITS = Limits(body_bytes=1 << 30)


class Unanswered(Exception):
    """The model server gave no answer.

    Args:
        message: Why.
        timed_out: Whether it had taken the request and was silent for too long.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Interrupted(Exception):
    """The request's sender failed in the middle of its body.

    Args:
        cause: How.
    """

    def __init__(self, cause: WireError | OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Streamed:
    """A request's body that is passed on as it comes.

    Args:
        pieces: The body.
        length: Its size; None when nobody knows.

    Attributes:
        begun: Whether a piece was taken: then the request cannot be sent a second time.
    """

    def __init__(self, pieces: Iterator[bytes], length: int | None) -> None:
        self.length = length
        self.begun = False
        self._pieces = pieces

    def pass_on(self, connection: HttpConnection, seconds: float) -> None:
        """Send the body, as far as the server takes it before it answers.

        Raises:
            Interrupted: The sender failed.
            OSError: The server did, without an answer.
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
                # A server that refuses a body may close at once; what it said before can still be read.
                return
            if piece is None:
                return


class Pieces:
    """The body of an answer as it comes; has to be closed.

    Args:
        pieces: The body.
        length: Its size as the server said it; None when nobody knows.
        close: Called at the end; keeps the connection, if all was read.
    """

    def __init__(self, pieces: Iterator[bytes], length: int | None, close: Callable[[], None]) -> None:
        self.length = length
        self.close = close
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces
        except WireError as error:
            # The answer has begun: all that is left is to end the client's connection as this one ended.
            raise ConnectionError(error.message) from error


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        code: Status.
        headers: Values by lower-case name.
        content: The body, or its pieces as they come.
    """

    code: int
    headers: dict[str, str]
    content: bytes | Pieces

    def whole(self) -> bytes:
        """The body in one piece.

        Raises:
            Unanswered: It ended before its end.
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
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._idle: deque[HttpConnection] = deque()
        self._closed = False

    def close(self) -> None:
        """Close the kept connections; those in use end with their request."""
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes | Streamed, timeout: float) -> Reply:
        """One request.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: Headers without those of the connection.
            body: The body.
            timeout: Seconds without a byte from the server.

        Raises:
            Unanswered: No answer came.
            Interrupted: The body ended before its end.
        """
        size = body.length if isinstance(body, Streamed) else len(body)
        framing = ("Transfer-Encoding", "chunked") if size is None else ("Content-Length", str(size))
        given = [("Host", f"{LOOPBACK}:{self.port}"), framing, *headers.items()]
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
                # A kept connection may have been closed by the server before it saw the request.
                if not kept or (isinstance(body, Streamed) and body.begun):
                    raise Unanswered(str(error)) from error
            except WireError as error:
                raise Unanswered(error.message) from error
            finally:
                if not answered:
                    connection.close()

    def _connection(self) -> tuple[HttpConnection, bool]:
        """A connection, and whether it is a kept one; kept ones that the server has closed are thrown away."""
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
        """The answer; a long one, or one of unknown length, as it comes."""
        pieces = connection.body()
        if head.length is not None and head.length <= SMALL_BYTES:
            content = b"".join(pieces)
            self._keep(connection)
            return Reply(head.code, head.headers, content)
        return Reply(head.code, head.headers, Pieces(pieces, head.length, lambda: self._keep(connection)))

    def _keep(self, connection: HttpConnection) -> None:
        """Keep a connection for the next request, if both sides came to the end of this one."""
        if not self._closed and connection.next_message():
            self._idle.append(connection)
        else:
            connection.close()
