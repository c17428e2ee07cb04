"""Serve the console: on the loopback address until Ctrl-C or SIGTERM, beside a notebook, in JupyterLab, or in a pod."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb.loopback import LOOPBACK, bound
from pdk_shared.errors import PdkError, UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["serve", "serve_socket", "start", "token_of"]

#: The shortest token that nobody guesses, in characters.
SHORTEST_TOKEN = 20
#: Seconds between two looks at the process that started this one.
PARENT_S = 1.0


def serve(
    session: Session,
    *,
    port: int = 0,
    changes: bool = False,
    address: str = LOOPBACK,
    token: str = "",
    announce: Callable[[str], None] = print,
) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        session: The session.
        port: The port; 0 for any.
        changes: Whether people may change anything.
        address: Where to listen. Others than the loopback address are for pods: people reach a pod's port through
            ``kubectl port-forward``, and so at the address ``127.0.0.1`` of their own machine, which is the only one
            that the page answers to.
        token: What visitors need; a new one when empty.
        announce: Called with the address, including the token.

    Raises:
        UsageError: The port can't be used, or the address is for pods only.
        PdkError: A library is missing.
    """
    if address != LOOPBACK and not os.environ.get("KUBERNETES_SERVICE_HOST"):
        raise UsageError(
            f"The console listens on {address} only in a pod.",
            where="--listen",
            fix="Omit it. The page speaks plain HTTP, which is for this machine and for tunnels. To reach it from "
            "another machine, use a tunnel: ssh -L 8080:127.0.0.1:PORT <this machine>",
        )
    token = token or secrets.token_urlsafe(32)
    server = _server(session, changes, token)
    with bound(port, address) as listener:
        announce(_open(listener, token))
        server.run(sockets=[listener])


def serve_socket(session: Session, path: str | Path, *, changes: bool = False) -> None:
    """Serve on a Unix socket, for a proxy of this user that has checked its visitors, until SIGTERM or its end.

    Args:
        session: The session.
        path: The socket, in a folder that only this user can open; nobody needs a token.
        changes: Whether people may change anything.

    Raises:
        UsageError: The socket can't be made.
        PdkError: A library is missing.
    """
    server = _server(session, changes, None)
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(str(path))
            os.chmod(path, 0o600)
        except OSError as error:
            raise UsageError(f"The socket can't be made: {error}.", where=f"--socket {path}") from error
        listener.listen()
        end_with_parent()
        server.run(sockets=[listener])


def end_with_parent() -> None:
    """End this process as SIGTERM does, soon after the one that started it has ended.

    Jupyter's own shutdown from its menu leaves the processes of jupyter-server-proxy running.
    """
    parent, waiting = os.getppid(), threading.Event()

    def watch() -> None:
        while os.getppid() == parent:
            waiting.wait(PARENT_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def token_of(file: str | Path) -> str:
    """The token in a file.

    Args:
        file: The file, such as one of a mounted Secret.

    Raises:
        UsageError: There is none, or it's too short.
    """
    try:
        token = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The file with the token can't be read: {error}.", where="--token-file") from error
    if len(token) < SHORTEST_TOKEN or not all("!" <= character <= "~" for character in token):
        raise UsageError(
            f"A token has at least {SHORTEST_TOKEN} printable characters without spaces.",
            where=f"--token-file {file}",
            fix="openssl rand -hex 32  makes one.",
        )
    return token


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
    token = secrets.token_urlsafe(32)
    server = _server(session, changes, token)
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


def _server(session: Session, changes: bool, token: str | None) -> Any:
    """The server; without a token, that for a proxy."""
    try:
        import uvicorn

        from pdk_nb.console.web import Pages, application
    except ImportError as error:
        raise PdkError(f"The console needs a library: {error}.", fix="pip install -c constraints.txt -e .") from error
    pages = Pages(session, changes)

    class Server(uvicorn.Server):
        """Ends the pages' streams first: uvicorn waits for open connections."""

        def handle_exit(self, sig: int, frame: Any) -> None:
            pages.close()
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Since Python 3.12, closed listeners wait for a browser's open connection, which uvicorn ends only later.
            for server in self.servers:
                server.close()
            self.servers = []
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(application(pages, token), log_level="error", access_log=False, lifespan="off", ws="none")
    )
