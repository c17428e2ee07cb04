"""Times as the master writes them: RFC 3339 in UTC with microseconds and a trailing Z."""

from __future__ import annotations

from datetime import datetime, timezone

__all__ = ["normalized", "now", "parse", "written"]


def now() -> str:
    """The current time."""
    return written(datetime.now(timezone.utc))


def written(moment: datetime) -> str:
    """A time with a time zone, in the master's form."""
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse(text: str) -> datetime:
    """Read a time that this master or a client wrote; one without a time zone is in UTC.

    Raises:
        ValueError: It is none.
    """
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def normalized(text: str | None) -> str:
    """A client's time in the master's form; the current time when it is missing or unreadable."""
    try:
        return written(parse(text)) if text else now()
    except ValueError:
        return now()
