"""The master's HTTP listener on loopback."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from cheroot import server, wsgi
from cheroot.makefile import StreamWriter

from pdk_nb.errors import StackError
from pdk_nb.local.service import LOOPBACK, free_port

__all__ = ["bind"]

# Every trial and every reader of a log holds a thread for as long as it waits.
THREADS = 96
BIND_SECONDS = 3.0
#: How long a connection's thread waits for the next request.
LINGER_SECONDS = 0.002


class Gateway(wsgi.Gateway_10):
    """Also tells the application which connection a request came by, to notice a reader that left."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """The WSGI environment."""
        environ: dict[str, Any] = super().get_environ()
        environ["pdk.connection"] = self.req.conn.socket
        return environ

    def write(self, chunk: bytes) -> None:
        """Send a piece of the reply; the first one leaves together with the headers."""
        sink = self.req.conn.wfile
        sink.held = True
        try:
            super().write(chunk)
        finally:
            sink.held = False
            sink.flush()


class Writer(StreamWriter):
    """Sends what is written at once, unless it is held back for what comes next."""

    held = False

    def _flush_unlocked(self) -> None:
        if not self.held:
            super()._flush_unlocked()  # type: ignore[misc]


class Reader:
    """Reads a connection through a plain buffer.

    cheroot reads with the variant of ``io`` that is written in Python; that took a quarter of a small request's time.

    Args:
        connection: The socket, with its time-out set.
    """

    RECEIVE = 1 << 16

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""
        self.bytes_read = 0

    def _receive(self) -> bool:
        piece = self._connection.recv(self.RECEIVE)
        self._buffer += piece
        self.bytes_read += len(piece)
        return bool(piece)

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def readline(self, size: int | None = None) -> bytes:
        """The next line with its end, or its first ``size`` bytes; what is left when the client has gone."""
        limit = -1 if size is None else size
        while True:
            end = self._buffer.find(b"\n") + 1
            if 0 <= limit <= len(self._buffer) and not 0 < end <= limit:
                return self._take(limit)
            if end or not self._receive():
                return self._take(end or len(self._buffer))

    def read(self, size: int | None = None) -> bytes:
        """The next ``size`` bytes, or all; fewer when the client has gone."""
        wanted = -1 if size is None else size
        pieces = [self._take(wanted if wanted >= 0 else len(self._buffer))]
        missing = wanted - len(pieces[0])
        while missing and self._receive():
            pieces.append(self._take(missing if missing >= 0 else len(self._buffer)))
            missing = missing - len(pieces[-1]) if missing >= 0 else missing
        return b"".join(pieces)

    def has_data(self) -> bool:
        """Whether something has been received that nobody has read."""
        return bool(self._buffer)

    def close(self) -> None:
        """Nothing of its own is open."""


def _file(connection: socket.socket, mode: str, size: int) -> Reader | Writer:
    return Reader(connection) if "r" in mode else Writer(connection, mode, size)


class Connection(server.HTTPConnection):
    """Stays with its thread while requests follow each other closely, as a trial's reports do.

    cheroot gives a connection back to its dispatcher after every request, and sends headers and content apart; the
    changes of threads cost more than the request itself.
    """

    def __init__(self, owner: server.HTTPServer, connection: socket.socket, *_: Any) -> None:
        super().__init__(owner, connection, _file)

    def communicate(self) -> bool:
        """Answer requests; returns whether the connection stays open."""
        while super().communicate():
            if not self.rfile.has_data() and not select.select([self.socket], [], [], LINGER_SECONDS)[0]:
                return True
        return False


def bind(app: object, port: int) -> wsgi.Server:
    """Listen on loopback.

    Raises:
        StackError: The port is taken.
    """
    # Never 0: the server would not let a later start use the same port while old connections are closing.
    listener = wsgi.Server((LOOPBACK, port or free_port()), app, numthreads=THREADS, request_queue_size=256)
    listener.gateway = Gateway
    listener.ConnectionClass = Connection
    listener.nodelay = True
    listener.keep_alive_conn_limit = 512
    listener.timeout = 120
    listener.max_request_body_size = 0
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        try:
            listener.prepare()
            return listener
        except OSError as error:
            # Clients of a master that was killed may hold its port for a moment.
            if port and time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            raise StackError(
                f"The master's port {port} cannot be used: {error}",
                where=f"{LOOPBACK}:{port}",
                fix="Leave --master-port out to use a free port, or stop the other program.",
            ) from error
