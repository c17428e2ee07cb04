"""From a thread that makes a reply piece by piece to the event loop that sends it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable

__all__ = ["Pipe"]

log = logging.getLogger(__name__)

#: Bytes that may wait for a slow reader before the thread has to.
HELD = 1 << 20
#: How often a thread that waits for a slow reader looks whether it left, in seconds.
LOOK_SECONDS = 1.0


class Pipe:
    """Holds what the loop has not sent yet; pieces that come faster than they are sent leave together.

    Args:
        loop: The loop that sends.
        left: Set when the reader has left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, left: threading.Event) -> None:
        self._loop = loop
        self._left = left
        self._room = threading.Condition()
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._wake = asyncio.Event()
        #: Whether the thread failed before it had made everything.
        self.broken = False

    def feed(self, pieces: Iterable[bytes]) -> None:
        """Take all pieces in; the thread's part."""
        try:
            for piece in pieces:
                if piece and not self._put(piece):
                    break
        except Exception:
            log.exception("a reply could not be made to its end")
            self.broken = True
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
            with self._room:
                self._ended = True
            self._ring()

    def _put(self, piece: bytes) -> bool:
        with self._room:
            first = not self._pieces
            self._pieces.append(piece)
            self._size += len(piece)
            if first:
                self._ring()
            while self._size > HELD and not self._left.is_set():
                self._room.wait(LOOK_SECONDS)
        return not self._left.is_set()

    def _ring(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the loop has ended, and with it every reader
            self._left.set()

    async def take(self) -> bytes | None:
        """What waits, at least one piece; None at the end. The loop's part."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._room:
                taken, self._pieces, self._size = b"".join(self._pieces), [], 0
                ended = self._ended
                self._room.notify_all()
            if ended:
                # The end is told when it is asked for again.
                self._wake.set()
            if taken:
                return taken
            if ended:
                return None
