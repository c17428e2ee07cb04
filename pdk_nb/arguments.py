"""Names with values on the command line: one flag for each value, or several in one text; resources."""

from __future__ import annotations

from collections.abc import Mapping

from pdk_shared.errors import UsageError

__all__ = ["assignments", "check_limits", "key_values"]


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


def check_limits(requests: Mapping[str, str], limits: Mapping[str, str]) -> None:
    """Refuse what Kubernetes refuses later, in an event that nobody sees: a request above its limit.

    Args:
        requests: Quantities by resource, e.g. ``{"cpu": "500m"}``.
        limits: Their limits.

    Raises:
        UsageError: A text isn't a quantity, or a request exceeds its limit.
    """
    from kubernetes.utils import parse_quantity

    amounts = {}
    for kind, given in (("request", requests), ("limit", limits)):
        for resource, text in given.items():
            try:
                amounts[kind, resource] = parse_quantity(text)
            except ValueError as error:
                raise UsageError(
                    f"'{text}' isn't a quantity of {resource}.", fix="Write it as Kubernetes does: 500m, 2, 4Gi."
                ) from error
    for resource in requests:
        if resource in limits and amounts["request", resource] > amounts["limit", resource]:
            raise UsageError(
                f"The request {resource}={requests[resource]} exceeds the limit {resource}={limits[resource]}.",
                fix=f"Give a limit of at least {requests[resource]}, too: {resource}={requests[resource]}.",
            )
