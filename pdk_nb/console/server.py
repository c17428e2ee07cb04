"""Serve the console on the loopback address: until Ctrl-C or SIGTERM, or beside a notebook."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pdk_nb.loopback import LOOPBACK, bound
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["serve", "start"]


def serve(session: Session, *, port: int = 0, changes: bool = False, announce: Callable[[str], None] = print) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        session: The session.
        port: The port; 0 for any.
        changes: Whether people may change anything.
        announce: Called with the address, including the token.

    Raises:
        UsageError: The port can't be used.
        PdkError: A library is missing.
    """
    server, token = _server(session, changes)
    with bound(port) as listener:
        announce(_open(listener, token))
        server.run(sockets=[listener])


def start(session: Session, changes: bool = False) -> str:
    """Serve in the background, until this process ends.

    Args:
        session: The session.
        changes: Whether people may change anything.

    Returns:
        The address, including the token.

    Raises:
        PdkError: A library is missing.
    """
    server, token = _server(session, changes)
    listening = threading.Event()
    address = ""

    def run() -> None:
        nonlocal address
        with bound(0) as listener:
            address = _open(listener, token)
            listening.set()
            server.run(sockets=[listener])

    threading.Thread(target=run, name="console", daemon=True).start()
    listening.wait()
    return address


def _open(listener: socket.socket, token: str) -> str:
    # From now on, whoever opens the address waits instead of being refused.
    listener.listen()
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}/?token={token}"


def _server(session: Session, changes: bool) -> tuple[Any, str]:
    """The server, and the token that a visitor needs."""
    try:
        import uvicorn

        from pdk_nb.console.web import Pages, application
    except ImportError as error:
        raise PdkError(
            f"The console needs a library: {error}.", fix="pip install -c constraints.txt -e '.[lab]'"
        ) from error
    pages, token = Pages(session, changes), secrets.token_urlsafe(32)

    class Server(uvicorn.Server):
        """Ends the pages' streams first: uvicorn waits for open connections."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            pages.close()
            super().handle_exit(sig, frame)

    return Server(
        uvicorn.Config(application(pages, token), log_level="error", access_log=False, lifespan="off", ws="none")
    ), token
