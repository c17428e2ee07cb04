"""Curves and points on two axes, several plots side by side, in the colors of the page."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pdk_nb.display.diagrams.svg import COLOURS, LETTER, Drawing, text

__all__ = ["Plot", "Series", "Style", "side_by_side"]

#: ``best`` stands out, ``running`` goes on, ``stopped`` ended before the others, ``other`` is all the rest.
Style = Literal["best", "running", "stopped", "other"]
INKS: dict[Style, str] = {
    "best": COLOURS["done"],
    "running": COLOURS["running"],
    "stopped": COLOURS["failed"],
    "other": "currentColor",
}
# Color is never the only difference: each style has its own sign, about the origin.
MARKS: dict[Style, str] = {
    "best": "M0 -7L2 -2.3L7 -2.2L3 1L4.4 6L0 3.1L-4.4 6L-3 1L-7 -2.2L-2 -2.3Z",
    "running": "M-3.5 -4.5L4.5 0L-3.5 4.5Z",
    "stopped": "M-4 -4L4 4M-4 4L4 -4",
    "other": "M-4 0A4 4 0 1 1 4 0A4 4 0 1 1 -4 0Z",
}
WIDTH, HEIGHT = 410.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 34.0, 46.0
GAP = 18.0
TICKS = 5
# Of a logarithmic axis: multiples of each power of ten; the first with three labels within the scale are taken.
FACTORS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))
# Free share of an axis on both sides; of the vertical one, with room for the label of the best series.
MARGIN, LABEL_MARGIN = 0.06, 0.14
# Space between two labels of an axis, in pixels.
LABEL_GAP = 10.0


@dataclass(frozen=True)
class Series:
    """One curve, or a single point.

    Attributes:
        name: What it stands for; shown when the pointer is on it, and beside the best one.
        points: Horizontal and vertical values, in order.
        style: How it is drawn.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: Style = "other"


@dataclass(frozen=True)
class Plot:
    """Series on two axes. Each ends in a sign that tells its style.

    Attributes:
        series: The series; those without points aren't drawn.
        title: One line above the plot.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        log_x: Whether the horizontal axis is logarithmic; points with values of 0 or less are then left out.
        log_y: The same for the vertical axis.
        from_zero: Whether the horizontal axis begins at zero.
    """

    series: Sequence[Series]
    title: str
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    from_zero: bool = False

    def description(self) -> str:
        """Alternative text: the last point of each series."""
        said = [
            f"{each.name}{'' if each.style == 'other' else f' ({each.style})'}: {self.x} {points[-1][0]:.4g}, "
            f"{self.y} {points[-1][1]:.4g}"
            for each in self.series
            if (points := self._usable(each))
        ]
        return f"{self.title}: {'; '.join(said) or 'no point yet'}"

    def _usable(self, each: Series) -> list[tuple[float, float]]:
        return [
            (x, y)
            for x, y in each.points
            if math.isfinite(x) and math.isfinite(y) and (x > 0 or not self.log_x) and (y > 0 or not self.log_y)
        ]

    def draw(self) -> Drawing:
        """The plot as SVG."""
        drawn = [(each, points) for each in self.series if (points := self._usable(each))]
        flat = [point for _, points in drawn for point in points]
        horizontal = _Axis(LEFT, WIDTH - RIGHT, [x for x, _ in flat], self.log_x, self.from_zero)
        vertical = _Axis(HEIGHT - BOTTOM, TOP, [y for _, y in flat], self.log_y, margin=LABEL_MARGIN)
        parts = [text(LEFT, TOP - 16, self.title, size=13, anchor="start", bold=True)]
        parts += _grid(horizontal, vertical)
        parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, self.x, size=11.5, faint=True))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<g transform="translate(14 {middle:g}) rotate(-90)">{text(0, 0, self.y, size=11.5, faint=True)}</g>'
        )
        # What matters is drawn last, above the rest.
        for each, points in sorted(drawn, key=lambda pair: list(INKS)[::-1].index(pair[0].style)):
            parts.append(_series(each, [(horizontal(x), vertical(y)) for x, y in points]))
        return Drawing("".join(parts), WIDTH, HEIGHT, self.description())


class _Axis:
    """The scale of one axis: from values to pixels.

    Args:
        begin: Pixel of the smallest value.
        end: Pixel of the largest value.
        values: What must fit.
        log: Whether the scale is logarithmic.
        from_zero: Whether it begins at zero.
        margin: Share of the spread of the values that stays free on both sides.
    """

    def __init__(
        self,
        begin: float,
        end: float,
        values: Sequence[float],
        log: bool,
        from_zero: bool = False,
        margin: float = MARGIN,
    ) -> None:
        self.begin, self.end, self.log = begin, end, log
        places = [self._place(value) for value in values] or [0.0, 1.0]
        low, high = min(places), max(places)
        if from_zero and not log:
            low = min(0.0, low)
        spread = high - low or abs(high) * 0.2 or 1.0
        self.low = low if from_zero else low - margin * spread
        if not log and low >= 0:
            # What is never negative has no negative part of its axis, not even when all of it is zero.
            self.low = max(0.0, self.low)
        self.high = high + margin * spread

    def _place(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def __call__(self, value: float) -> float:
        share = (self._place(value) - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> list[float]:
        """Round values within the scale: of a logarithmic one, powers of ten and, if they are few, some multiples."""
        if not self.log:
            step = _round_step((self.high - self.low) / TICKS)
            first = math.ceil(self.low / step - 1e-9)
            return [step * number for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        for factors in FACTORS:
            found = [factor * 10.0**decade for decade in decades for factor in factors]
            inside = [value for value in found if self.low - 1e-9 <= math.log10(value) <= self.high + 1e-9]
            if len(inside) >= 3:
                return inside
        return inside


def _round_step(rough: float) -> float:
    """The next step of the form 1, 2, or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _grid(horizontal: _Axis, vertical: _Axis) -> Iterable[str]:
    line = '<line x1="{:g}" y1="{:g}" x2="{:g}" y2="{:g}" stroke="currentColor" opacity="{:g}"/>'
    edge = -math.inf
    for value in horizontal.ticks():
        at, label = horizontal(value), f"{value:.4g}"
        yield line.format(at, TOP, at, HEIGHT - BOTTOM, 0.12)
        wide = LETTER * 10.5 * len(label)
        if at - wide / 2 >= edge:
            edge = at + wide / 2 + LABEL_GAP
            yield text(at, HEIGHT - BOTTOM + 15, label, size=10.5, faint=True)
    for value in vertical.ticks():
        at = vertical(value)
        yield line.format(LEFT, at, WIDTH - RIGHT, at, 0.12)
        yield text(LEFT - 6, at + 3.5, f"{value:.4g}", size=10.5, anchor="end", faint=True)
    yield line.format(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, 0.5)
    yield line.format(LEFT, TOP, LEFT, HEIGHT - BOTTOM, 0.5)


def _series(each: Series, places: Sequence[tuple[float, float]]) -> str:
    ink, strong = INKS[each.style], each.style in ("best", "running")
    opacity = "1" if strong else "0.7" if each.style == "stopped" else "0.5"
    path = "L".join(f"{x:g} {y:g}" for x, y in places)
    parts = [f"<title>{html.escape(each.name)}</title>"]
    if len(places) > 1:
        width = 2.8 if each.style == "best" else 1.6
        parts.append(f'<path d="M{path}" fill="none" stroke="{ink}" stroke-width="{width}" stroke-linejoin="round"/>')
    x, y = places[-1]
    fill = "none" if each.style == "stopped" else ink
    parts.append(
        f'<path d="{MARKS[each.style]}" transform="translate({x:g} {y:g})" fill="{fill}" stroke="{ink}" '
        f'stroke-width="{2 if each.style == "stopped" else 0.5}"/>'
    )
    label = ""
    if each.style == "best":
        # Away from the others: below if it's the lowest, above if it's the highest.
        below = y > (TOP + HEIGHT - BOTTOM) / 2
        left = x > (LEFT + WIDTH) / 2
        at = (x + 8 if left else x - 8, y + 18 if below else y - 11)
        label = text(*at, each.name, size=11, anchor="end" if left else "start", bold=True)
    return f'<g opacity="{opacity}">{"".join(parts)}</g>{label}'


def side_by_side(plots: Sequence[Plot]) -> Drawing:
    """Several plots in one drawing.

    Args:
        plots: The plots, from left to right.
    """
    drawings = [each.draw() for each in plots]
    body, x, height = [], 0.0, max(each.height for each in drawings)
    for each in drawings:
        body.append(f'<g transform="translate({x:g} 0)">{each.body}</g>')
        x += each.width + GAP
    return Drawing("".join(body), x - GAP, height, " ".join(f"{each.description}." for each in drawings))
