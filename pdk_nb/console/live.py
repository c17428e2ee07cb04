"""One poller for all open pages: it runs only while a page is open, and limits its own cost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# Seconds between two readings, and the share of a core that the console's own readings may cost.
INTERVAL = 0.6
SHARE = 0.1
# A slow platform gets a pause as long as its last answer took: an open page keeps it busy half the time at most.
PAUSE = 1.0


class Live:
    """The newest reading and its number.

    Args:
        read: Reads what pages show; it says in what it returns what can't be read, and never raises.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._pages = 0
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.closed = False
        self.number = 0
        self.text = ""

    @property
    def current(self) -> bool:
        """Whether the newest reading is of now: a page is open, and there was time for a reading."""
        return self._thread is not None and bool(self.text)

    @property
    def unused(self) -> bool:
        """Whether no page is open."""
        return self._pages <= 0

    def enter(self) -> None:
        """A page opens."""
        with self._lock:
            self._pages += 1
            if self._thread is None and not self.closed:
                self._thread = threading.Thread(target=self._poll, name="console-poller", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """A page closes."""
        with self._lock:
            self._pages -= 1

    def close(self) -> None:
        """End all pages' streams and the poller."""
        self.closed = True
        self._wake.set()

    def _poll(self) -> None:
        while True:
            with self._lock:
                if self.closed or self._pages <= 0:
                    # The next page doesn't begin with what was true when the last one closed.
                    self._thread, self.text = None, ""
                    return
            began, moment = time.thread_time(), time.monotonic()
            text = self._read()
            cost, took = time.thread_time() - began, time.monotonic() - moment
            if text != self.text:
                self.text, self.number = text, self.number + 1
            self._wake.wait(max(INTERVAL, cost / SHARE, took * PAUSE))
