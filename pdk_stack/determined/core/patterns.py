"""Patterns of SQL's ``like``."""

from __future__ import annotations

import functools
import re

__all__ = ["like"]

KNOWN = 256


@functools.lru_cache(KNOWN)
def _expression(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    parts = re.findall(r"%+|\\.|.", pattern, re.DOTALL)
    signs = {"%": ".*", "_": "."}
    text = "".join(signs.get(part[0] if len(set(part)) == 1 else part) or re.escape(part[-1]) for part in parts)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def like(text: str, pattern: str, *, ignore_case: bool = True) -> bool:
    """Return whether a text matches a pattern: ``%`` is any text, ``_`` any character, and ``\\`` quotes."""
    return _expression(pattern, ignore_case).fullmatch(text) is not None
