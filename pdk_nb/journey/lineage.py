"""A journey as a lineage: from an answer back to the exact pictures and code, and from a commit to its results.

A lineage shows where each link is recorded, and names the missing links.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb.display.diagrams import Drawing, Edge, Graph, Node
from pdk_nb.display.tables import Table
from pdk_nb.journey import reading
from pdk_nb.journey.evidence import Entry, Link, evidence

if TYPE_CHECKING:
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

__all__ = ["Lineage", "trace"]

# From the data to the answer: kind of station, and its position in the graph (column, row).
PLACES = {
    "files": (0, 0),
    "commit": (1, 0),
    "train job": (2, 0),
    "experiment": (3, 0),
    "checkpoint": (4, 0),
    "model version": (5, 0),
    "continues from": (2, 1),
    "code": (3, 1),
    "deploy job": (5, 1),
    "service": (4, 1),
    "prediction": (4, 2),
}


@dataclass(frozen=True)
class Lineage:
    """All stations and links of one id; a notebook shows it as a graph and a table.

    Attributes:
        id: The commit's id, which links them.
        stations: From the data to the answer.
        links: Between them.
    """

    id: str
    stations: tuple[Entry, ...]
    links: tuple[Link, ...]

    @property
    def whole(self) -> bool:
        """Whether no link is missing."""
        return not self.missing

    @property
    def missing(self) -> list[str]:
        """One sentence for each missing station or link."""
        reasons = [each.missing for each in self.stations] + [each.missing for each in self.links]
        return list(dict.fromkeys(each for each in reasons if each))

    def station(self, kind: str) -> Entry | None:
        """The station of a kind; None when the lineage has none.

        Args:
            kind: For example ``code``.
        """
        return next((each for each in self.stations if each.kind == kind), None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "id": self.id,
            "whole": self.whole,
            "stations": [each.as_dict() for each in self.stations],
            "links": [each.as_dict() for each in self.links],
        }

    def graph(self) -> Graph:
        """The lineage as a graph."""
        nodes = [
            Node(
                each.kind,
                each.kind,
                _short(each.id) or "unknown",
                "missing" if each.missing else "done",
                each.note,
                *PLACES[each.kind],
            )
            for each in self.stations
        ]
        edges = [Edge(each.start, each.end, "missing" if each.missing else "done") for each in self.links]
        return Graph(nodes, edges, f"Lineage of {self.id[:12]}…")

    def draw(self) -> Drawing:
        """The lineage as SVG."""
        return self.graph().draw()

    def table(self) -> Table:
        """One row per station, from the answer back to the data."""
        rows = [
            (each.kind, each.id, each.missing or each.note, self._written(each.kind))
            for each in reversed(self.stations)
        ]
        return Table(("Station", "Id", "Facts", "Recorded in"), rows)

    def _written(self, kind: str) -> str:
        """Where a station's origin is recorded; for the first stations, where their use is recorded."""
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


def trace(session: Session, id: str = "", *, service: str = "", prediction: Prediction | None = None) -> Lineage:
    """Read the lineage of one id from the platforms.

    Args:
        session: The session.
        id: An id as for :func:`pdk_nb.journey.reading.resolve`; the served model when empty.
        service: The service; the lab's own when empty.
        prediction: An answer; its version counts, even if the service has changed since.

    Raises:
        UsageError: The id is not known.
        DeploymentError: There is no id, and no service either.
    """
    journey = reading.trace(session, id, service=service, answer=prediction)
    return Lineage(journey.id, *evidence(journey))


def _short(id: str) -> str:
    """The start of a hash or UUID; the table below the graph shows all of it."""
    return f"{id[:12]}…" if re.fullmatch(r"(sha256:)?[0-9a-f-]{20,}", id) else id
