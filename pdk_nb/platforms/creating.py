"""Create something shared, or accept what is there: many people start at the same time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pdk_shared.errors import PdkError

__all__ = ["create_or_accept"]

T = TypeVar("T")


def create_or_accept(find: Callable[[], T | None], create: Callable[[], T]) -> tuple[T, bool]:
    """Create something if it is absent. If creating it fails because somebody else was faster, accept theirs.

    Servers report that in different ways (409, 400, or UNKNOWN with a text), so the second look decides.

    Args:
        find: Looks it up; None if it is absent.
        create: Creates it.

    Returns:
        What is there now, and whether this call created it.

    Raises:
        PdkError: It can't be created, and nobody else created it.
    """
    found = find()
    if found is not None:
        return found, False
    try:
        return create(), True
    except PdkError:
        found = find()
        if found is None:
            raise
        return found, False
