"""One HTTP request and its response, for synchronous code.

Every port keeps the same order: receive the complete head, authenticate the caller, read the body within the port's
limits, and run the call in a thread. No body takes up memory before its sender is known.
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
from pdk_stack.common.limits import Limits

__all__ = ["UNREAD", "Answer", "ClientLeft", "Exchange", "Refuse", "endpoint", "stream"]

log = logging.getLogger(__name__)

#: The server's ASGI extension: a function to call before a response that leaves a part of the body unread.
UNREAD = "pdk_stack.unread"
#: Bytes of a refused body to read and discard, so that the client reads the response and keeps its connection.
DISCARDED_BYTES = 1 << 20
#: Maximum time for that, in seconds; then the client gets the refusal even if its body is incomplete.
DISCARD_SECONDS = 0.5


#: Bytes of a long body to hand to the call's thread at a time.
HANDED_BYTES = 1 << 19
#: Most calls finish sooner; only longer ones are watched for clients that disconnect.
WATCH_AFTER_S = 0.05


class ClientLeft(ConnectionError):
    """The client disconnected before the end of its body; no response is possible."""


class Exchange:
    """A request as a call sees it.

    Attributes:
        method: The HTTP method, such as ``GET``.
        path: The raw path, still percent-encoded: a name may contain an encoded slash.
        query: The raw query string, still percent-encoded.
        headers: Case-insensitive headers.
        path_params: Parameters of the route, if Starlette's router matched one.
        user: The authenticated caller, set by the authentication function.
        body: The part of the body read so far: all of it, unless ``pieces`` yields more.
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
        # A request that doesn't announce a body has none (RFC 9112, 6.3).
        self._whole = not ("content-length" in self.headers or "transfer-encoding" in self.headers)
        self._taken = 0
        self._began = 0.0

    def gone(self) -> bool:
        """Whether the client has disconnected or the server is stopping; long-running calls check it regularly."""
        return self._left.is_set() or self._closing()

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it arrives, for calls in a thread on ports that read ahead only in part.

        Raises:
            BodyTooLarge: The body exceeds the port's limit.
            TooSlow: The body doesn't arrive in time.
            ClientLeft: The client disconnected before the end of the body.
        """
        ahead, self.body = self.body, b""
        if ahead:
            yield ahead
        while not self._whole:
            piece = anyio.from_thread.run(self._several)
            if piece:
                yield piece

    # -- runs in the event loop -----------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read the body, up to the port's read-ahead limit."""
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self._limits.body_bytes:
            raise BodyTooLarge(f"The body has {announced} bytes; at most {self._limits.body_bytes} are taken.")
        pieces = []
        ahead = self._limits.body_ahead
        while not self._whole and (ahead is None or self._taken < ahead):
            pieces.append(await self._next())
        self.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _several(self) -> bytes:
        """Collect enough of the body to be worth a switch to the call's thread."""
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
        """Read and discard the rest of an unwanted body, up to a limit; return whether it ended."""
        if not self._began and self.headers.get("expect", "").lower() == "100-continue":
            return False  # the client waits for 100 Continue
        wanted = self._taken + DISCARDED_BYTES
        try:
            with anyio.move_on_after(DISCARD_SECONDS):
                while not self._whole and self._taken < wanted:
                    await self._next()
        except (BodyTooLarge, TooSlow, ClientLeft):
            return False
        return self._whole

    async def watched(self) -> Message:
        """Wait for the client's next message after its body: nothing until it disconnects."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._left.set()
        return message

    async def watch(self) -> None:
        """Watch for the client to disconnect while its call runs."""
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
    brief: Callable[[Exchange], bool] = lambda exchange: False,
) -> Callable[[Scope, Receive, Send], Any]:
    """Build an ASGI application, usable as a Starlette route, from synchronous functions.

    Args:
        authenticate: Gets a complete head without the body; sets :attr:`Exchange.user` or raises. It runs in the event
            loop and must not block.
        answer: Handles the call; runs in a thread.
        refuse: Maps an exception from either function, or from the body's limits, to a response.
        limits: The port's limits.
        closing: Returns whether the server is stopping.
        brief: Returns whether a call takes a millisecond at most and waits for nothing. It then runs in the event loop,
            because the change of threads costs more than the call; all other clients wait meanwhile.
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
            if brief(exchange):
                response = answer(exchange)
            else:
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
            unread = scope.get("extensions", {}).get(UNREAD)
            if unread is not None:
                unread()
        try:
            await response(scope, exchange.watched, send)
        finally:
            exchange._left.set()

    return application


def stream(pieces: Iterable[bytes], status: int = 200, headers: Mapping[str, str] | None = None) -> StreamingResponse:
    """Build a response whose body is generated in a thread while it is sent.

    An error in the body breaks the connection, so that the client can't mistake a partial body for a complete one.

    Args:
        pieces: The body; a generator is closed when the client disconnects.
        status: HTTP status.
        headers: Response headers, including the content type.
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
    except ValueError:  # it runs in another thread, which notices the disconnect itself
        log.debug("a stream ends by itself")
