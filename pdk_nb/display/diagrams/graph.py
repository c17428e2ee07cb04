"""Boxes and arrows on a grid, each box with its state."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field

from pdk_nb.display.diagrams.svg import COLOURS, LETTER, Drawing, State, badge, shorten, text

BOX_WIDTH, BOX_HEIGHT, LOW_BOX_HEIGHT = 152.0, 58.0, 32.0
GAP_X, GAP_Y = 22.0, 20.0
MARGIN, LANE_WIDTH = 8.0, 86.0
# The smallest letters that are still easy to read, in pixels.
SMALLEST = 8.5


@dataclass(frozen=True)
class Node:
    """One box.

    Attributes:
        key: Its name in the edges.
        kind: Its kind, in small letters above its name.
        name: Its name.
        state: ``done``, ``running``, ``failed``, ``missing``, or ``waiting``.
        note: A short note below its name.
        column: Column on the grid, from the left.
        row: Row on the grid, from the top.
        link: The address that it leads to; none when empty.
    """

    key: str
    kind: str
    name: str
    state: State = "waiting"
    note: str = ""
    column: int = 0
    row: int = 0
    link: str = ""


@dataclass(frozen=True)
class Edge:
    """An arrow between two boxes; ``missing`` when there is no record of their link."""

    start: str
    end: str
    state: State = "waiting"


@dataclass(frozen=True)
class Graph:
    """A graph on a grid.

    Attributes:
        nodes: The boxes.
        edges: The arrows.
        title: One line above them.
        lanes: A heading to the left of each row; none when empty.
    """

    nodes: Sequence[Node]
    edges: Sequence[Edge] = ()
    title: str = ""
    lanes: Sequence[str] = field(default=())

    def description(self) -> str:
        """Alternative text."""
        said = "; ".join(
            f"{node.kind} {node.name}: {node.note or node.state}" if node.name else f"{node.kind}: {node.state}"
            for node in self.nodes
        )
        return f"{self.title}: {said}" if self.title else said

    def draw(self) -> Drawing:
        """The graph as SVG."""
        left = MARGIN + (LANE_WIDTH if self.lanes else 0)
        top = MARGIN + (24 if self.title else 0)
        columns = 1 + max(node.column for node in self.nodes)
        rows = 1 + max(node.row for node in self.nodes)
        width = left + columns * BOX_WIDTH + (columns - 1) * GAP_X + MARGIN
        # Boxes with only a kind need only one line.
        tall = BOX_HEIGHT if any(node.name or node.note for node in self.nodes) else LOW_BOX_HEIGHT
        height = top + rows * tall + (rows - 1) * GAP_Y + MARGIN
        places = {
            node.key: (left + node.column * (BOX_WIDTH + GAP_X), top + node.row * (tall + GAP_Y)) for node in self.nodes
        }
        parts = [text(MARGIN, MARGIN + 12, self.title, size=13, anchor="start", bold=True)] if self.title else []
        for row, lane in enumerate(self.lanes):
            y = top + row * (tall + GAP_Y)
            parts.append(
                f'<rect x="{MARGIN / 2:g}" y="{y - 7:g}" width="{width - MARGIN:g}" height="{tall + 14:g}" rx="8" '
                'fill="currentColor" opacity="0.05"/>'
            )
            parts.append(text(MARGIN + 4, y + tall / 2 + 4, lane, size=12, anchor="start", faint=True))
        parts += [arrow(places[edge.start], places[edge.end], edge.state, tall) for edge in self.edges]
        parts += [box(places[node.key], node, tall) for node in self.nodes]
        linked = any(node.link for node in self.nodes)
        return Drawing("".join(parts), width, height, self.description(), linked)


def box(place: tuple[float, float], node: Node, tall: float) -> str:
    """One node as a rounded box."""
    x, y = place
    colour = COLOURS[node.state]
    middle = x + BOX_WIDTH / 2
    dash = ' stroke-dasharray="5 4"' if node.state in ("waiting", "missing") else ""
    parts = [
        f"<title>{html.escape(f'{node.kind} {node.name} {node.note}'.strip())}</title>",
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH:g}" height="{tall:g}" rx="9" fill="{colour}" '
        f'fill-opacity="0.08" stroke="{colour}" stroke-width="2"{dash}/>',
    ]
    if not node.note and not node.name:
        parts.append(text(middle, y + tall / 2 + 4.5, node.kind, size=13))
    else:
        parts.append(text(middle, y + 17, node.kind, size=10.5, faint=True))
        parts.append(_fitted(middle, y + 33, node.name, 11.5, bold=True))
        parts.append(_fitted(middle, y + 49, node.note, 10.5))
    if node.name or node.note:
        parts.append(badge(x + BOX_WIDTH - 3, y + 3, node.state))
    if node.link:
        said = html.escape(f"{node.kind} {node.name}: {node.note or node.state}")
        return f'<a href="{html.escape(node.link)}" aria-label="{said}">{"".join(parts)}</a>'
    return f"<g>{''.join(parts)}</g>"


def _fitted(x: float, y: float, content: str, size: float, *, bold: bool = False) -> str:
    """A line that fits into a box: in smaller letters first, shortened only when they would be too small."""
    # Bold letters are about a tenth wider.
    wide = size * (1.1 if bold else 1)
    smaller = max(SMALLEST / size, min(1.0, (BOX_WIDTH - 8) / (LETTER * wide * max(1, len(content)))))
    said = shorten(content, BOX_WIDTH - 8, wide * smaller)
    return text(x, y, said, size=round(size * smaller, 1), bold=bold)


def arrow(start: tuple[float, float], end: tuple[float, float], state: State, tall: float) -> str:
    """An arrow from one box to another: sideways if possible, otherwise downward or upward."""
    colour = "currentColor" if state == "waiting" else COLOURS[state]
    opacity = ' opacity="0.5"' if state == "waiting" else ""
    dash = ' stroke-dasharray="5 4"' if state == "missing" else ""
    (x1, y1), (x2, y2) = start, end
    if x1 == x2:
        down = y2 > y1
        a, b = y1 + (tall if down else 0), y2 + (0 if down else tall)
        x = x1 + BOX_WIDTH / 2
        line, tip, turn = f"M{x:g} {a:g}V{b - (7 if down else -7):g}", (x, b), 90 if down else -90
    else:
        right = x2 > x1
        a, b = x1 + (BOX_WIDTH if right else 0), x2 + (0 if right else BOX_WIDTH)
        middle = b - 16 if right else b + 16
        ya, yb = y1 + tall / 2, y2 + tall / 2
        bend = f"H{middle:g}V{yb:g}" if ya != yb else ""
        line, tip, turn = f"M{a:g} {ya:g}{bend}H{b - (7 if right else -7):g}", (b, yb), 0 if right else 180
    return (
        f'<g class="edge-{state}"{opacity}><path d="{line}" fill="none" stroke="{colour}" stroke-width="2" '
        f'stroke-linejoin="round"{dash}/>'
        f'<path d="M-8 -4.5L0 0L-8 4.5Z" fill="{colour}" transform="translate({tip[0]:g} {tip[1]:g}) rotate({turn})"/>'
        "</g>"
    )
