"""Times as the master writes them: RFC 3339 in UTC with microseconds and a trailing Z."""

from __future__ import annotations

from datetime import datetime, timezone


def now() -> str:
    """The current time."""
    return _text(datetime.now(timezone.utc))


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
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
