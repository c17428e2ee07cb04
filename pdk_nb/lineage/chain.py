"""A lineage as data: stations, and links that say where they were written down; as text, table and picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pdk_nb.display.diagrams import Drawing, Edge, Graph, Node
from pdk_nb.display.tables import Table

# From the data to the answer: kind of station, its place in the picture (column, row).
PLACES = {
    "files": (0, 0),
    "commit": (1, 0),
    "train job": (2, 0),
    "experiment": (3, 0),
    "checkpoint": (4, 0),
    "model version": (5, 0),
    "goes on from": (2, 1),
    "code": (3, 1),
    "deploy job": (5, 1),
    "service": (4, 1),
    "prediction": (4, 2),
}


@dataclass(frozen=True)
class Station:
    """One thing on the way.

    Attributes:
        kind: What it is.
        id: Its id; empty when it is not known.
        note: A few words on it.
        facts: What is known of it, as plain data.
        missing: Why it is not there; empty when it is.
    """

    kind: str
    id: str
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    missing: str = ""


@dataclass(frozen=True)
class Link:
    """How two stations belong together.

    Attributes:
        start: Kind of the earlier station.
        end: Kind of the later one.
        written: Where that was written down, and by whom.
        missing: Why the link is not there; empty when it is.
    """

    start: str
    end: str
    written: str
    missing: str = ""


@dataclass(frozen=True)
class Chain:
    """All stations and links of one id.

    Attributes:
        id: The commit's id, which ties them.
        stations: From the data to the answer.
        links: Between them.
    """

    id: str
    stations: tuple[Station, ...]
    links: tuple[Link, ...]

    @property
    def whole(self) -> bool:
        """Whether no link is missing."""
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """What is missing, one sentence each."""
        said = [each.missing for each in self.stations] + [each.missing for each in self.links]
        return list(dict.fromkeys(each for each in said if each))

    def station(self, kind: str) -> Station | None:
        """The station of a kind, if the chain has it."""
        return next((each for each in self.stations if each.kind == kind), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.id,
            "whole": self.whole,
            "stations": [
                {"kind": each.kind, "id": each.id, **each.facts, **({"missing": each.missing} if each.missing else {})}
                for each in self.stations
            ],
            "links": [
                {
                    "from": each.start,
                    "to": each.end,
                    "written": each.written,
                    **({"missing": each.missing} if each.missing else {}),
                }
                for each in self.links
            ],
        }

    def graph(self) -> Graph:
        """The chain as a graph."""
        nodes = []
        for each in self.stations:
            column, row = PLACES[each.kind]
            state = "missing" if each.missing else "done"
            nodes.append(Node(each.kind, each.kind, _short(each.id) or "unknown", state, each.note, column, row))
        known = {node.key for node in nodes}
        edges = [
            Edge(each.start, each.end, "missing" if each.missing else "done")
            for each in self.links
            if each.start in known and each.end in known
        ]
        return Graph(nodes, edges, f"Lineage of {self.id[:12]}…")

    def draw(self) -> Drawing:
        """The chain as SVG."""
        return self.graph().draw()

    def table(self) -> Table:
        """One row per station, from the answer back to the data."""
        rows = [
            (each.kind, each.id, each.missing or each.note, self._written(each.kind))
            for each in reversed(self.stations)
        ]
        return Table(("Station", "Id", "What is known", "Written down in"), rows)

    def _written(self, kind: str) -> str:
        """Where it stands how a station was made; for the first ones, where it stands what they were used for."""
        made = [each.written for each in self.links if each.end == kind]
        return "; ".join(dict.fromkeys(made or [each.written for each in self.links if each.start == kind]))

    def __str__(self) -> str:
        lines = [str(self.table())]
        lines += [f"[missing] {each}" for each in self.missing]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        picture = self.draw()._repr_mimebundle_()["text/html"]
        return f"{picture}{self.table()._repr_html_()}"


def _short(id: str) -> str:
    """The beginning of a hash or uuid; the table below the picture has it whole."""
    return f"{id[:12]}…" if re.fullmatch(r"(sha256:)?[0-9a-f-]{20,}", id) else id
