"""Names with values on the command line: one flag for each value, or several values in one text."""

from __future__ import annotations

from pdk_shared.errors import UsageError

__all__ = ["assignments", "key_values"]


def assignments(values: list[str], flag: str) -> dict[str, str]:
    """Values by name, from a flag that occurs once for each value.

    Args:
        values: Each ``NAME=VALUE``.
        flag: The flag, for the error.

    Raises:
        UsageError: One of them has another form.
    """
    found = {}
    for each in values:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise UsageError(f"'{each}' isn't NAME=VALUE.", where=flag)
        found[name.strip()] = value
    return found


def key_values(text: str, flag: str) -> dict[str, str]:
    """Values by key, from a flag with several values in one text.

    Args:
        text: ``key=value,key=value``; values may contain ``=``.
        flag: The flag, for the error.

    Raises:
        UsageError: A part has no key or no value.
    """
    found = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, sign, value = part.partition("=")
        if not (key.strip() and sign and value.strip()):
            raise UsageError(f"'{part}' isn't key=value.", where=flag, fix=f"{flag} cpu=2,memory=8Gi")
        found[key.strip()] = value.strip()
    return found
