"""One client's connection: uvicorn's, with a lane of its own for calls that never wait.

Trials report thousands of times a second, and on two cores a report must not cost much more than storing it. Calls
that never wait are answered in the loop itself, and all that arrived in one of its turns together; uvicorn's way, a
task with queues and events, is for those that may wait.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pdk_stack.determined.api.application import Application, Found, Reply, Sent

__all__ = ["Connection", "Lane"]


class Outbox:
    """A connection's transport that sends what one turn of the loop writes in pieces at once.

    uvicorn writes a reply's head and its body apart; sending is the dearest part of a short reply.

    Args:
        transport: The connection's own transport.
        loop: Its loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, piece: bytes) -> None:
        """Send at the end of this turn."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(piece)

    def write_now(self, piece: bytes) -> None:
        """Send, behind what waits."""
        self._waiting.append(piece)
        self._flush()

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            pieces, self._waiting = self._waiting, []
            self._transport.write(b"".join(pieces))


class Lane:
    """Answers the calls that never wait, of all connections.

    Args:
        app: Who answers.
    """

    def __init__(self, app: Application) -> None:
        self.app = app
        self._arrived: list[tuple[Connection, Found, Sent]] = []

    def add(self, connection: Connection, found: Found, sent: Sent) -> None:
        """Answer a call at the end of this turn."""
        if not self._arrived:
            connection.loop.call_soon(self._answer)
        self._arrived.append((connection, found, sent))

    def _answer(self) -> None:
        arrived, self._arrived = self._arrived, []
        replies = self.app.answer_together([(found, sent) for _, found, sent in arrived])
        for (connection, _, _), reply in zip(arrived, replies, strict=True):
            connection.send_whole(reply)


class Connection(HttpToolsProtocol):
    """uvicorn's connection behind an ``Outbox``.

    Args:
        *args: uvicorn's.
        lane: Who answers the calls that never wait.
        **kwargs: uvicorn's.
    """

    def __init__(self, *args: Any, lane: Lane, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane = lane
        #: The call that arrives, if it may be one that never waits, and the pieces of its body.
        self._quick: tuple[Found, Sent] | None = None
        self._pieces: list[bytes] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client connected."""
        self._outbox = Outbox(transport, self.loop)
        super().connection_made(self._outbox)  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        """A request's head has arrived."""
        self._quick = self._quick_call()
        if self._quick is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a request's body has arrived."""
        if self._quick is None:
            super().on_body(body)
        else:
            self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The whole request has arrived."""
        if self._quick is None:
            super().on_message_complete()
            return
        (found, sent), self._quick = self._quick, None
        sent.body, self._pieces = b"".join(self._pieces), []
        if found is not None and found[0].quick is not None and found[0].quick(sent.body):
            self._lane.add(self, found, sent)
            return
        super().on_headers_complete()
        super().on_body(sent.body)
        super().on_message_complete()

    def _quick_call(self) -> tuple[Found, Sent] | None:
        waiting = self.cycle is not None and not self.cycle.response_complete
        # Replies leave in the order of their requests, and what is special about a connection is uvicorn's to handle.
        if waiting or self.expect_100_continue or self.parser.should_upgrade() or not self.parser.should_keep_alive():
            return None
        path, _, query = self.url.decode("latin-1").partition("?")
        method = self.parser.get_method().decode("ascii")
        found = self._lane.app.find(method, path)
        if found is None or found[0].quick is None:
            return None
        return found, Sent(method, path, query, dict(self.headers), b"", _stays)

    def send_whole(self, reply: Reply) -> None:
        """Send the reply to a call that never waits.

        There is no timer for an idle connection after it: setting one costs half of what storing a report does, and
        whoever reports from this machine closes the connection by ending.
        """
        assert isinstance(reply.body, bytes), "the reply to a call that never waits is whole"
        if self._outbox.is_closing():
            return
        head = [b"%b: %b\r\n" % each for each in (*self.server_state.default_headers, *reply.headers)]
        self._outbox.write_now(b"".join([STATUS_LINE[reply.status], *head, b"\r\n", reply.body]))


def _stays() -> bool:
    """Nobody leaves between a request's last byte and its reply."""
    return False
