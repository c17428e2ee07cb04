"""Pairs of a name and a value, as people write them: repeated flags, and lists in one text."""

from __future__ import annotations

from pdk_shared.errors import UsageError

__all__ = ["pairs_of", "parse_pairs"]


def pairs_of(values: list[str], flag: str) -> dict[str, str]:
    """Split ``NAME=VALUE`` arguments.

    Raises:
        UsageError: One of them is something else.
    """
    pairs = {}
    for each in values:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"'{each}' is not NAME=VALUE.", where=flag)
        pairs[name.strip()] = value
    return pairs


def parse_pairs(text: str, flag: str) -> dict[str, str]:
    """``key=value,key=value`` as a dict; values may hold ``=``.

    Raises:
        UsageError: A part has no key or no value.
    """
    pairs = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, sign, value = part.partition("=")
        if not (key.strip() and sign and value.strip()):
            raise UsageError(f"'{part}' is not key=value.", where=flag, fix=f"{flag} cpu=2,memory=8Gi")
        pairs[key.strip()] = value.strip()
    return pairs
