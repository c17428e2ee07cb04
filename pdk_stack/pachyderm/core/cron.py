"""Schedules of cron inputs and triggers: ``@every 5m``, ``@daily``, and the five fields of crontab."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cronsim import CronSim, CronSimError

from pdk_stack.pachyderm.errors import Fault

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Syntax that cronsim accepts but Pachyderm's parser (robfig/cron) refuses: ``L``, ``LW``, and ``#``.
_BEYOND_STANDARD = re.compile(r"#|(?<![A-Za-z])L", re.IGNORECASE)
FIELDS = 5
#: When what is never due is due (``cronutil.Year9999``).
NEVER = datetime(9999, 1, 1, tzinfo=timezone.utc)


def parse_duration(text: str) -> float:
    """Parse a Go duration such as ``1h30m``; return seconds.

    Raises:
        Fault: The duration is invalid.
    """
    position, total = 0, 0.0
    while position < len(text):
        matched = _DURATION.match(text, position)
        if matched is None:
            raise Fault(f'time: invalid duration "{text}"')
        total += float(matched[1]) * _UNITS[matched[2]]
        position = matched.end()
    if not text:
        raise Fault('time: invalid duration ""')
    return total


@dataclass(frozen=True)
class Schedule:
    """A schedule.

    Attributes:
        every: Interval in seconds; 0 if ``fields`` define the schedule.
        fields: Minute, hour, day, month, and weekday, as in a crontab; empty with no interval: never.
    """

    every: float = 0.0
    fields: str = ""

    def after(self, moment: datetime) -> datetime:
        """Return the first due time after a moment (UTC); ``NEVER`` if there is none."""
        if self.every:
            return moment + timedelta(seconds=min(self.every, (NEVER - moment).total_seconds()))
        return next(CronSim(self.fields, moment), NEVER) if self.fields else NEVER


def parse_cron(spec: str) -> Schedule:
    """Parse a schedule.

    Raises:
        Fault: The schedule is invalid.
    """
    text = spec.strip()
    if text == "@never":
        return Schedule()
    if text.startswith("@every "):
        return Schedule(every=parse_duration(text[len("@every ") :].strip()))
    fields = _NAMED.get(text, text).replace("?", "*")
    found = len(fields.split())
    if found != FIELDS:
        raise Fault(f"Expected exactly {FIELDS} fields, found {found}: {spec}")
    if _BEYOND_STANDARD.search(fields):
        raise Fault(f'not a standard field in "{spec}"')
    try:
        CronSim(fields, utc_now())
    except CronSimError as error:
        raise Fault(f'{error} in "{spec}"') from error
    return Schedule(fields=fields)


def utc_now() -> datetime:
    """Return the current time, with its time zone."""
    return datetime.now(timezone.utc)
