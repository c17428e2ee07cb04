"""Drawings as SVG: sharp at every size, offline, and in the colours of the page that they stand on."""

from __future__ import annotations

from pdk_nb.display.drawings.graph import Edge, Graph, Node
from pdk_nb.display.drawings.svg import Drawing
from pdk_nb.display.drawings.timeline import Bar, Timeline

__all__ = ["Bar", "Drawing", "Edge", "Graph", "Node", "Timeline"]
