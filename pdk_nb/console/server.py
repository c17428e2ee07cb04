"""Serve the console on the loopback address until Ctrl-C or SIGTERM."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pdk_nb.loopback import LOOPBACK, bound
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session


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

    with bound(port) as listener:
        # From now on, whoever opens the address waits instead of being refused.
        listener.listen()
        announce(f"http://{LOOPBACK}:{listener.getsockname()[1]}/?token={token}")
        config = uvicorn.Config(application(pages, token), log_level="error", access_log=False, lifespan="off")
        Server(config).run(sockets=[listener])
