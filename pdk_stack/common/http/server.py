"""The stack's HTTP server: uvicorn on a loopback socket, in its own thread.

Every port has deadlines for heads and bodies, limits on sizes and connections (``common.limits``), and authentication
before the body (``exchange``). TLS handshakes run concurrently, outside the accept loop. When file descriptors run out,
the server pauses before the next accept (asyncio's ``ACCEPT_RETRY_DELAY``).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import socket
import threading
from pathlib import Path

import anyio
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pdk_shared.errors import StackError
from pdk_stack.common.http.exchange import UNREAD
from pdk_stack.common.http.guard import Guards
from pdk_stack.common.http.welcome import welcome
from pdk_stack.common.limits import Limits
from pdk_stack.common.polling import poll
from pdk_stack.common.service import LOOPBACK

__all__ = ["Server", "listen"]

BACKLOG = 256
#: Clients of a killed server may hold its port for a moment.
BIND_SECONDS = 3.0
#: Grace period for running responses at a stop; longer than the longest interval between two checks of ``gone``.
STOP_SECONDS = 2.0


class Server:
    """Serves HTTP on one loopback port.

    Args:
        name: Service and listener, for logs.
        port: The port; 0 picks a free one.
        limits: The port's limits.
        certificate: PEM file of the TLS certificate; None means plain HTTP.
        key: PEM file of the certificate's key.

    Attributes:
        port: The actual port.
        closing: Whether the server is stopping; long-running responses check it.

    Raises:
        StackError: The port is in use.
    """

    def __init__(
        self, name: str, port: int, limits: Limits, certificate: Path | None = None, key: Path | None = None
    ) -> None:
        self.name = name
        self.limits = limits
        self._tls = (certificate, key)
        self._socket = listen(name, port)
        self.port = int(self._socket.getsockname()[1])
        self._closing = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def closing(self) -> bool:
        """Whether the server is stopping."""
        return self._closing.is_set()

    def start(self, app: ASGIApp) -> None:
        """Start serving; the socket has queued connections since the port was bound."""
        guards = Guards(self.limits, HttpToolsProtocol)
        certificate, key = self._tls
        config = uvicorn.Config(
            self._called(app, guards),
            interface="asgi3",
            http=guards,  # type: ignore[arg-type]
            ws="none",
            lifespan="off",
            loop="asyncio",
            proxy_headers=False,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=self.limits.connections,
            timeout_keep_alive=self.limits.keep_alive_seconds,
            ssl_certfile=str(certificate) if certificate else None,
            ssl_keyfile=str(key) if key else None,
        )
        self._server = _Uvicorn(config)
        self._thread = threading.Thread(target=self._run, args=(self._server,), name=self.name, daemon=True)
        self._thread.start()

    def _run(self, server: uvicorn.Server) -> None:
        # Always asyncio's own loop, whatever the process's policy is: libraries install uvloop's, whose transports are
        # of another kind than those that the guard knows.
        loop = asyncio.SelectorEventLoop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(server.serve(sockets=[self._socket]))
        finally:
            # As asyncio.run ends: what still runs is canceled, and nothing stays open.
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            loop.close()

    def _called(self, app: ASGIApp, guards: Guards) -> ASGIApp:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            limiter = anyio.to_thread.current_default_thread_limiter()
            if limiter.total_tokens != self.limits.threads:
                limiter.total_tokens = self.limits.threads
            guards.call_began(scope["client"])
            scope.setdefault("extensions", {})[UNREAD] = functools.partial(guards.call_unread, scope["client"])
            try:
                page = welcome(self.name, scope)
                await (page or app)(scope, receive, send)
            except (ConnectionError, asyncio.CancelledError):
                raise
            except Exception:
                if self.closing():  # a response that is cut off
                    raise
                # uvicorn breaks the connection; log the cause once, here.
                logging.getLogger(f"pdk_stack.{self.name}").exception("%s %s", scope["method"], scope["path"])
                raise
            finally:
                guards.call_ended(scope["client"])

        return application

    def stop(self) -> None:
        """Stop serving; endless responses are cut off."""
        self._closing.set()
        if self._server is None or self._thread is None:
            self._socket.close()
            return
        # uvicorn logs each response that is cut off here as an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._server.force_exit = True
        self._thread.join(STOP_SECONDS)


class _Uvicorn(uvicorn.Server):
    """uvicorn, which stops while connections are open: since Python 3.12, ``wait_closed`` waits for them to end, and
    uvicorn 0.21 tells them to end only afterwards. Before, ``wait_closed`` waited for nothing."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, and then do what uvicorn does, without waiting for the listeners."""
        for server in self.servers:
            server.close()
        self.servers = []
        await super().shutdown(sockets)


def listen(name: str, port: int) -> socket.socket:
    """Open a listening socket on loopback.

    Args:
        name: Service and listener, for the error message.
        port: The port; 0 picks a free one.

    Raises:
        StackError: The port is in use.
    """

    failure: list[OSError] = []

    def bind() -> socket.socket | None:
        # Name the protocol: only then does asyncio disable Nagle's algorithm. Otherwise a response's body waits 40 ms
        # for the acknowledgment of its head.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # Allow a restart on the same port while old connections are closing.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((LOOPBACK, port))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            failure.append(error)
            return None
        return listening

    found = poll(bind, BIND_SECONDS if port else 0, 0.1)
    if found is not None:
        return found
    raise StackError(
        f"Port {port} of {name} cannot be used: {failure[-1]}",
        where=f"{LOOPBACK}:{port}",
        fix=f"Leave --{name.rsplit('.', 1)[-1]}-port out to use a free port, or stop the other program.",
    )
