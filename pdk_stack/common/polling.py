"""Waiting for something that nobody announces: one deadline, one loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Deadline", "poll"]

T = TypeVar("T")


class Deadline:
    """A moment on the monotonic clock.

    Args:
        seconds: From now; None never comes.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until then, never negative; infinite when it never comes."""
        return float("inf") if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether it has come."""
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
    """Call a probe until it returns something true.

    Args:
        probe: Looks once; at least once it is called.
        timeout: Seconds to go on; None is no limit.
        interval: Seconds between two looks.
        stop: Ends the wait early: an event, which ends the pause too, or a function.
        growth: Each pause is so many times as long as the one before.
        longest: Seconds of the longest pause.

    Returns:
        What the probe returned, or None when the time is over or ``stop`` said so.
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
