"""Times as the master writes them: RFC 3339 in UTC with microseconds and a trailing Z."""

from __future__ import annotations

import functools
import time
from datetime import datetime, timezone


def now() -> str:
    """The current time."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}.{nanoseconds // 1000:06d}Z"


@functools.lru_cache(maxsize=2)
def _second(since_1970: int) -> str:
    """A whole second; what comes in thousands of times a second shares it."""
    return datetime.fromtimestamp(since_1970, timezone.utc).replace(tzinfo=None).isoformat()


def parse(text: str) -> datetime:
    """Read a time that this master or a client wrote."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def normalised(text: str | None) -> str:
    """A client's time in the master's form; the current time when it is missing or unreadable."""
    if not text:
        return now()
    try:
        moment = parse(text)
    except ValueError:
        return now()
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return _text(moment.astimezone(timezone.utc))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
