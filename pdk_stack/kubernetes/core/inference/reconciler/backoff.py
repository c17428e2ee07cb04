"""The pause after an unexpected failure, which doubles each time."""

from __future__ import annotations

from pdk_stack.common.polling import Deadline

__all__ = ["BackOff"]

# Kubernetes' controllers begin with milliseconds and end with 1,000 s (client-go's ``util/workqueue``); here, each
# failure writes a log entry and a status, and somebody waits for the next try.
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 300.0


class BackOff:
    """Counts the failures of one task and says when it is due again."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS
        self._pause = Deadline(0)

    def failed(self) -> float:
        """Record a failure; return the seconds until the next try."""
        seconds, self._next = self._next, min(2 * self._next, LONGEST_SECONDS)
        self._pause = Deadline(seconds)
        return seconds

    def succeeded(self) -> None:
        """Record a success: the next failure starts with the shortest pause."""
        self._next = FIRST_SECONDS

    @property
    def left(self) -> float:
        """Seconds until the next try."""
        return self._pause.left
