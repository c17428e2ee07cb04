"""Requests to one model server over kept connections."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.inference.dataplane.http_messages import LAST_CHUNK, Head, Wire, WireError, chunk

MAX_ANSWER_BYTES = 1 << 30
# Bodies up to here are read whole and passed on at once, which is quicker; longer ones as they come.
SMALL_BYTES = 1 << 20
# Statuses without a body (RFC 9110, 6.4.1).
BODILESS = {204, 304}


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

    def pass_on(self, wire: Wire, seconds: float) -> bool:
        """Send the body; whether the server took all of it before it answered.

        Raises:
            Interrupted: The sender failed.
            OSError: The server did, without an answer.
        """
        self.begun = True
        while True:
            try:
                piece = next(self._pieces, b"")
            except (WireError, OSError) as error:
                raise Interrupted(error) from error
            content = piece
            if self.length is None:
                content = chunk(piece) if piece else LAST_CHUNK
            try:
                if content and not wire.push(content, seconds):
                    return False
            except ConnectionError:
                # A server that refuses a body may close at once; what it said before can still be read.
                return False
            if not piece:
                return True


class Pieces:
    """The body of an answer as it comes; has to be closed.

    Args:
        wire: The connection.
        head: The answer's head.
        finished: Called when the connection can be used again.
    """

    def __init__(self, wire: Wire, head: Head, finished: Callable[[], None]) -> None:
        self.length = head.headers.get("content-length")
        self._wire = wire
        self._head = head
        self._finished = finished
        self._whole = False

    def __iter__(self) -> Iterator[bytes]:
        known = self.length is not None or self._head.chunked
        try:
            yield from (
                self._wire.pieces(self._head, MAX_ANSWER_BYTES) if known else self._wire.until_closed(MAX_ANSWER_BYTES)
            )
        except WireError as error:
            # The answer has begun: all that is left is to end the client's connection as this one ended.
            raise ConnectionError(error.message) from error
        self._whole = True

    def close(self) -> None:
        """Keep the connection if all was read, else end it."""
        if self._whole:
            self._finished()
        else:
            self._wire.socket.close()


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
        self._idle: deque[Wire] = deque()
        self._closed = False

    def close(self) -> None:
        """Close the kept connections; those in use end with their request."""
        self._closed = True
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().socket.close()

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
        streamed = body if isinstance(body, Streamed) else None
        size = streamed.length if streamed else len(body)  # type: ignore[arg-type]
        lines = [f"{method} {target} HTTP/1.1", f"Host: {LOOPBACK}:{self.port}"]
        lines.append("Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        message = "\r\n".join([*lines, "", ""]).encode("latin-1")
        if isinstance(body, bytes):
            message += body
        while True:
            wire, kept = self._wire()
            try:
                wire.socket.settimeout(timeout)
                wire.socket.sendall(message)
                complete = streamed is None or streamed.pass_on(wire, timeout)
                head = wire.head()
                if head is None:
                    raise ConnectionResetError("the connection was closed")
                return self._reply(wire, head, method, complete)
            except TimeoutError as error:
                wire.socket.close()
                raise Unanswered(f"no answer within {timeout:.0f} s", timed_out=True) from error
            except OSError as error:
                wire.socket.close()
                # A kept connection may have been closed by the server before it saw the request.
                if not kept or (streamed and streamed.begun):
                    raise Unanswered(str(error)) from error
            except Interrupted:
                wire.socket.close()
                raise
            except WireError as error:
                wire.socket.close()
                raise Unanswered(error.message) from error

    def _wire(self) -> tuple[Wire, bool]:
        """A connection, and whether it is a kept one; kept ones that the server has closed are thrown away."""
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return self._connect(), False
            if wire.is_quiet():
                return wire, True
            wire.socket.close()

    def _connect(self) -> Wire:
        try:
            connection = socket.create_connection((LOOPBACK, self.port), timeout=5)
        except OSError as error:
            raise Unanswered(str(error)) from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Wire(connection)

    def _reply(self, wire: Wire, head: Head, method: str, complete: bool) -> Reply:
        """The answer; a long one, or one of unknown length, as it comes.

        Args:
            wire: The connection.
            head: The answer's head.
            method: The request's method.
            complete: Whether the server has taken the whole request: only then the connection can be used again.
        """
        code = int(head.start[1])
        sized = "content-length" in head.headers
        keep = complete and (sized or head.chunked) and head.headers.get("connection", "").lower() != "close"
        if method == "HEAD" or code in BODILESS:
            content = b""
        elif sized and head.length <= SMALL_BYTES:
            content = wire.body(head, MAX_ANSWER_BYTES)
        else:
            return Reply(code, head.headers, Pieces(wire, head, lambda: self._keep(wire, keep)))
        self._keep(wire, keep)
        return Reply(code, head.headers, content)

    def _keep(self, wire: Wire, keep: bool) -> None:
        if keep and not self._closed:
            self._idle.append(wire)
        else:
            wire.socket.close()
