"""A timeline: one line for each job, all on the same time axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_nb.display.diagrams.svg import COLOURS, Drawing, State, badge, shorten, text

LABEL_WIDTH, PLOT_WIDTH = 190.0, 560.0
ROW_HEIGHT, MARGIN = 26.0, 10.0
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True)
class TimelineBar:
    """One line of a timeline.

    Attributes:
        name: What ran.
        start: Start time, in seconds since the epoch.
        end: End time; None while it runs.
        state: ``done``, ``running``, ``failed``, or ``waiting``.
        moment: Whether it's a moment rather than a period; ``end`` is then ignored.
    """

    name: str
    start: float
    end: float | None = None
    state: State = "done"
    moment: bool = False


@dataclass(frozen=True)
class Timeline:
    """Bars on an axis of seconds since the first one started.

    Attributes:
        bars: The lines, from top to bottom.
        title: One line above them.
        now: Current time in seconds since the epoch, where running bars end.
    """

    bars: Sequence[TimelineBar]
    title: str = ""
    now: float = 0.0

    def _end(self, bar: TimelineBar) -> float:
        if bar.moment:
            return bar.start
        return max(bar.start, self.now if bar.end is None else bar.end)

    def description(self) -> str:
        """Alternative text."""
        zero = min((bar.start for bar in self.bars), default=0.0)
        said = []
        for bar in self.bars:
            begin, end = bar.start - zero, self._end(bar) - zero
            said.append(
                f"{bar.name} at {begin:.0f} s" if bar.moment else f"{bar.name} from {begin:.0f} s to {end:.0f} s"
            )
        return f"{self.title}: {'; '.join(said) or 'nothing has happened yet'}"

    def draw(self) -> Drawing:
        """The timeline as SVG."""
        zero = min((bar.start for bar in self.bars), default=0.0)
        span = max([1.0, *(self._end(bar) - zero for bar in self.bars)])
        step = next((each for each in STEPS if span / each <= 8), STEPS[-1])
        span = step * math.ceil(span / step + 1e-9)
        top = MARGIN + 24
        bottom = top + ROW_HEIGHT * max(1, len(self.bars))
        width = MARGIN + LABEL_WIDTH + PLOT_WIDTH + 70
        parts = [text(MARGIN, MARGIN + 10, self.title, size=13, anchor="start", bold=True)]

        def x(moment: float) -> float:
            return MARGIN + LABEL_WIDTH + PLOT_WIDTH * (moment - zero) / span

        for tick in range(0, int(span) + 1, step):
            at = x(zero + tick)
            parts.append(
                f'<line x1="{at:.1f}" y1="{top:g}" x2="{at:.1f}" y2="{bottom:g}" stroke="currentColor" opacity="0.15"/>'
            )
            parts.append(text(round(at, 1), bottom + 15, f"{tick} s", size=10.5, faint=True))
        for row, bar in enumerate(self.bars):
            middle = top + ROW_HEIGHT * (row + 0.5)
            parts.append(text(MARGIN, middle + 4, shorten(bar.name, LABEL_WIDTH - 8, 12), size=12, anchor="start"))
            start, end = x(bar.start), x(self._end(bar))
            if bar.moment:
                parts.append(badge(round(start, 1), middle, bar.state))
                parts.append(
                    text(round(start + 12, 1), middle + 4, f"{bar.start - zero:.1f} s", size=10.5, anchor="start")
                )
                continue
            wide = max(3.0, end - start)
            parts.append(
                f'<rect x="{start:.1f}" y="{middle - 8:g}" width="{wide:.1f}" height="16" rx="4" '
                f'fill="{COLOURS[bar.state]}"/>'
            )
            said = f"{self._end(bar) - bar.start:.1f} s" + (" …" if bar.end is None else "")
            parts.append(text(round(start + wide + 6, 1), middle + 4, said, size=10.5, anchor="start"))
        return Drawing("".join(parts), width, bottom + 24, self.description())
