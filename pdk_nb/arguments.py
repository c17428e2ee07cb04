"""Names with values, as people write them on a command line: one flag for each, or several in one text."""

from __future__ import annotations

from pdk_shared.errors import UsageError

__all__ = ["assignments", "key_values"]


def assignments(values: list[str], flag: str) -> dict[str, str]:
    """Values by name of a flag that is given once for each.

    Args:
        values: Each ``NAME=VALUE``.
        flag: The flag, for the error.

    Raises:
        UsageError: One of them is something else.
    """
    found = {}
    for each in values:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"'{each}' is not NAME=VALUE.", where=flag)
        found[name.strip()] = value
    return found


def key_values(text: str, flag: str) -> dict[str, str]:
    """Values by key of a flag that takes several in one text.

    Args:
        text: ``key=value,key=value``; values may hold ``=``.
        flag: The flag, for the error.

    Raises:
        UsageError: A part has no key or no value.
    """
    found = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, sign, value = part.partition("=")
        if not (key.strip() and sign and value.strip()):
            raise UsageError(f"'{part}' is not key=value.", where=flag, fix=f"{flag} cpu=2,memory=8Gi")
        found[key.strip()] = value.strip()
    return found
