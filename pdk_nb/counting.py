"""Numbers with their nouns: ``1 picture``, ``3 pictures``."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """A number with its noun, for messages.

    Args:
        number: How many.
        noun: In the singular; its plural ends in ``s``.
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
