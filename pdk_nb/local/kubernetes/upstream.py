"""Requests to one model server over kept connections."""

from __future__ import annotations

import contextlib
import socket
from collections import deque

from pdk_nb.local.kubernetes.wire import Head, Wire, WireError
from pdk_nb.local.service import LOOPBACK

MAX_ANSWER_BYTES = 256 << 20
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

    def send(
        self, method: str, target: str, headers: dict[str, str], body: bytes, timeout: float
    ) -> tuple[int, dict[str, str], bytes]:
        """One request.

        Args:
            method: HTTP method.
            target: Path and query.
            headers: Headers without those of the connection.
            body: The body.
            timeout: Seconds without a byte from the server.

        Returns:
            Status, headers by lower-case name, body.

        Raises:
            Unanswered: No answer came.
        """
        lines = [f"{method} {target} HTTP/1.1", f"Host: {LOOPBACK}:{self.port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        message = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        while True:
            wire, kept = self._wire()
            try:
                wire.socket.settimeout(timeout)
                wire.socket.sendall(message)
                head = wire.head()
                if head is None:
                    raise ConnectionResetError("the connection was closed")
                return self._answer(wire, head, method)
            except TimeoutError as error:
                wire.socket.close()
                raise Unanswered(f"no answer within {timeout:.0f} s", timed_out=True) from error
            except OSError as error:
                wire.socket.close()
                # A kept connection may have been closed by the server before it saw the request.
                if not kept:
                    raise Unanswered(str(error)) from error
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

    def _answer(self, wire: Wire, head: Head, method: str) -> tuple[int, dict[str, str], bytes]:
        code = int(head.start[1])
        if method == "HEAD" or code in BODILESS:
            content = b""
        elif "content-length" in head.headers or head.chunked:
            content = wire.body(head, MAX_ANSWER_BYTES)
        else:
            content = wire.until_closed(MAX_ANSWER_BYTES)
            wire.socket.close()
            return code, head.headers, content
        if self._closed or head.headers.get("connection", "").lower() == "close":
            wire.socket.close()
        else:
            self._idle.append(wire)
        return code, head.headers, content
