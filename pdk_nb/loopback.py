"""Ports of the loopback address, for pages that only this machine may open; in a pod, also of its own address."""

from __future__ import annotations

import socket

from pdk_shared.errors import UsageError

__all__ = ["LOOPBACK", "bound"]

LOOPBACK = "127.0.0.1"


def bound(port: int, address: str = LOOPBACK) -> socket.socket:
    """A socket with a port of an address; ``getsockname()[1]`` tells which. The caller closes it.

    Args:
        port: The requested port; 0 for any.
        address: The IPv4 address, of this machine only unless somebody has asked for more.

    Raises:
        UsageError: The port is in use or invalid, or the address isn't one of this machine.
    """
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((address, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise UsageError(
            f"Can't use port {port} of {address}: {error}.", where="--port", fix="Use another port, or omit it."
        ) from error
    return found
