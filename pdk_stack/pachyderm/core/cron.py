"""Schedules of cron inputs and triggers: ``@every 5m``, ``@daily`` and the five fields of crontab."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

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
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {name: n for n, name in enumerate(_MONTHS, 1)},
    {name: n for n, name in enumerate(_WEEKDAYS)},
)
HORIZON_MINUTES = 366 * 24 * 60 * 5


def parse_duration(text: str) -> float:
    """A Go duration such as ``1h30m`` in seconds.

    Raises:
        Fault: It cannot be read.
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


class Schedule:
    """When something is due."""

    def __init__(self, every: float = 0.0, fields: tuple[frozenset[int], ...] = (), days_or: bool = False) -> None:
        self.every = every
        self._fields = fields
        self._days_or = days_or

    def after(self, moment: datetime) -> datetime:
        """The first time that is due after a moment (UTC).

        Raises:
            Fault: The schedule is never due.
        """
        if self.every:
            return moment + timedelta(seconds=self.every)
        candidate = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        minutes, hours, days, months, weekdays = self._fields
        for _ in range(HORIZON_MINUTES):
            if candidate.month not in months:
                first = candidate.replace(day=1, hour=0, minute=0)
                candidate = (first + timedelta(days=32)).replace(day=1)
                continue
            weekday = (candidate.weekday() + 1) % 7
            in_days, in_week = candidate.day in days, weekday in weekdays
            fits = (in_days or in_week) if self._days_or else (in_days and in_week)
            if not fits:
                candidate = candidate.replace(hour=0, minute=0) + timedelta(days=1)
                continue
            if candidate.hour not in hours:
                candidate = candidate.replace(minute=0) + timedelta(hours=1)
                continue
            if candidate.minute in minutes:
                return candidate
            candidate += timedelta(minutes=1)
        raise Fault("cron spec is never due")


def parse_cron(spec: str) -> Schedule:
    """A schedule.

    Raises:
        Fault: It cannot be read.
    """
    text = spec.strip()
    if text.startswith("@every "):
        return Schedule(every=parse_duration(text[len("@every ") :].strip()))
    fields = _NAMED.get(text, text).split()
    if len(fields) != len(_RANGES):
        raise Fault(f'error parsing cron-spec: expected exactly 5 fields, found {len(fields)}: "{spec}"')
    parsed = tuple(
        _field(field, low, high, names, spec) for field, (low, high), names in zip(fields, _RANGES, _NAMES, strict=True)
    )
    weekdays = frozenset(day % 7 for day in parsed[4])
    both = not fields[2].startswith("*") and not fields[4].startswith("*")
    return Schedule(fields=(*parsed[:4], weekdays), days_or=both)


def _field(text: str, low: int, high: int, names: dict[str, int], spec: str) -> frozenset[int]:
    def number(part: str) -> int:
        value = names.get(part.lower())
        if value is None:
            if not part.isdigit():
                raise Fault(f'error parsing cron-spec: failed to parse {part!r} in "{spec}"')
            value = int(part)
        if not low <= value <= high:
            raise Fault(f'error parsing cron-spec: {part} is out of range {low}-{high} in "{spec}"')
        return value

    found: set[int] = set()
    for part in text.split(","):
        body, _, step_text = part.partition("/")
        if step_text and (not step_text.isdigit() or int(step_text) == 0):
            raise Fault(f'error parsing cron-spec: bad step {step_text!r} in "{spec}"')
        step = int(step_text) if step_text else 1
        if body in ("*", "?"):
            start, end = low, high
        elif "-" in body:
            first, _, last = body.partition("-")
            start, end = number(first), number(last)
        else:
            start = number(body)
            end = high if step_text else start
        found.update(range(start, end + 1, step))
    return frozenset(found)


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(timezone.utc)
