"""Charts for the notebooks, in colors that people with color blindness can tell apart.

They are inline SVG in the page's own text color, on the page's own ground: in a dark theme they are dark.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from pdk_nb.counting import counted
from pdk_nb.display.diagrams.svg import FONT, INLINE_STYLE

# Okabe and Ito, "Color Universal Design", 2008.
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"


BLACK = "#000000"
# Above this opacity of a cell, white is easier to read on it than the text color of a light or dark page.
DARK_CELL = 0.6


class Chart(Figure):
    """A figure without a window: a notebook shows it as a drawing with a description, and can update it.

    Attributes:
        description: Alternative text.
    """

    description: str = ""

    def inline(self) -> str:
        """HTML for a page: what matplotlib draws in black takes the page's text color."""
        with rc_context({"svg.fonttype": "none"}), io.StringIO() as buffer:
            self.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
            content = buffer.getvalue()
        drawing = re.sub(r"<metadata>.*?</metadata>", "", content[content.index("<svg") :], flags=re.DOTALL)
        drawing = re.sub(r"font: ([\d.]+px) [^;\"]*", rf"font: \1 {FONT}", drawing)
        for kind in ("stroke", "fill"):
            drawing = drawing.replace(f"{kind}: {BLACK}", f"{kind}: currentColor")
        # SVG's own default is black, too.
        head = (
            f'<svg role="img" aria-label="{html.escape(self.description)}" fill="currentColor" style="{INLINE_STYLE}"'
        )
        return f"<div>{head}{drawing.removeprefix('<svg')}</div>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.inline(), "text/plain": self.description}


def new_figure(width: float = 7.0, height: float = 3.2, description: str = "") -> Chart:
    """A figure with a size in inches."""
    figure = Chart(figsize=(width, height), layout="constrained")
    figure.description = description
    return figure


def photo_grid(pictures: Sequence[tuple[Any, str]], columns: int = 8) -> Chart:
    """Small pictures with their labels.

    Args:
        pictures: PIL images and captions.
        columns: Pictures in each row.
    """
    rows = max(1, -(-len(pictures) // columns))
    names = ", ".join(caption for _, caption in pictures)
    figure = new_figure(1.05 * columns, 1.25 * rows, f"{counted(len(pictures), 'picture')}: {names}")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (picture, caption) in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture)
        axis.set_title(caption, fontsize=8)
    return figure


def histogram(counts: Mapping[str, int], title: str) -> Chart:
    """A bar chart of counts."""
    described = ", ".join(f"{name}: {count}" for name, count in counts.items())
    figure = new_figure(4.6, 0.55 + 0.45 * max(1, len(counts)), f"{title}: {described}")
    axis = figure.subplots()
    bars = axis.barh(list(counts), list(counts.values()), color=[BLUE, ORANGE, GREEN, VERMILION] * len(counts))
    axis.bar_label(bars, padding=3)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel(title)
    return figure


def distributions(
    measures: Mapping[str, tuple[Any, Any]],
    shares: Mapping[str, tuple[float, float]],
    names: tuple[str, str],
    description: str,
) -> Chart:
    """Two sets side by side: a histogram for each measure, and the shares of their classes.

    Args:
        measures: For each title, the values of both sets; each of shape (n,).
        shares: For each class, its share in both sets, 0 to 1.
        names: Names of the sets.
        description: Alternative text.
    """
    figure = new_figure(10.0, 2.7, description)
    *axes, last = figure.subplots(1, len(measures) + 1)
    for axis, (title, values) in zip(axes, measures.items(), strict=True):
        both = [float(each) for side in values for each in side]
        low, high = (min(both), max(both)) if both else (0.0, 1.0)
        for side, colour, name in zip(values, (BLUE, ORANGE), names, strict=True):
            # Shares, because the sets differ in size.
            weights = [1 / len(side)] * len(side)
            axis.hist(side, bins=16, range=(low, high if high > low else low + 1), weights=weights, color=colour,
                      alpha=0.6, label=name)  # fmt: skip
        axis.set_title(title, fontsize=9)
    for offset, colour, name, index in ((-0.2, BLUE, names[0], 0), (0.2, ORANGE, names[1], 1)):
        places = [number + offset for number in range(len(shares))]
        last.bar(places, [each[index] for each in shares.values()], 0.38, color=colour, alpha=0.8, label=name)
    last.set_xticks(range(len(shares)), list(shares), rotation=0 if len(shares) < 5 else 45)
    last.set_title("share of each class", fontsize=9)
    for axis in (*axes, last):
        axis.yaxis.set_major_formatter("{x:.0%}")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*last.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def curve(points: Sequence[tuple[int, str, float]], title: str) -> Chart:
    """Metrics over batches.

    Args:
        points: Batches, name of the metric, value.
        title: The figure's title.
    """
    names = list(dict.fromkeys(name for _, name, _ in points))
    latest = {name: value for _, name, value in points}
    described = ", ".join(f"{name} now {value:.3f}" for name, value in latest.items()) or "no report yet"
    figure = new_figure(7.0, 2.9, f"{title}: {described}")
    axes = figure.subplots(1, max(1, len(names)), squeeze=False)[0]
    for axis, name, colour in zip(axes, names or [""], [BLUE, VERMILION, GREEN], strict=False):
        xs = [batches for batches, each, _ in points if each == name]
        ys = [value for _, each, value in points if each == name]
        axis.plot(xs, ys, marker="o", markersize=4, color=colour)
        if name.endswith("accuracy"):
            # A share: a scale that shows only its last thousandths would make noise look like an event.
            axis.set_ylim(min([0.45, *(value - 0.05 for value in ys)]), 1.03)
        axis.set_xlabel("batches")
        axis.set_title(name or "waiting for the first report", fontsize=10)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        if ys:
            axis.annotate(f"{ys[-1]:.3f}", (xs[-1], ys[-1]), textcoords="offset points", xytext=(4, 6), fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def confusion(matrices: Mapping[str, Mapping[tuple[str, str], int]], classes: Sequence[str]) -> Chart:
    """Confusion matrices side by side.

    Args:
        matrices: For each title, counts by (true class, predicted class).
        classes: Class names in order.
    """
    described = "; ".join(
        f"{title}: " + ", ".join(f"{count} {true} as {guess}" for (true, guess), count in counts.items())
        for title, counts in matrices.items()
    )
    side = max(2.8, 0.6 * len(classes))
    figure = new_figure((side + 0.3) * max(1, len(matrices)), side, described)
    axes = figure.subplots(1, max(1, len(matrices)), squeeze=False)[0]
    for axis, (title, counts) in zip(axes, matrices.items(), strict=False):
        grid = [[counts.get((true, guess), 0) for guess in classes] for true in classes]
        highest = max(max(row) for row in grid) or 1
        # Transparent, so that an empty cell has the color of the page.
        shares = [[value / highest for value in row] for row in grid]
        axis.imshow([[0] * len(classes)] * len(classes), cmap=ListedColormap([BLUE]), alpha=shares)
        # Many or long names would overlap.
        axis.set_xticks(range(len(classes)), classes, rotation=0 if sum(map(len, classes)) < 24 else 30)
        axis.set_yticks(range(len(classes)), classes)
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        axis.set_title(title, fontsize=10)
        for row in range(len(classes)):
            for column in range(len(classes)):
                axis.text(
                    column,
                    row,
                    str(grid[row][column]),
                    ha="center",
                    va="center",
                    color="white" if shares[row][column] > DARK_CELL else BLACK,
                )
    return figure
