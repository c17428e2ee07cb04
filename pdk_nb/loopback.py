"""Ports of the loopback address, for pages that only this machine may open."""

from __future__ import annotations

import socket

from pdk_shared.errors import UsageError

__all__ = ["LOOPBACK", "bound"]

LOOPBACK = "127.0.0.1"


def bound(port: int) -> socket.socket:
    """A socket with a port of the loopback address; ``getsockname()[1]`` tells which. The caller closes it.

    Args:
        port: The requested port; 0 for any.

    Raises:
        UsageError: The port is in use or invalid.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise UsageError(
            f"Can't use port {port}: {error}.", where="--port", fix="Use another port, or omit it."
        ) from error
    return found
