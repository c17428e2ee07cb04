"""The message that an administrator shows to everyone who uses the cluster.

Source: ``master/internal/db/postgres_clustermessage.go`` of Determined 0.38.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from pdk_stack.determined.core.durations import parse_duration
from pdk_stack.determined.errors import invalid
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now, parse, written

__all__ = ["ClusterMessages"]

LONGEST = 250
EPOCH = "1970-01-01T00:00:00Z"


class ClusterMessages:
    """The cluster's one message.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def current(self) -> Document | None:
        """Return the message that has not ended, or None."""
        found = self._store.get("cluster_message", 1)
        ended = found is not None and found["endTime"] is not None and parse(found["endTime"]) <= _moment()
        return None if ended else found

    def shown(self) -> Document | None:
        """Return the message that has begun and not ended, or None."""
        found = self.current()
        return found if found is not None and parse(found["startTime"]) < _moment() else None

    def set(self, text: str, start: str | None, end: str | None, duration: str | None) -> None:
        """Replace the message.

        Args:
            start: When it begins; 1970 when absent.
            end: When it ends; never when absent.
            duration: How long it lasts, instead of its end.

        Raises:
            Refusal: The message is too long, or has ended already.
        """
        if end is not None and duration is not None:
            raise invalid("EndTime and Duration are mutually exclusive")
        begins = parse(start or EPOCH)
        ends = parse(end) if end else None
        if duration is not None:
            length = parse_duration(duration)
            if length is None or length < timedelta():
                raise invalid("Duration must be a Go-formatted duration string with a positive value")
            ends = begins + length
        if len(text) > LONGEST:
            raise invalid(f"invalid input: message must be at most {LONGEST} characters; got {len(text)}")
        if ends is not None and ends < begins:
            raise invalid("invalid input, end time must be after start time")
        if ends is not None and ends < _moment():
            raise invalid("invalid input, end time must be after current time")
        message = {
            "message": text,
            "startTime": written(begins),
            "endTime": written(ends) if ends else None,
            "createdTime": now(),
        }
        self._store.put("cluster_message", 1, message)

    def clear(self) -> None:
        """Take the message away."""
        self._store.delete("cluster_message", 1)


def _moment() -> datetime:
    return datetime.now(timezone.utc)
