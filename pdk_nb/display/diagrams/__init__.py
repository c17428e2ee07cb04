"""Graphs and timelines as SVG: sharp at every size, offline, and in the colors of the page."""

from __future__ import annotations

from pdk_nb.display.diagrams.graph import Edge, Graph, Node
from pdk_nb.display.diagrams.layered import Layered
from pdk_nb.display.diagrams.plot import Plot, Series, side_by_side
from pdk_nb.display.diagrams.svg import Drawing, State
from pdk_nb.display.diagrams.tiles import Tile, Tiles
from pdk_nb.display.diagrams.timeline import Timeline, TimelineBar

__all__ = [
    "Drawing",
    "Edge",
    "Graph",
    "Layered",
    "Node",
    "Plot",
    "Series",
    "State",
    "Tile",
    "Tiles",
    "Timeline",
    "TimelineBar",
    "side_by_side",
]
