"""Draw the small picture at the top of each notebook, which marks its stations on the journey from data to prediction.

python scripts/draw_places.py
"""

from __future__ import annotations

from pathlib import Path

from pdk_nb.display.diagrams import Drawing, Edge, Graph, Node

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "images"
LANES = ("Pachyderm", "Determined", "KServe")
# Key: (column, lane).
STATIONS = {
    "data repo": (0, 0),
    "train pipeline": (1, 0),
    "experiment": (2, 1),
    "model version": (3, 1),
    "deploy pipeline": (4, 0),
    "service": (5, 2),
    "prediction": (6, 2),
}
WAY = tuple(zip(STATIONS, list(STATIONS)[1:], strict=False))
EVERYTHING = tuple(STATIONS)
HERE = {
    "00": (),
    "01": ("data repo", "train pipeline", "deploy pipeline"),
    "02": ("data repo",),
    "03": ("train pipeline", "experiment", "model version"),
    "04": ("deploy pipeline", "service"),
    "05": ("service", "prediction"),
    "06": EVERYTHING,
    "07": ("experiment", "model version"),
    "08": ("service", "prediction"),
    "99": (),
}


def draw(number: str) -> Drawing:
    """The picture of one notebook.

    Args:
        number: The notebook's number.
    """
    here = HERE[number]
    nodes = [
        Node(key, key, "", "running" if key in here else "waiting", column=column, row=row, here=key in here)
        for key, (column, row) in STATIONS.items()
    ]
    edges = [Edge(start, end, "running" if start in here and end in here else "waiting") for start, end in WAY]
    return Graph(nodes, edges, lanes=LANES).draw()


def describe(number: str) -> str:
    """The picture's alternative text."""
    here = HERE[number]
    way = " → ".join(STATIONS)
    place = "all of it" if here == EVERYTHING else ", ".join(here) or "before or after all of it"
    return f"The journey: {way}. This notebook: {place}."


def content(number: str) -> str:
    """The file of one notebook's picture."""
    drawing = draw(number)
    return Drawing(drawing.body, drawing.width, drawing.height, describe(number)).svg() + "\n"


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for number in HERE:
        (FOLDER / f"where-{number}.svg").write_text(content(number))


if __name__ == "__main__":
    main()
