"""Drawings: well-formed, described in words, and the same colours as words."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from pdk_nb.display.diagrams import (
    Drawing,
    Edge,
    Graph,
    Node,
    Plot,
    Series,
    Tile,
    Tiles,
    Timeline,
    TimelineBar,
    side_by_side,
)
from pdk_nb.display.diagrams.graph import BOX_WIDTH
from pdk_nb.display.diagrams.plot import _Axis
from pdk_nb.display.diagrams.svg import COLOURS, SIGNS, shorten

SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing: Drawing) -> ElementTree.Element:
    return ElementTree.fromstring(drawing.svg())


def graph(**changes: object) -> Graph:
    nodes = [
        Node("a", "repo", "pets <&>", "done", "commit 1", 0, 0),
        Node("b", "pipeline", "train", "failed", "crashing", 1, 0),
        Node("c", "service", "dog-cat", "missing", "", 1, 1),
    ]
    return Graph(nodes, [Edge("a", "b", "done"), Edge("b", "c", "missing")], "Project", **changes)  # type: ignore[arg-type]


def test_a_graph_is_an_svg_with_its_description() -> None:
    drawn = graph().draw()
    root = parsed(drawn)
    assert root.get("role") == "img"
    assert root.get("aria-label") == drawn.description
    for words in ("Project", "repo pets <&>: commit 1", "service dog-cat: missing"):
        assert words in drawn.description
    texts = {element.text for element in root.iter(f"{SVG}text")}
    assert {"pets <&>", "train", "crashing", "Project"} <= texts


def test_boxes_stand_side_by_side_and_never_outside() -> None:
    drawn = graph(lanes=("Pachyderm", "KServe")).draw()
    root = parsed(drawn)
    boxes = [each for each in root.iter(f"{SVG}rect") if each.get("rx") == "9"]
    assert len(boxes) == 3
    lefts = sorted({float(each.get("x", "")) for each in boxes})
    assert lefts[1] - lefts[0] > BOX_WIDTH
    for each in boxes:
        assert float(each.get("x", "")) + float(each.get("width", "")) <= drawn.width
        assert float(each.get("y", "")) + float(each.get("height", "")) <= drawn.height


def test_a_missing_link_is_dashed_and_every_state_has_a_sign_and_a_colour() -> None:
    assert set(SIGNS) == set(COLOURS)
    # Missing and failed share their colour; their signs differ.
    assert len(set(SIGNS.values())) == len(SIGNS)
    paths = [each for each in parsed(graph().draw()).iter(f"{SVG}path") if each.get("stroke-dasharray")]
    assert len(paths) == 1


def test_in_a_page_it_takes_the_pages_colours_and_asks_nothing_from_outside() -> None:
    shown = graph().draw()._repr_mimebundle_()
    assert "currentColor" in shown["text/html"]
    assert "http" not in shown["text/html"].replace("http://www.w3.org/2000/svg", "")
    assert shown["text/plain"] == graph().description()


def test_a_timeline_has_a_bar_for_each_thing_to_scale() -> None:
    bars = [
        TimelineBar("commit", 100.0, moment=True),
        TimelineBar("job", 100.0, 120.0),
        TimelineBar("service", 120.0, None, "running"),
    ]
    line = Timeline(bars, "The way", now=130.0)
    assert "job from 0 s to 20 s" in line.description()
    assert "service from 20 s to 30 s" in line.description()
    root = parsed(line.draw())
    widths = [float(each.get("width", "")) for each in root.iter(f"{SVG}rect") if each.get("rx") == "4"]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)


def test_a_timeline_of_nothing_says_so() -> None:
    assert "nothing has happened yet" in Timeline([], "The way").description()
    assert parsed(Timeline([], "The way").draw()) is not None


@pytest.mark.parametrize(("text", "width", "short"), [("abc", 100, "abc"), ("0123456789" * 4, 100, "…")])
def test_long_names_lose_their_middle(text: str, width: float, short: str) -> None:
    shown = shorten(text, width)
    assert short in shown
    assert shown[0] == text[0] and shown[-1] == text[-1]
    assert len(shown) <= len(text)


def plot(**changes: object) -> Plot:
    series = [
        Series("slow <1>", [(10, 1.0), (20, 0.1)], "best"),
        Series("early", [(10, 2.0)], "stopped"),
        Series("empty", []),
    ]
    values = {"log_y": True, **changes}
    return Plot(series, "Curves", "batches", "loss", **values)  # type: ignore[arg-type]


def test_a_plot_stays_within_its_frame_and_says_its_last_points() -> None:
    drawn = plot().draw()
    root = parsed(drawn)
    assert drawn.description == "Curves: slow <1> (best): batches 20, loss 0.1; early (stopped): batches 10, loss 2"
    for each in root.iter(f"{SVG}line"):
        assert 0 <= float(each.get("x1", "")) <= drawn.width
        assert 0 <= float(each.get("y1", "")) <= drawn.height
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"Curves", "batches", "loss", "slow <1>"} <= set(texts)
    assert "early" not in texts


def test_equal_factors_have_equal_distances_on_a_logarithmic_axis() -> None:
    axis = _Axis(0, 300, [0.001, 0.1], log=True)
    assert axis(0.1) - axis(0.01) == pytest.approx(axis(0.01) - axis(0.001), abs=0.2)
    assert [round(tick, 4) for tick in axis.ticks()] == [0.001, 0.01, 0.1]
    plain = _Axis(0, 300, [0, 87], log=False, from_zero=True)
    assert plain(0) == 0
    assert plain.ticks() == [0, 20, 40, 60, 80]


def test_what_no_logarithm_has_is_left_out() -> None:
    drawn = Plot([Series("a", [(0, 1.0), (float("nan"), 2.0), (5, 3.0)])], "T", "x", "y", log_x=True).draw()
    assert drawn.description == "T: a: x 5, y 3"
    assert "no point yet" in Plot([], "T", "x", "y").draw().description


def test_plots_stand_side_by_side() -> None:
    drawn = side_by_side([plot(), plot()])
    assert drawn.width > 2 * plot().draw().width
    assert drawn.description.count("Curves") == 2
    parsed(drawn)


def test_tiles_have_a_sign_each_and_a_legend_of_the_states_that_occur() -> None:
    tiles = Tiles(
        [Tile(f"p{number}", "done") for number in range(40)] + [Tile("<b>", "missing")],
        "41 datums",
        {"done": "classified", "missing": "recovered", "waiting": "to do"},
    )
    drawn = tiles.draw()
    assert drawn.description == "41 datums: 40 classified, 1 recovered"
    signs = [each for each in parsed(drawn).iter(f"{SVG}circle")]
    assert len(signs) == 41 + 2
    assert "&lt;b&gt;" in drawn.inline()


@pytest.mark.parametrize(("values", "low"), [([0.0, 0.0], 0.0), ([0.0, 87.0], 0.0), ([0.1, 5.0], 0.0)])
def test_an_axis_of_values_that_are_not_negative_begins_at_zero_or_above(values: list[float], low: float) -> None:
    axis = _Axis(0, 300, values, log=False)
    assert axis.low == low and min(axis.ticks()) >= 0
    assert _Axis(0, 300, [-1.0, 1.0], log=False).low < -1
    assert _Axis(0, 300, [0.9, 1.0], log=False).low > 0.8
