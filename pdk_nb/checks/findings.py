"""What a check says: notes, one per finding."""

from __future__ import annotations

from collections.abc import Iterator

from pdk_nb.display.tables import Note

Findings = Iterator[Note]


def expect(condition: bool, good: str, bad: str, fix: str, *, state: str = "wrong") -> Note:
    """``ok`` with one sentence, or another state with another sentence and what to do."""
    return Note("ok", good) if condition else Note(state, bad, fix)
