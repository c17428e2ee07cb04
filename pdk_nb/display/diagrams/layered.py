"""Boxes and arrows of any number, in columns by their distance from the start.

The columns are the layers of the graph (each box is right of all that lead to it), with as few crossings as sorting by
the middle of the predecessors gives (Sugiyama, Tagawa, and Toda 1981). A layer with many boxes takes several columns,
so that a graph with a hundred boxes is a page long rather than ten. Arrows run between the boxes, never across one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pdk_nb.display.diagrams.graph import BOX_HEIGHT, BOX_WIDTH, MARGIN, Edge, Node, box
from pdk_nb.display.diagrams.svg import COLOURS, Drawing

__all__ = ["Layered"]

GAP_X, GAP_Y = 40.0, 30.0
#: Columns that fit on a usual screen, and rows from which a layer takes another column.
COLUMNS, LOW = 7, 4
SWEEPS = 4
# Parallel lines have lanes of their own, so that arrows of neighboring boxes can be told apart.
LANES, LANE_X, LANE_Y = 6, 4.0, 3.0


@dataclass(frozen=True)
class Layered:
    """A directed graph without circles.

    Attributes:
        nodes: The boxes; their columns and rows aren't used.
        edges: The arrows; those between unknown boxes aren't drawn.
        title: What it shows, for screen readers.
    """

    nodes: Sequence[Node]
    edges: Sequence[Edge] = ()
    title: str = ""

    def placed(self) -> list[Node]:
        """The boxes with their columns and rows."""
        keys = [node.key for node in self.nodes]
        known = set(keys)
        before: dict[str, list[str]] = defaultdict(list)
        after: dict[str, list[str]] = defaultdict(list)
        for edge in self.edges:
            if edge.start in known and edge.end in known and edge.start != edge.end:
                before[edge.end].append(edge.start)
                after[edge.start].append(edge.end)
        layers = _ordered(_layers(keys, before), before, after)
        places: dict[str, tuple[int, int]] = {}
        first = 0
        for layer, columns in zip(layers, _columns([len(layer) for layer in layers]), strict=True):
            for number, key in enumerate(layer):
                places[key] = (first + number % columns, number // columns)
            first += columns
        return [replace(node, column=places[node.key][0], row=places[node.key][1]) for node in self.nodes]

    def draw(self) -> Drawing:
        """The graph as SVG."""
        nodes = self.placed()
        where = {node.key: node for node in nodes}
        taken = {(node.column, node.row) for node in nodes}
        lanes = {node.key: number % LANES for number, node in enumerate(sorted(nodes, key=lambda n: (n.column, n.row)))}
        parts = [
            _arrow(where[edge.start], where[edge.end], edge, lanes[edge.start], taken)
            for edge in self.edges
            if edge.start in where and edge.end in where
        ]
        parts += [box((_left(node.column), _top(node.row)), node, BOX_HEIGHT) for node in nodes]
        width = _left(1 + max((node.column for node in nodes), default=0)) - GAP_X + MARGIN
        height = _top(1 + max((node.row for node in nodes), default=0)) - GAP_Y + MARGIN
        said = f"{self.title}: {len(nodes)} boxes, each a link with its state" if nodes else f"{self.title}: empty"
        return Drawing("".join(parts), width, height, said, any(node.link for node in nodes))


def _layers(keys: Sequence[str], before: dict[str, list[str]]) -> list[list[str]]:
    """The keys by the length of the longest way that leads to them."""
    depth: dict[str, int] = {}

    def of(key: str, way: frozenset[str]) -> int:
        if key not in depth:
            # In a circle, which no pipeline can make, the way ends where it began.
            found = [of(each, way | {key}) for each in before[key] if each not in way]
            depth[key] = 1 + max(found, default=-1)
        return depth[key]

    layers: dict[int, list[str]] = defaultdict(list)
    for key in keys:
        layers[of(key, frozenset({key}))].append(key)
    return [layers[number] for number in sorted(layers)]


def _ordered(layers: list[list[str]], before: dict[str, list[str]], after: dict[str, list[str]]) -> list[list[str]]:
    """The layers, each sorted by the middle of the neighbors in the layers before, then after, and so on."""
    place = {key: float(number) for layer in layers for number, key in enumerate(layer)}
    for sweep in range(SWEEPS):
        near = after if sweep % 2 else before
        for layer in reversed(layers) if sweep % 2 else layers:
            middle = {
                key: sum(place[each] for each in near[key]) / len(near[key]) if near[key] else place[key]
                for key in layer
            }
            layer.sort(key=lambda key: (middle[key], place[key]))
            place.update({key: float(number) for number, key in enumerate(layer)})
    return layers


def _columns(sizes: Sequence[int]) -> list[int]:
    """How many columns each layer takes: the longest get what is free."""
    columns = [1 for _ in sizes]
    for _ in range(COLUMNS - len(sizes)):
        rows = [math.ceil(size / count) for size, count in zip(sizes, columns, strict=True)]
        if max(rows, default=0) <= LOW:
            break
        columns[rows.index(max(rows))] += 1
    return columns


def _left(column: int) -> float:
    return MARGIN + column * (BOX_WIDTH + GAP_X)


def _top(row: int) -> float:
    # Arrows that pass boxes run above their row, also above the first one.
    return MARGIN + GAP_Y + row * (BOX_HEIGHT + GAP_Y)


def _arrow(start: Node, end: Node, edge: Edge, lane: int, taken: set[tuple[int, int]]) -> str:
    """An arrow from the right side of a box to the left side of another, through the gaps between boxes."""
    x1, y1 = _left(start.column) + BOX_WIDTH, _top(start.row) + BOX_HEIGHT / 2
    x2, y2 = _left(end.column), _top(end.row) + BOX_HEIGHT / 2
    turn = x1 + 8 + lane * LANE_X
    between = range(start.column + 1, end.column)
    if start.row == end.row and not any((column, end.row) in taken for column in between):
        way = ""
    elif not between:
        way = f"H{turn:g}V{y2:g}"
    else:
        above, entry = _top(end.row) - 6 - lane * LANE_Y, x2 - 14
        way = f"H{turn:g}V{above:g}H{entry:g}V{y2:g}"
    colour = "currentColor" if edge.state == "waiting" else COLOURS[edge.state]
    opacity = ' opacity="0.45"' if edge.state == "waiting" else ""
    return (
        f'<g class="edge-{edge.state}"{opacity}><path d="M{x1:g} {y1:g}{way}H{x2 - 7:g}" fill="none" '
        f'stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'
        f'<path d="M-8 -4.5L0 0L-8 4.5Z" fill="{colour}" transform="translate({x2:g} {y2:g})"/></g>'
    )
