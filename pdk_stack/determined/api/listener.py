"""The master's HTTP listener on loopback.

uvicorn speaks HTTP. A call that never waits is answered in its loop, where the request was read: on two cores a
change of threads costs more than most calls do. All others have a thread for as long as they last, as every trial and
every reader of a log waits for something.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn

from pdk_shared.errors import StackError
from pdk_stack.common.service import LOOPBACK
from pdk_stack.determined.api.application import Application, Reply, Sent
from pdk_stack.determined.api.connection import Connection, Lane
from pdk_stack.determined.api.pipe import Pipe

__all__ = ["Listener", "bind"]

THREADS = 96
BACKLOG = 256
BIND_SECONDS = 3.0
KEEP_ALIVE_SECONDS = 120
#: How long a stop lets replies under way end by themselves; longer than the longest wait between two looks at ``gone``.
STOP_SECONDS = 2.0

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Listener:
    """Answers requests that arrive at a socket.

    Args:
        app: Who answers.
        listening: A bound and listening socket.
    """

    def __init__(self, app: Application, listening: socket.socket) -> None:
        self._app = app
        self._socket = listening
        self.port = int(listening.getsockname()[1])
        self._threads = ThreadPoolExecutor(THREADS, "request")
        self._closing = False
        config = uvicorn.Config(
            self._call,
            interface="asgi3",
            proxy_headers=False,
            http=functools.partial(Connection, lane=Lane(app)),  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="master", daemon=True)

    def start(self) -> None:
        """Answer, in a thread of its own; requests that came before have been queued by the socket."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; readers of endless replies are cut off."""
        self._closing = True
        # It calls every reply that is cut off here an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._server.force_exit = True
        self._thread.join(STOP_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = await _whole_body(receive)
        if body is None:
            return
        left = threading.Event()
        sent = Sent(
            method=scope["method"],
            path=scope["raw_path"].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=dict(scope["headers"]),
            body=body,
            gone=lambda: self._closing or left.is_set(),
        )
        found = self._app.find(sent.method, sent.path)
        watch = asyncio.create_task(_watch(receive, left))
        try:
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(self._threads, self._app.answer, found, sent)
            if isinstance(reply.body, bytes):
                await _send(send, reply)
            else:
                await self._stream(send, reply, reply.body, left)
        finally:
            left.set()
            watch.cancel()

    async def _stream(self, send: Send, reply: Reply, pieces: Iterable[bytes], left: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        pipe = Pipe(loop, left)
        await send(_head(reply))
        loop.run_in_executor(self._threads, pipe.feed, pieces)
        while (piece := await pipe.take()) is not None:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # A reader must not take the part of a log that it got for the whole.
        if not self._closing and not pipe.broken:
            await send({"type": "http.response.body"})


async def _whole_body(receive: Receive) -> bytes | None:
    """The request's body; None when the client left before its end."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message["body"])
        if not message["more_body"]:
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _watch(receive: Receive, left: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    left.set()


def _head(reply: Reply) -> dict[str, Any]:
    return {"type": "http.response.start", "status": reply.status, "headers": reply.headers}


async def _send(send: Send, reply: Reply) -> None:
    await send(_head(reply))
    await send({"type": "http.response.body", "body": reply.body})


def bind(app: Application, port: int) -> Listener:
    """Listen on loopback.

    Args:
        app: Who answers.
        port: The port; 0 lets the system choose.

    Raises:
        StackError: The port is taken.
    """
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        listening = socket.socket()
        # A later start may use the same port while old connections are closing.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port))
            listening.listen(BACKLOG)
            return Listener(app, listening)
        except OSError as error:
            listening.close()
            # Clients of a master that was killed may hold its port for a moment.
            if port and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise StackError(
                f"The master's port {port} cannot be used: {error}",
                where=f"{LOOPBACK}:{port}",
                fix="Leave --master-port out to use a free port, or stop the other program.",
            ) from error
