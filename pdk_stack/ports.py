"""Chooses a stack's ports: requested, previous, or free ones."""

from __future__ import annotations

import contextlib
import json
import socket

from pdk_shared.errors import StackError
from pdk_stack.common.service import LOOPBACK, free_port, write_private
from pdk_stack.paths import StatePaths
from pdk_stack.services import LISTENERS

__all__ = ["choose_ports"]


def choose_ports(paths: StatePaths, wanted: dict[str, int]) -> dict[str, int]:
    """Choose a port for every listener: the requested one, the previous one if it is free, or any free one.

    Args:
        paths: The state folder's files, where the choice is stored.
        wanted: Requested ports by ``<service>.<listener>``.

    Returns:
        Ports by ``<service>.<listener>`` for all listeners.

    Raises:
        StackError: A requested port is taken, or its listener is unknown.
    """
    for name, port in wanted.items():
        if name not in LISTENERS:
            listed = ", ".join(LISTENERS)
            raise StackError(f"There is no listener '{name}'.", where="--port", fix=f"Use one of: {listed}")
        if not _is_free(port):
            raise StackError(
                f"Port {port} for {name} is in use by another program.",
                where=f"{LOOPBACK}:{port}",
                fix="Leave --port out to use a free one, or stop the other program.",
            )
    last: dict[str, int] = {}
    with contextlib.suppress(OSError, ValueError):
        last = json.loads(paths.options.read_text())["ports"]
    chosen: dict[str, int] = {}
    for name in LISTENERS:
        if name in wanted:
            chosen[name] = wanted[name]
        elif last.get(name) and _is_free(last[name]):
            chosen[name] = last[name]
        else:
            while (port := free_port()) in chosen.values():
                pass
            chosen[name] = port
    write_private(paths.options, json.dumps({"ports": chosen}, indent=1))
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As for servers, a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
