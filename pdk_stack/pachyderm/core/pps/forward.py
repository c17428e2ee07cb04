"""A service's external port: connections to it go on to the port at which the code listens."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

from pdk_stack.pachyderm.errors import Fault

CHUNK = 1 << 16
CONNECT_S = 5.0
POLL_S = 0.2


class _Relay(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        """Copy bytes both ways until one side ends."""
        client: socket.socket = self.request
        try:
            code = socket.create_connection((self.server.host, self.server.target), timeout=CONNECT_S)
        except OSError:
            return  # the code does not listen yet: as on a cluster, the connection is closed
        with code:
            code.settimeout(None)
            back = threading.Thread(target=_copy, args=(code, client), daemon=True)
            back.start()
            _copy(client, code)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, host: str, port: int, target: int) -> None:
        self.host, self.target = host, target
        super().__init__((host, port), _Relay)


@contextlib.contextmanager
def forward(host: str, port: int, target: int) -> Iterator[None]:
    """Forwards connections for the length of the block; nothing to do where both ports are the same.

    Args:
        host: A loopback address.
        port: Where to listen.
        target: Where the connections go.

    Raises:
        Fault: The port is taken.
    """
    if not port or not target or port == target:
        yield
        return
    try:
        listener = _Listener(host, port, target)
    except OSError as error:
        raise Fault(f"the service's external port {port} cannot be opened: {error.strerror}") from error
    thread = threading.Thread(target=listener.serve_forever, args=(POLL_S,), name=f"forward-{port}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
