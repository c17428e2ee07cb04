"""Polling with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Deadline", "poll"]

T = TypeVar("T")


class Deadline:
    """A point in time on the monotonic clock.

    Args:
        seconds: Seconds from now; None means never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left, never negative; infinite if there is no deadline."""
        return float("inf") if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return self.left == 0.0


def poll(
    probe: Callable[[], T],
    timeout: float | None,
    interval: float = 0.05,
    stop: threading.Event | Callable[[], bool] | None = None,
    *,
    growth: float = 1.0,
    longest: float = 60.0,
) -> T | None:
    """Call a probe until it returns a true value.

    Args:
        probe: The check to run; called at least once.
        timeout: Maximum time in seconds; None means no limit.
        interval: Seconds between two calls.
        stop: Ends the wait early: an event, which also interrupts the pause, or a function.
        growth: Factor by which each pause grows.
        longest: Maximum pause, in seconds.

    Returns:
        The probe's result, or None if the time is up or ``stop`` ended the wait.
    """
    deadline = Deadline(timeout)
    event = stop if isinstance(stop, threading.Event) else None
    stopped: Callable[[], bool] = event.is_set if event else stop if callable(stop) else lambda: False
    while True:
        found = probe()
        if found:
            return found
        if deadline.over or stopped():
            return None
        pause = min(interval, deadline.left)
        if event:
            event.wait(pause)
        else:
            time.sleep(pause)
        interval = min(interval * growth, longest)
