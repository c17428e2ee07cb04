"""A connection's deadline for heads: uvicorn has none, so that a silent client would hold a connection for ever.

A guard stands between the socket and uvicorn's protocol and passes everything on. It knows when a request's first byte
came; the application says when the head was complete (the call began) and when the call is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from pdk_stack.common.http.limits import Limits

__all__ = ["Guard", "Guards"]

Peer = tuple[str, int]
#: Pieces of an answer above this size are not copied to be sent with others.
LARGE_BYTES = 1 << 14


class _Together:
    """A transport that sends what one turn of the loop writes in pieces at once.

    uvicorn writes the head and the body of an answer apart, and sending is what costs most of a short one.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send at the end of this turn, or at once what is large."""
        if len(data) > LARGE_BYTES:
            self._flush()
            self._transport.write(data)
            return
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces.append(bytes(data))

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._transport.write(b"".join(pieces))


class Guards:
    """All connections of one port, by the client's address.

    Args:
        limits: What the port grants.
        make: Makes uvicorn's protocol for one connection; called with uvicorn's own arguments.
    """

    def __init__(self, limits: Limits, make: Callable[..., asyncio.Protocol]) -> None:
        self.limits = limits
        self._make = make
        self._open: dict[Peer, Guard] = {}

    def __call__(self, **given: Any) -> Guard:
        """A guarded protocol for a new connection."""
        return Guard(self, self._make(**given))

    def add(self, peer: Peer, guard: Guard) -> None:
        """A client connected."""
        self._open[peer] = guard

    def remove(self, peer: Peer) -> None:
        """A client left."""
        self._open.pop(peer, None)

    def call_began(self, peer: Peer | None) -> None:
        """A request's head is complete."""
        if peer is not None and (guard := self._open.get(peer)) is not None:
            guard.call_began()

    def call_ended(self, peer: Peer | None) -> None:
        """The request has its answer."""
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
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._calls = 0
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected (with TLS: shook hands)."""
        assert isinstance(transport, asyncio.Transport)
        together = cast(asyncio.Transport, _Together(transport))
        self._transport = together
        name = transport.get_extra_info("peername")
        if name is not None:
            self._peer = (str(name[0]), int(name[1]))
            self._guards.add(self._peer, self)
        self._watch()
        self._inner.connection_made(together)

    def data_received(self, data: bytes) -> None:
        """Something came: part of a head while no call runs."""
        if self._calls == 0:
            self._watch()
            self._head_bytes += len(data)
        self._inner.data_received(data)
        # Checked after: a head that is complete has begun a call, or is about to in this turn of the loop.
        if self._calls == 0 and self._head_bytes > self._guards.limits.head_bytes:
            asyncio.get_running_loop().call_soon(self._check_head)

    def _check_head(self) -> None:
        if self._calls == 0 and self._head_bytes > self._guards.limits.head_bytes:
            self._refuse(b"431 Request Header Fields Too Large")

    def call_began(self) -> None:
        """A head is complete."""
        self._calls += 1
        self._head_bytes = 0
        self._unwatch()

    def call_ended(self) -> None:
        """The call has its answer; uvicorn closes the connection when the next request does not come in time."""
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
        """The client left, or was sent away."""
        self._unwatch()
        if self._peer is not None:
            self._guards.remove(self._peer)
        self._inner.connection_lost(error)

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._inner.resume_writing()
