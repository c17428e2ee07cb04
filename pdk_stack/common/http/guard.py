"""What uvicorn lacks on a connection: deadlines for request heads, and an end that clients can read.

A guard sits between the socket and uvicorn's protocol and forwards everything. It knows when a request's first byte
arrives; the application reports when the head is complete (the call begins), when the call ends, and when a response
leaves a part of the body unread. Closing such a connection at once resets it, and a client that still sends then sees
a broken pipe instead of the response. So the guard lingers: it discards what arrives until the client closes, within
limits, like nginx (``lingering_close``) and Go's server (``closeWriteAndWait``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from pdk_stack.common.limits import Limits

__all__ = ["Guard", "Guards"]

Peer = tuple[str, int]
#: Larger pieces of a response are sent on their own instead of being copied and merged.
LARGE_BYTES = 1 << 14
#: Maximum time for the client to read the response and close, in seconds; nginx waits 5 (``lingering_timeout``).
LINGER_SECONDS = 5.0
#: Bytes to discard meanwhile; the connection of a client that sends more is reset.
LINGER_BYTES = 16 << 20


class _Together:
    """A transport that merges all small writes of one event loop iteration into one.

    uvicorn writes the head and the body of a response separately, and each send is expensive for a short one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []
        self._deadline: asyncio.TimerHandle | None = None
        self.unread = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at the end of this event loop iteration; send large data at once."""
        if len(data) > LARGE_BYTES:
            self._flush()
            self._transport.write(data)
            return
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces.append(bytes(data))

    @property
    def lingering(self) -> bool:
        """Whether the response is sent and only the client's close is awaited."""
        return self._deadline is not None

    def is_closing(self) -> bool:
        """Whether the connection takes no more responses."""
        return self.lingering or self._transport.is_closing()

    def close(self) -> None:
        """Send buffered data, then close; linger first if a part of the client's body is unread."""
        self._flush()
        if self.unread and not self.is_closing():
            self._deadline = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)
            self._transport.resume_reading()
            if self._transport.can_write_eof():  # TLS has no half-closed connections
                self._transport.write_eof()
            return
        self.release()
        self._transport.close()

    def release(self) -> None:
        """Stop lingering."""
        if self._deadline is not None:
            self._deadline.cancel()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._transport.write(b"".join(pieces))


class Guards:
    """All connections of a port, by client address.

    Args:
        limits: The port's limits.
        make: Creates uvicorn's protocol for a connection; called with uvicorn's own arguments.
    """

    def __init__(self, limits: Limits, make: Callable[..., asyncio.Protocol]) -> None:
        self.limits = limits
        self._make = make
        self._open: dict[Peer, Guard] = {}

    def __call__(self, **given: Any) -> Guard:
        """Create a guarded protocol for a new connection."""
        return Guard(self, self._make(**given))

    def add(self, peer: Peer, guard: Guard) -> None:
        """Register a new connection."""
        self._open[peer] = guard

    def remove(self, peer: Peer) -> None:
        """Remove a closed connection."""
        self._open.pop(peer, None)

    def call_began(self, peer: Peer | None) -> None:
        """Record that a request's head is complete."""
        if peer is not None and (guard := self._open.get(peer)) is not None:
            guard.call_began()

    def call_unread(self, peer: Peer | None) -> None:
        """Record that the response will leave a part of the request's body unread."""
        if peer is not None and (guard := self._open.get(peer)) is not None:
            guard.call_unread()

    def call_ended(self, peer: Peer | None) -> None:
        """Record that a request has its response."""
        if peer is not None and (guard := self._open.get(peer)) is not None:
            guard.call_ended()


class Guard(asyncio.Protocol):
    """One connection.

    Args:
        guards: All connections of the port.
        inner: uvicorn's protocol.
    """

    def __init__(self, guards: Guards, inner: asyncio.Protocol) -> None:
        self._guards = guards
        self._inner = inner
        self._transport: _Together | None = None
        self._discarded = 0
        self._peer: Peer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._calls = 0
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the deadline for a new connection (with TLS, after the handshake)."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = together = _Together(transport)
        name = transport.get_extra_info("peername")
        if name is not None:
            self._peer = (str(name[0]), int(name[1]))
            self._guards.add(self._peer, self)
        self._watch()
        self._inner.connection_made(cast(asyncio.Transport, together))

    def data_received(self, data: bytes) -> None:
        """Forward data; while no call runs, it belongs to a head."""
        if self._transport is not None and self._transport.lingering:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self._transport.close()
            return
        if self._calls == 0:
            self._watch()
            self._head_bytes += len(data)
        self._inner.data_received(data)
        # Checked afterwards: a complete head has begun a call, or is about to in this event loop iteration.
        if self._calls == 0 and self._head_bytes > self._guards.limits.head_bytes:
            asyncio.get_running_loop().call_soon(self._check_head)

    def _check_head(self) -> None:
        if self._calls == 0 and self._head_bytes > self._guards.limits.head_bytes:
            self.call_unread()
            self._refuse(b"431 Request Header Fields Too Large")

    def call_began(self) -> None:
        """Stop the head's deadline."""
        self._calls += 1
        self._head_bytes = 0
        self._unwatch()

    def call_unread(self) -> None:
        """Linger after the response."""
        if self._transport is not None:
            self._transport.unread = True

    def call_ended(self) -> None:
        """Record the response; uvicorn closes the connection if the next request doesn't arrive in time."""
        self._calls -= 1
        self._head_bytes = 0

    def _watch(self) -> None:
        if self._timer is None:
            seconds = self._guards.limits.head_seconds
            self._timer = asyncio.get_running_loop().call_later(seconds, self._refuse, b"408 Request Timeout")

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: bytes) -> None:
        self._unwatch()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Forward the end of the connection."""
        self._unwatch()
        if self._transport is not None:
            self._transport.release()
        if self._peer is not None:
            self._guards.remove(self._peer)
        self._inner.connection_lost(error)

    def eof_received(self) -> bool | None:
        """Forward that the client sends no more data."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Forward that the client reads too slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Forward that the client reads again."""
        self._inner.resume_writing()
