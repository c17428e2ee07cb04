"""Charts: drawings in the page's own colors, with a description."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from pdk_nb.display import charts
from pdk_nb.display.charts import Chart

POINTS = [(10, "training loss", 0.7), (20, "training loss", 0.5), (20, "validation accuracy", 0.98)]
MATRICES = {"version <1>": {("dog", "dog"): 30, ("cat", "dog"): 4, ("cat", "cat"): 24}}
DRAWN = {
    "grid": (charts.photo_grid([(Image.new("RGB", (9, 9), "red"), "cat")]), "1 picture: cat"),
    "histogram": (charts.histogram({"dog": 20, "cat": 18}, "pictures"), "pictures: dog: 20, cat: 18"),
    "curve": (charts.curve(POINTS, "trial 1"), "trial 1: training loss now 0.500, validation accuracy now 0.980"),
    "confusion": (
        charts.confusion(MATRICES, ("dog", "cat")),
        "version <1>: 30 dog as dog, 4 cat as dog, 24 cat as cat",
    ),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_chart_takes_the_pages_colors_and_says_what_it_shows(name: str) -> None:
    chart, description = DRAWN[name]
    shown = chart._repr_mimebundle_()
    assert shown["text/plain"] == description
    (svg,) = ElementTree.fromstring(shown["text/html"])
    assert (svg.get("role"), svg.get("aria-label")) == ("img", description)
    content = shown["text/html"]
    # No ground of its own, no black text: both would be boxes or nothing in a dark theme.
    assert not re.search(r"(fill|stroke): (#000000|#ffffff)", re.sub(r"<text.*?</text>", "", content))
    assert "currentColor" in content
    assert "<metadata>" not in content


def test_numbers_stand_on_cells_in_a_color_that_can_be_read() -> None:
    content = DRAWN["confusion"][0].inline()
    inks = {
        text: "white" if "#ffffff" in style else "page"
        for style, text in re.findall(r'<text style="([^"]*)"[^>]*>(\d+)</text>', content)
    }
    assert inks == {"30": "white", "24": "white", "4": "page", "0": "page"}


def test_the_users_own_figures_stay_as_they_are() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert isinstance(DRAWN["curve"][0], Chart)
    DRAWN["curve"][0].inline()
    assert dict(matplotlib.rcParams) == before
