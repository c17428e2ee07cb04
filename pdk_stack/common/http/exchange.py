"""One request and its answer, for code that is not async.

The order is the same on every port: the head is complete; the caller is authenticated; then the body is read, within
the port's limits; then the call runs in a thread. No body costs memory before it is known whose it is.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import anyio
from starlette.concurrency import iterate_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from pdk_stack.common.errors import BodyTooLarge, TooSlow
from pdk_stack.common.http.limits import Limits

__all__ = ["Answer", "ClientLeft", "Exchange", "Refuse", "endpoint", "stream"]

log = logging.getLogger(__name__)

#: Of a refused body so much is read and forgotten, so that the client reads the answer and keeps its connection.
DISCARDED_BYTES = 1 << 20
#: So long at most: a client that does not send its body gets the refusal then.
DISCARD_SECONDS = 0.5


#: What is handed to a call's thread of a long body at once.
HANDED_BYTES = 1 << 19
#: Most calls are done by then, and nobody needs to watch whether their clients leave meanwhile.
WATCH_AFTER_S = 0.05


class ClientLeft(ConnectionError):
    """The client left before the end of its body; there is nobody to answer."""


class Exchange:
    """One request as a call sees it.

    Attributes:
        method: ``GET`` and so on.
        path: As it was sent, still quoted: a name may hold a quoted slash.
        query: The query string, still quoted.
        headers: By name in any case.
        path_params: Values of the route, where Starlette's router found one.
        user: Whoever authenticates keeps here who calls.
        body: What has been read of the body; all of it unless ``pieces`` has more.
    """

    def __init__(self, scope: Scope, receive: Receive, limits: Limits, closing: Callable[[], bool]) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("latin-1")
        self.query: str = scope["query_string"].decode("latin-1")
        self.headers = Headers(scope=scope)
        self.path_params: Mapping[str, Any] = scope.get("path_params", {})
        self.user: Any = None
        self.body = b""
        self._receive = receive
        self._limits = limits
        self._closing = closing
        self._left = threading.Event()
        # A request that announces no body has none (RFC 9112, 6.3).
        self._whole = not ("content-length" in self.headers or "transfer-encoding" in self.headers)
        self._taken = 0
        self._began = 0.0

    def gone(self) -> bool:
        """Whether the client has left, or the server is about to; whoever waits asks now and then."""
        return self._left.is_set() or self._closing()

    def pieces(self) -> Iterator[bytes]:
        """The body, piece by piece as it arrives, for calls in a thread on ports that read ahead only in part.

        Raises:
            BodyTooLarge: It is larger than the port takes.
            TooSlow: It does not arrive in time.
            ClientLeft: The client left before its end.
        """
        ahead, self.body = self.body, b""
        if ahead:
            yield ahead
        while not self._whole:
            piece = anyio.from_thread.run(self._several)
            if piece:
                yield piece

    # -- below: the event loop's side -----------------------------------------------------------------------------

    async def read(self) -> None:
        """Read the body, as far as the port reads ahead."""
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._limits.body_bytes:
            raise BodyTooLarge(f"The body has {announced} bytes; at most {self._limits.body_bytes} are taken.")
        pieces = []
        ahead = self._limits.body_ahead
        while not self._whole and (ahead is None or self._taken < ahead):
            pieces.append(await self._next())
        self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _several(self) -> bytes:
        """So much of the body that handing it to the call's thread is worth the change of threads."""
        pieces = [await self._next()]
        size = len(pieces[0])
        while not self._whole and size < HANDED_BYTES:
            pieces.append(await self._next())
            size += len(pieces[-1])
        return b"".join(pieces)

    async def _next(self) -> bytes:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        allowed = self._limits.body_seconds + self._taken / self._limits.body_bytes_per_second
        try:
            with anyio.fail_after(max(0.0, self._began + allowed - loop.time())):
                message = await self._receive()
        except TimeoutError as error:
            raise TooSlow(f"The body did not arrive in time; {self._taken} bytes did.") from error
        if message["type"] == "http.disconnect":
            self._left.set()
            raise ClientLeft("the client left before the end of its body")
        piece: bytes = message.get("body", b"")
        self._taken += len(piece)
        self._whole = not message.get("more_body", False)
        if self._taken > self._limits.body_bytes:
            raise BodyTooLarge(f"The body has more than {self._limits.body_bytes} bytes.")
        return piece

    async def discard(self) -> bool:
        """Read the rest of a body that nobody wants and forget it, as far as it is worth it; whether that was all."""
        if not self._began and self.headers.get("expect", "").lower() == "100-continue":
            return False  # the client waits to be asked for it
        wanted = self._taken + DISCARDED_BYTES
        try:
            with anyio.move_on_after(DISCARD_SECONDS):
                while not self._whole and self._taken < wanted:
                    await self._next()
        except (BodyTooLarge, TooSlow, ClientLeft):
            return False
        return self._whole

    async def watched(self) -> Message:
        """What the client does after its body: nothing, until it leaves."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._left.set()
        return message

    async def watch(self) -> None:
        """Notice that the client leaves while its call runs."""
        while (await self.watched())["type"] != "http.disconnect":
            pass


Answer = Callable[[Exchange], Response]
Refuse = Callable[[Exchange, Exception], Response]


def endpoint(
    authenticate: Callable[[Exchange], None],
    answer: Answer,
    refuse: Refuse,
    limits: Limits,
    closing: Callable[[], bool] = lambda: False,
) -> Callable[[Scope, Receive, Send], Any]:
    """An ASGI application, or Starlette route, out of functions that are not async.

    Args:
        authenticate: Sees a complete head and no body, sets :attr:`Exchange.user`, or raises. It runs in the event loop
            and must not wait for anything.
        answer: The call; runs in a thread.
        refuse: The response to what either of them, or the body's limits, raised.
        limits: What the port grants.
        closing: Whether the server is about to stop.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, limits, closing)
        watcher: asyncio.Task[None] | None = None
        timer: asyncio.TimerHandle | None = None

        def watch() -> None:
            nonlocal watcher
            watcher = asyncio.create_task(exchange.watch())

        try:
            authenticate(exchange)
            await exchange.read()
            if exchange._whole:
                timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, watch)
            response = await anyio.to_thread.run_sync(functools.partial(answer, exchange))
        except ClientLeft:
            return
        except Exception as error:
            response = refuse(exchange, error)
        finally:
            if timer is not None:
                timer.cancel()
            if watcher is not None:
                watcher.cancel()
        if not await exchange.discard():
            response.headers["connection"] = "close"
        try:
            await response(scope, exchange.watched, send)
        finally:
            exchange._left.set()

    return application


def stream(pieces: Iterable[bytes], status: int = 200, headers: Mapping[str, str] | None = None) -> StreamingResponse:
    """An answer whose body is made in a thread while it is sent.

    An error within it breaks the connection: the client must not take the part that it got for the whole.

    Args:
        pieces: The body; closed when the client leaves, if it is a generator.
        status: HTTP status.
        headers: Among them the content type.
    """
    return StreamingResponse(_closing(pieces), status, headers)


async def _closing(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    try:
        async for piece in iterate_in_threadpool(iter(pieces)):
            yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_close, close)


def _close(close: Callable[[], None]) -> None:
    try:
        close()
    except ValueError:  # it is running in another thread, which notices on its own that the client has left
        log.debug("a stream ends by itself")
