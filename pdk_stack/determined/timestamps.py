"""Times in the master's format: RFC 3339 in UTC with microseconds and a trailing Z."""

from __future__ import annotations

from datetime import datetime, timezone

__all__ = ["normalized", "now", "parse", "seconds_between", "written"]


def now() -> str:
    """Return the current time."""
    return written(datetime.now(timezone.utc))


def written(moment: datetime) -> str:
    """Format a time-zone-aware time in the master's format."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse(text: str) -> datetime:
    """Parse a time that this master or a client wrote; without a time zone, it is UTC.

    Raises:
        ValueError: The text is not a time.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def normalized(text: str | None) -> str:
    """Convert a client's time to the master's format; use the current time when it is missing or invalid."""
    try:
        return written(parse(text)) if text else now()
    except ValueError:
        return now()


def seconds_between(start: str, end: str | None) -> int:
    """Return the whole seconds between two times; None is now."""
    until = parse(end) if end else datetime.now(timezone.utc)
    return max(0, int((until - parse(start)).total_seconds()))
