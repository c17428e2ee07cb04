"""Quantities, such as ``500m`` and ``2Gi``.

Source: ``k8s.io/apimachinery/pkg/api/resource``.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

PATTERN = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)")
# The pattern alone takes texts that have no number, such as "1.2.3" or "1X".
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    **{name: Decimal(10 ** (3 * power)) for power, name in enumerate(("M", "G", "T", "P", "E"), start=2)},
    **{name: Decimal(2 ** (10 * power)) for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
}
MALFORMED = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def amount(value: Any) -> Decimal:
    """Return a quantity as an exact number.

    Args:
        value: A text, or a number as JSON allows.

    Raises:
        ValueError: It is no quantity.
    """
    text = str(value)
    found = None if isinstance(value, bool) else PATTERN.fullmatch(text)
    if found is None or not NUMBER.fullmatch(found[1]):
        raise ValueError(MALFORMED)
    number, suffix = Decimal(found[1]), found[2]
    if suffix in SUFFIXES:
        return number * SUFFIXES[suffix]
    exponent = re.fullmatch(r"[eE]([-+]?[0-9]{1,4})", suffix)
    if exponent is None:
        raise ValueError("unable to parse quantity's suffix")
    return number.scaleb(int(exponent[1]))
