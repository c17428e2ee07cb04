"""The concepts' pictures and words: every picture is described and legible, every term is in the glossary."""

from __future__ import annotations

import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pdk_nb.display.diagrams.svg import LETTER

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DRAWN: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "draw_concepts.py"))
CONCEPTS: dict[str, Any] = DRAWN["CONCEPTS"]
SVG = "{http://www.w3.org/2000/svg}"
# Space between a line and the edge of its box, on both sides together.
ROOM = 6.0


def prose(path: Path) -> str:
    """A notebook's text cells."""
    cells = nbformat.read(str(path), as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def pictures(path: Path) -> list[tuple[str, str]]:
    """Alternative text and address of each picture in a notebook."""
    return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose(path))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_exists_is_well_formed_and_described(path: Path) -> None:
    found = pictures(path)
    assert found
    for alternative, address in found:
        root = ElementTree.fromstring((path.parent / address).read_text())
        assert root.get("role") == "img", address
        assert len(alternative) > 20, address
        assert root.get("aria-label") == alternative, address


def test_every_concept_has_its_picture_in_one_notebook() -> None:
    used = [address for path in NOTEBOOKS for _, address in pictures(path) if "concept-" in address]
    assert sorted(used) == sorted(f"images/concept-{name}.svg" for name in CONCEPTS)
    stored = {path.name for path in (ROOT / "notebooks" / "images").glob("concept-*.svg")}
    assert stored == {f"concept-{name}.svg" for name in CONCEPTS}


@pytest.mark.parametrize("name", CONCEPTS)
def test_a_picture_is_as_its_script_draws_it(name: str) -> None:
    stored = ROOT / "notebooks" / "images" / f"concept-{name}.svg"
    assert stored.read_text() == CONCEPTS[name]().svg(), "run: python scripts/draw_concepts.py"


@pytest.mark.parametrize("name", CONCEPTS)
def test_text_fits_its_box_and_stands_on_a_filled_one(name: str) -> None:
    drawn = CONCEPTS[name]()
    root = ElementTree.fromstring(drawn.svg())
    filled = [each for each in root.iter(f"{SVG}rect") if each.get("fill-opacity") is None]
    texts = list(root.iter(f"{SVG}text"))
    assert texts
    for each in texts:
        x, y, content = float(each.get("x", "")), float(each.get("y", "")), str(each.text)
        wide = len(content) * LETTER * float(each.get("font-size", "")) * (1.1 if each.get("font-weight") else 1)
        around = [box for box in filled if inside(box, x - wide / 2 - ROOM / 2, y, x + wide / 2 + ROOM / 2)]
        assert around, f"{content!r} doesn't fit its box"
        assert each.get("fill") == "#fff"
        assert contrast("#ffffff", str(around[-1].get("fill"))) >= 4.5, content


@pytest.mark.parametrize("name", CONCEPTS)
def test_everything_is_inside_and_visible_in_both_themes(name: str) -> None:
    drawn = CONCEPTS[name]()
    root = ElementTree.fromstring(drawn.svg())
    for each in root.iter(f"{SVG}rect"):
        x, y, wide, tall = (float(each.get(key, "")) for key in ("x", "y", "width", "height"))
        assert x >= 0 and x + wide <= drawn.width and y >= 0 and y + tall <= drawn.height
    colors = {each.get(key) for each in root.iter() for key in ("fill", "stroke")} - {None, "none", "#fff"}
    for color in colors:
        # JupyterLab's white and black pages.
        assert min(contrast(str(color), page) for page in ("#ffffff", "#111111")) >= 3, color


def inside(box: ElementTree.Element, left: float, baseline: float, right: float) -> bool:
    """Whether a line of text lies in a box."""
    x, y, wide, tall = (float(box.get(key, "")) for key in ("x", "y", "width", "height"))
    return x <= left and right <= x + wide and y + 8 <= baseline <= y + tall - 3


def contrast(one: str, other: str) -> float:
    """Contrast of two colors, by WCAG 2.2."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    """Relative luminance of a color such as ``#1f77b4``, by WCAG 2.2."""
    channels = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
TERMS = re.findall(r"^\| \*\*([^*]+)\*\* \|", GLOSSARY, re.M)


def introduced(path: Path) -> list[str]:
    """The terms in italics in a notebook's section "Under the bonnet"."""
    section = re.search(r"^## Under the bonnet\n(.*?)(?=^## )", prose(path), re.S | re.M)
    return re.findall(r"(?<![*\w])\*([^*\n]+)\*(?!\*)", section.group(1)) if section else []


def entry(term: str) -> str:
    """The glossary's form of a term: singular, and small letters unless it's a name."""
    forms = {term, term.lower(), term.removesuffix("s").lower()}
    return next((each for each in TERMS if each in forms), "")


def test_every_term_of_the_notebooks_is_in_the_glossary() -> None:
    found = {term: path.stem for path in NOTEBOOKS for term in introduced(path)}
    assert len(found) > 20
    assert {term: where for term, where in found.items() if not entry(term)} == {}


def test_the_glossary_has_each_term_once_and_links_where_it_is_used() -> None:
    assert len(TERMS) == len(set(TERMS))
    rows = re.findall(r"^\| \*\*([^*]+)\*\* \| .+ \| \[(\d\d)\]\(\.\./notebooks/([\w-]+\.ipynb)\) \|$", GLOSSARY, re.M)
    assert len(rows) > 30
    for term, number, name in rows:
        path = ROOT / "notebooks" / name
        assert name.startswith(number) and path.exists(), term
        assert term.lower() in prose(path).lower(), f"{name} doesn't mention {term}"


def test_a_term_is_introduced_where_the_glossary_says() -> None:
    said = {term: name for term, name in re.findall(r"^\| \*\*([^*]+)\*\* .+/([\w-]+)\.ipynb\) \|$", GLOSSARY, re.M)}
    first: dict[str, str] = {}
    for path in NOTEBOOKS:
        for term in introduced(path):
            first.setdefault(entry(term), path.stem)
    assert {term: (said[term], stem) for term, stem in first.items() if said[term] != stem} == {}
