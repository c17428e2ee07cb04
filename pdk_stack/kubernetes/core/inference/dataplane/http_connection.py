"""One side of an HTTP/1.1 connection: h11's protocol on a blocking socket, with bodies that are read as they come."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import h11

from pdk_stack.common.http.limits import Limits
from pdk_stack.common.polling import Deadline

__all__ = ["Head", "HttpConnection", "WireError"]

PIECE_BYTES = 256 << 10
DISCARD_SILENCE_SECONDS = 1.0

#: ``h11.SERVER`` or ``h11.CLIENT``.
Role = type[h11.SERVER] | type[h11.CLIENT]


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


@dataclass(frozen=True)
class Head:
    """The first part of a message.

    Attributes:
        method: A request's method; empty for a response.
        target: A request's path and query.
        code: A response's status; 0 for a request.
        headers: Values by lower-case name; repeated headers are joined by a comma.
    """

    method: str
    target: str
    code: int
    headers: dict[str, str]

    @property
    def length(self) -> int | None:
        """Bytes of the body; None when only its end tells."""
        if "transfer-encoding" in self.headers:
            return None
        if "content-length" in self.headers:
            return int(self.headers["content-length"])
        return None if self.code else 0


class HttpConnection:
    """Reads and writes HTTP messages on a connected socket.

    Args:
        connection: The socket.
        role: ``h11.SERVER`` or ``h11.CLIENT``.
        limits: What is granted to the other side.

    Attributes:
        socket: The socket.
        limits: What is granted to the other side.
        taken: Bytes of the present body that have been read.
    """

    def __init__(self, connection: socket.socket, role: Role, limits: Limits) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.taken = 0
        self.limits = limits
        self._protocol = h11.Connection(role, max_incomplete_event_size=limits.head_bytes)
        self._waited = 0.0
        self._eof = False
        self._kept = False

    @property
    def quiet(self) -> bool:
        """Whether the other side has sent nothing and has not closed: a kept connection that can be used again."""
        watch = select.poll()
        watch.register(self.socket, select.POLLIN)
        return not self._protocol.trailing_data[0] and not watch.poll(0)

    @property
    def other_is_done(self) -> bool:
        """Whether the other side's message has been read to its end."""
        return self._protocol.their_state is not h11.SEND_BODY

    @property
    def other_waits(self) -> bool:
        """Whether a client waits until it is told to go on (``Expect: 100-continue``)."""
        return self._protocol.they_are_waiting_for_100_continue

    def next_message(self) -> bool:
        """Go on to the next message, if both sides may; whether they do."""
        if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
            return False
        self._protocol.start_next_cycle()
        self.taken, self._waited, self._kept = 0, 0.0, True
        return True

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    # -- reading --------------------------------------------------------------------------------------------------

    def request(self) -> Head | None:
        """The next request's head; None when the client has closed, or has sent nothing for too long.

        Raises:
            WireError: It is too large (431), not HTTP (400), asks for a coding that is not known (501), or does not
                come in time (408).
            OSError: The connection broke.
        """
        # Between two requests a client may be silent for longer than before the first.
        if not self._protocol.trailing_data[0]:
            self.socket.settimeout(self.limits.keep_alive_seconds if self._kept else self.limits.head_seconds)
            with contextlib.suppress(TimeoutError):
                self._receive()
            if not self._protocol.trailing_data[0]:
                return None
        deadline = Deadline(self.limits.head_seconds)
        while (event := self._event()) is h11.NEED_DATA:
            self.socket.settimeout(deadline.left or 1e-6)
            try:
                self._receive()
            except TimeoutError as error:
                raise WireError(408, "The head did not arrive in time.") from error
        if not isinstance(event, h11.Request):
            return None
        headers = _joined(event.headers)
        if "transfer-encoding" in headers and "content-length" in headers:
            # RFC 9112, 6.3: the two together are how requests are smuggled.
            raise WireError(400, "Content-Length and Transfer-Encoding cannot be used together.")
        head = Head(event.method.decode("ascii"), event.target.decode("ascii"), 0, headers)
        if head.length == 0:
            self._event()  # the end of a body that is not there
        return head

    def response(self, timeout: float) -> Head:
        """The response's head.

        Args:
            timeout: Seconds without a byte.

        Raises:
            WireError: It is not HTTP.
            OSError: The connection broke.
        """
        self.socket.settimeout(timeout)
        while True:
            event = self._event()
            if event is h11.NEED_DATA:
                self._receive()
            elif isinstance(event, h11.Response):
                return Head("", "", event.status_code, _joined(event.headers))
            elif not isinstance(event, h11.InformationalResponse):
                raise ConnectionResetError("the connection was closed")

    def body(self) -> Iterator[bytes]:
        """The message's body as it comes, in pieces of any size.

        Raises:
            WireError: It is larger (413), malformed (400), cut off (400) or does not come in time (408).
            OSError: The connection broke.
        """
        while self._protocol.their_state is h11.SEND_BODY:
            event = self._event()
            if event is h11.NEED_DATA:
                self._wait_for_body()
            elif isinstance(event, h11.Data):
                self.taken += len(event.data)
                if self.taken > self.limits.body_bytes:
                    raise WireError(413, f"The body has more than {self.limits.body_bytes} bytes.")
                yield bytes(event.data)

    def _wait_for_body(self) -> None:
        """Receive more of a request's body; only what is waited for the client counts, not the time between."""
        if self._protocol.our_role is h11.SERVER:
            allowed = self.limits.body_seconds + self.taken / self.limits.body_bytes_per_second
            self.socket.settimeout(max(1e-6, allowed - self._waited))
        began = time.monotonic()
        try:
            self._receive()
        except TimeoutError as error:
            if self._protocol.our_role is h11.CLIENT:
                raise
            raise WireError(408, f"The body did not arrive in time; {self.taken} bytes did.") from error
        self._waited += time.monotonic() - began

    def discard(self) -> None:
        """Read on and forget what comes until the other side has closed, as far as it is worth it.

        Closing a socket with bytes that were not read would reset the connection before the answer is read.
        """
        deadline = Deadline(self.limits.body_seconds)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            self.socket.settimeout(DISCARD_SILENCE_SECONDS)
            while not deadline.over and self.socket.recv(PIECE_BYTES):
                pass

    def _receive(self) -> None:
        piece = self.socket.recv(PIECE_BYTES)
        self._eof = not piece
        self._protocol.receive_data(piece)

    def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        in_body = self._protocol.their_state is h11.SEND_BODY
        try:
            return self._protocol.next_event()
        except h11.RemoteProtocolError as error:
            if self._eof and in_body:
                raise WireError(400, f"The body ends after {self.taken} bytes, before its end.") from error
            raise WireError(error.error_status_hint, f"The message is not HTTP/1.1: {error}") from error

    # -- writing --------------------------------------------------------------------------------------------------

    def encode(self, *events: h11.Event) -> bytes:
        """The bytes of (parts of) a message."""
        return b"".join([self._protocol.send(event) or b"" for event in events])

    def send(self, *events: h11.Event) -> None:
        """Send (parts of) a message.

        Raises:
            OSError: The connection broke.
        """
        self.socket.sendall(self.encode(*events))

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
            if events[0][1] & ~select.POLLOUT:
                return False
            left = left[self.socket.send(left) :]
        return True


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
