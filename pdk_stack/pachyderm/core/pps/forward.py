"""A service's external port, forwarded to the port where the code listens."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from pdk_stack.pachyderm.errors import Fault

CHUNK = 1 << 16
CONNECT_S = 5.0
POLL_S = 0.2


def _relay(client: socket.socket, address: tuple[str, int]) -> None:
    """Copy bytes both ways until both sides close."""
    with client:
        try:
            code = socket.create_connection(address, timeout=CONNECT_S)
        except OSError:
            return  # the code doesn't listen yet; close the connection, as on a cluster
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


def _accept(listener: socket.socket, address: tuple[str, int], stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        except OSError:
            stopped.wait(POLL_S)  # out of file descriptors; retry
            continue
        client.settimeout(None)
        threading.Thread(target=_relay, args=(client, address), daemon=True).start()


@contextlib.contextmanager
def forward(host: str, port: int, target: int) -> Iterator[None]:
    """Forward connections for the duration of the block; a no-op if both ports are the same.

    Args:
        host: A loopback address.
        port: The port to listen on.
        target: The port to forward to.

    Raises:
        Fault: The port is in use.
    """
    if not port or not target or port == target:
        yield
        return
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise Fault(f"the service's external port {port} cannot be opened: {error.strerror}") from error
    listener.settimeout(POLL_S)
    stopped = threading.Event()
    thread = threading.Thread(
        target=_accept, args=(listener, (host, target), stopped), name=f"forward-{port}", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        listener.close()
