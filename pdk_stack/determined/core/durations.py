"""Durations as Go writes them."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["parse_duration"]

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(h|ms|m|s|us|µs|ns)", re.ASCII)


def parse_duration(text: str) -> timedelta | None:
    """Parse a duration, for example ``1h30m``; None when it is none or longer than Python can say."""
    sign, body = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if body == "0":
        return timedelta()
    parts = _PART.findall(body)
    if not parts or "".join(number + unit for number, unit in parts) != body:
        return None
    try:
        return timedelta(seconds=sign * sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        return None
