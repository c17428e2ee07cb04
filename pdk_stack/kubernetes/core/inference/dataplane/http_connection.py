"""One side of an HTTP/1.1 connection: h11 on a blocking socket, with streaming bodies."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import h11

from pdk_stack.common.limits import Limits
from pdk_stack.common.polling import Deadline

__all__ = ["Head", "HttpConnection", "WireError"]

PIECE_BYTES = 256 << 10
DISCARD_SILENCE_SECONDS = 1.0

#: ``h11.SERVER`` or ``h11.CLIENT``.
Role = type[h11.SERVER] | type[h11.CLIENT]


class WireError(Exception):
    """A message that can't be accepted; the connection closes after the answer.

    Args:
        code: HTTP status code for the sender.
        message: The reason.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Head:
    """The head of a message.

    Attributes:
        method: The request's method; empty for a response.
        target: The request's path and query.
        code: The response's status; 0 for a request.
        headers: Values by lowercase name; repeated headers are joined with a comma.
    """

    method: str
    target: str
    code: int
    headers: dict[str, str]

    @property
    def length(self) -> int | None:
        """Size of the body in bytes; None when unknown in advance."""
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
        limits: Deadlines and sizes for the other side.

    Attributes:
        socket: The socket.
        limits: Deadlines and sizes for the other side.
        taken: Number of bytes read from the current body.
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
        """Whether a kept-alive connection is reusable: the other side has sent nothing and not closed."""
        watch = select.poll()
        watch.register(self.socket, select.POLLIN)
        return not self._protocol.trailing_data[0] and not watch.poll(0)

    @property
    def other_is_done(self) -> bool:
        """Whether the other side's message is fully read."""
        return self._protocol.their_state is not h11.SEND_BODY

    @property
    def other_waits(self) -> bool:
        """Whether a client waits for permission to send the body (``Expect: 100-continue``)."""
        return self._protocol.they_are_waiting_for_100_continue

    def next_message(self) -> bool:
        """Start the next message if both sides are ready; return whether they are."""
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
        """Read the next request's head; None when the client has closed or been silent for too long.

        Raises:
            WireError: It is too large (431), not HTTP (400), uses an unknown transfer coding (501), or does not arrive
              in time (408).
            OSError: The connection broke.
        """
        # Between requests, a client can be silent for longer than before the first.
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
            # RFC 9112, 6.3: both headers together enable request smuggling.
            raise WireError(400, "Content-Length and Transfer-Encoding cannot be used together.")
        head = Head(event.method.decode("ascii"), event.target.decode("ascii"), 0, headers)
        if head.length == 0:
            self._event()  # the end of an absent body
        return head

    def response(self, timeout: float) -> Head:
        """Read the response's head.

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
        """Yield the message's body as it arrives, in pieces of any size.

        Raises:
            WireError: It is too large (413), malformed (400), cut off (400), or does not arrive in time (408).
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
        """Receive more of a request's body; the deadline counts only time spent waiting for the client."""
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
        """Read and discard data, within limits, until the other side closes.

        Closing a socket with unread bytes resets the connection before the other side has read the answer.
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
        """Encode (parts of) a message."""
        return b"".join([self._protocol.send(event) or b"" for event in events])

    def send(self, *events: h11.Event) -> None:
        """Send (parts of) a message.

        Raises:
            OSError: The connection broke.
        """
        self.socket.sendall(self.encode(*events))

    def push(self, content: bytes, seconds: float) -> bool:
        """Send until the other side answers: a server that refuses a body doesn't have to read it.

        Args:
            content: The bytes to send.
            seconds: How long the other side can stall, in seconds.

        Returns:
            Whether everything was sent.

        Raises:
            OSError: The connection broke or timed out.
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
