"""The users at the other end of local TCP connections, from Linux's tables of sockets (``proc_pid_net(5)``)."""

from __future__ import annotations

import functools
import logging
import os
import socket
from pathlib import Path

from pdk_stack.common.service import LOOPBACK

__all__ = ["is_own_user", "user_of"]

# gRPC's clients reach IPv4 addresses through IPv6 sockets, which have a table of their own.
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
MAPPED = b"\0" * 10 + b"\xff" * 2
# A socket that is being closed no longer has an owner: the tables show root.
ESTABLISHED = "01"

log = logging.getLogger(__name__)


def user_of(near: tuple[str, int], far: tuple[str, int]) -> int | None:
    """Find the user who owns one end of an established connection on this machine.

    Args:
        near: IPv4 address and port of the end in question.
        far: IPv4 address and port of the other end.

    Returns:
        The user's ID; None without such a connection.

    Raises:
        OSError: This machine has no tables of sockets.
    """
    for table, prefix in zip(TABLES, (b"", MAPPED), strict=True):
        if prefix and not table.exists():
            continue  # A kernel without IPv6.
        wanted = [_entry(near, prefix), _entry(far, prefix), ESTABLISHED]
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1:4] == wanted:
                return int(fields[7])
    return None


def is_own_user(peer: tuple[str, int], port: int) -> bool:
    """Whether a client belongs to the user of this process.

    Where the system can't tell, every client does; the log says so.

    Args:
        peer: IPv4 address and port of the client.
        port: The server's port on the loopback address.
    """
    return not _can_tell() or user_of(peer, (LOOPBACK, port)) == os.geteuid()


@functools.cache
def _can_tell() -> bool:
    """Whether the tables show the user of a connection from this process to itself."""
    with socket.create_server((LOOPBACK, 0)) as server, socket.create_connection(server.getsockname()) as client:
        try:
            if user_of(client.getsockname(), server.getsockname()) == os.geteuid():
                return True
        except (OSError, ValueError, IndexError):
            pass
    log.warning("this system doesn't tell which user a connection belongs to; other users' aren't refused")
    return False


def _entry(address: tuple[str, int], prefix: bytes) -> str:
    """Write an address as the tables do: in hexadecimal digits, each four bytes in the machine's byte order."""
    host, port = address
    words = memoryview(prefix + socket.inet_aton(host)).cast("I")
    return f"{''.join(f'{word:08X}' for word in words)}:{port:04X}"
