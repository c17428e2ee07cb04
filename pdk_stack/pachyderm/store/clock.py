"""The time format of the database."""

from __future__ import annotations

import time

NANOSECONDS = 1_000_000_000


def now_ns() -> int:
    """Return the time in nanoseconds since the epoch, never a whole second (clients test the fraction)."""
    moment = time.time_ns()
    return moment if moment % NANOSECONDS else moment + 1
