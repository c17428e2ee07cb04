"""Draw the small picture at the top of each notebook, which marks its stations on the journey from data to prediction.

python scripts/draw_places.py

As in the pictures of the concepts (draw_concepts.py), text is white on a filled box: a file can't know the theme of the
page around it.
"""

from __future__ import annotations

import html
from pathlib import Path

from pdk_nb.display.diagrams.svg import FONT, text

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "images"
# Each platform's color: white text on it has a contrast of at least 4.5.
LANES = {"Pachyderm": "#1f77b4", "Determined": "#00795a", "KServe": "#b35000"}
# Of stations that another notebook is about, and of lines and lanes: visible on light and dark pages.
ELSEWHERE, LINE = "#5f6770", "#808080"
LANE_WIDTH, LANE_HEIGHT, WIDTH, HEIGHT, GAP = 96.0, 46.0, 118.0, 30.0, 22.0
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


def _place(station: str) -> tuple[float, float]:
    """Upper left corner of a station's box."""
    column, lane = STATIONS[station]
    return LANE_WIDTH + column * (WIDTH + GAP), lane * LANE_HEIGHT + (LANE_HEIGHT - HEIGHT) / 2


def _box(station: str, here: bool) -> str:
    x, y = _place(station)
    color = list(LANES.values())[STATIONS[station][1]] if here else ELSEWHERE
    said = text(x + WIDTH / 2, y + HEIGHT / 2 + 4.5, station, fill="#fff", bold=here)
    return f'<rect x="{x:g}" y="{y:g}" width="{WIDTH:g}" height="{HEIGHT:g}" rx="7" fill="{color}"/>{said}'


def _lane(number: int, name: str, color: str, width: float) -> str:
    top = number * LANE_HEIGHT
    pill = f'<rect x="8" y="{top + 13:g}" width="78" height="20" rx="10" fill="{color}"/>'
    band = f'<rect y="{top + 2:g}" width="{width:g}" height="{LANE_HEIGHT - 4:g}" rx="8" fill="{LINE}" opacity="0.12"/>'
    return f"{band}{pill}{text(47, top + 27, name, size=11, fill='#fff')}"


def _arrow(start: str, end: str) -> str:
    """From the right edge of a station to the left edge of the next one."""
    (x1, y1), (x2, y2) = _place(start), _place(end)
    left, right, middle = x1 + WIDTH, x2, HEIGHT / 2
    bend = f"H{left + GAP / 2:g}V{y2 + middle:g}" if y1 != y2 else ""
    tip = f"M{right - 8:g} {y2 + middle - 4.5:g}l8 4.5l-8 4.5Z"
    line = f"M{left:g} {y1 + middle:g}{bend}H{right - 7:g}"
    return f'<path d="{line}" fill="none" stroke="{LINE}" stroke-width="2"/><path d="{tip}" fill="{LINE}"/>'


def describe(number: str) -> str:
    """The picture's alternative text."""
    here = HERE[number]
    way = " → ".join(STATIONS)
    place = "all of it" if here == EVERYTHING else ", ".join(here) or "before or after all of it"
    return f"The journey: {way}. This notebook: {place}."


def content(number: str) -> str:
    """The file of one notebook's picture."""
    width, height = LANE_WIDTH + 7 * WIDTH + 6 * GAP + 8, len(LANES) * LANE_HEIGHT
    body = [_lane(place, name, color, width) for place, (name, color) in enumerate(LANES.items())]
    body += [_arrow(start, end) for start, end in WAY]
    body += [_box(station, station in HERE[number]) for station in STATIONS]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{html.escape(describe(number))}" font-family="{FONT}">'
        f"{''.join(body)}</svg>\n"
    )


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for number in HERE:
        (FOLDER / f"where-{number}.svg").write_text(content(number))


if __name__ == "__main__":
    main()
