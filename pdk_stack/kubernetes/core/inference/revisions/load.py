"""The load of one revision: requests in flight, and the autoscaler's metrics."""

from __future__ import annotations

import threading
import time


class Load:
    """Counts requests.

    Attributes:
        inflight: Number of requests in flight.
        requests: Total number of requests.
        last_used: When the last request ended, in seconds of the monotonic clock.
    """

    def __init__(self) -> None:
        self.inflight = 0
        self.requests = 0
        self.last_used = time.monotonic()
        self._busy_seconds, self._busy_since = 0.0, self.last_used
        self._changed = threading.Condition()

    def _count_busy(self) -> None:
        now = time.monotonic()
        self._busy_seconds += self.inflight * (now - self._busy_since)
        self._busy_since = now

    def enter(self) -> None:
        """Count a request as started."""
        with self._changed:
            self._count_busy()
            self.inflight += 1
            self.requests += 1

    def leave(self) -> None:
        """Count a request as ended."""
        with self._changed:
            self._count_busy()
            self.inflight -= 1
            self.last_used = self._busy_since
            self._changed.notify_all()

    def total(self, metric: str) -> float:
        """Return the cumulative metric: request seconds (``concurrency``) or requests (``rps``)."""
        with self._changed:
            self._count_busy()
            return self._busy_seconds if metric == "concurrency" else float(self.requests)

    def wait_idle(self, seconds: float) -> None:
        """Wait until no request is in flight or the timeout expires."""
        with self._changed:
            self._changed.wait_for(lambda: not self.inflight, seconds)
