"""Many small things with a state each, as rows of signs with a legend."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pdk_nb.display.diagrams.svg import Drawing, State, badge, text

__all__ = ["Tile", "Tiles"]

STEP, MARGIN, TITLE, LEGEND = 21.0, 10.0, 26.0, 26.0
COLUMNS = 32


@dataclass(frozen=True)
class Tile:
    """One thing.

    Attributes:
        name: Shown when the pointer is on it.
        state: Its state.
    """

    name: str
    state: State


@dataclass(frozen=True)
class Tiles:
    """Tiles in rows.

    Attributes:
        tiles: The tiles, in order.
        title: One line above them.
        words: What each state is called here.
    """

    tiles: Sequence[Tile]
    title: str
    words: Mapping[State, str]

    def counts(self) -> list[tuple[State, str]]:
        """Each state that occurs, with how often."""
        counts = Counter(each.state for each in self.tiles)
        return [(state, f"{counts[state]} {word}") for state, word in self.words.items() if counts[state]]

    def description(self) -> str:
        """Alternative text."""
        return f"{self.title}: {', '.join(said for _, said in self.counts()) or 'nothing yet'}"

    def draw(self) -> Drawing:
        """The tiles as SVG."""
        rows = max(1, -(-len(self.tiles) // COLUMNS))
        parts = [text(MARGIN, MARGIN + 10, self.title, size=13, anchor="start", bold=True)]
        for number, each in enumerate(self.tiles):
            row, column = divmod(number, COLUMNS)
            x, y = MARGIN + STEP * (column + 0.5), MARGIN + TITLE + STEP * (row + 0.5)
            parts.append(f"<g><title>{html.escape(each.name)}</title>{badge(x, y, each.state)}</g>")
        below = MARGIN + TITLE + STEP * rows + LEGEND / 2 + 4
        x = MARGIN
        for state, said in self.counts():
            parts.append(badge(x + 8, below - 4, state))
            parts.append(text(x + 21, below, said, size=12, anchor="start"))
            x += 42 + 7.0 * len(said)
        width = 2 * MARGIN + STEP * COLUMNS
        return Drawing("".join(parts), width, below + MARGIN, self.description())
