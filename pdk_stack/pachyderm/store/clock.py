"""The time as the database keeps it."""

from __future__ import annotations

import time

NANOSECONDS = 1_000_000_000


def now_ns() -> int:
    """The time in nanoseconds since the epoch, never on a whole second (clients test the fraction)."""
    moment = time.time_ns()
    return moment if moment % NANOSECONDS else moment + 1
