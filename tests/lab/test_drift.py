"""Drift between arrivals: known differences give known words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pdk_nb.drift import Drift, Measured, compare, measure


def arrival(folder: Path, name: str, count: int, *, light: int = 120, side: int = 40, cats: float = 0.5) -> Measured:
    """Pictures of noise around a brightness; the first ones are cats."""
    folder = folder / name
    folder.mkdir()
    noise, pictures = np.random.default_rng(7 + light), []
    for number in range(count):
        path = folder / f"{number}.png"
        # Coarse noise: a thumbnail averages fine noise away.
        values = np.clip(noise.normal(light, 25, (6, 6, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(values).resize((side, side), Image.Resampling.NEAREST).save(path)
        pictures.append((path, "cat" if number < cats * count else "dog"))
    return measure(name, pictures)


def test_measures_of_a_known_picture(tmp_path: Path) -> None:
    path = tmp_path / "gray.png"
    Image.new("RGB", (64, 48), (100, 100, 100)).save(path)
    found = measure("one", [(path, "cat")])
    assert found.brightness.tolist() == pytest.approx([100.0]) and found.side.tolist() == [64.0]
    assert found.share("cat") == 1.0 and found.share("dog") == 0.0
    assert found.descriptor.shape[0] == 1


def test_more_of_the_same_is_no_drift(tmp_path: Path) -> None:
    found = compare(arrival(tmp_path, "data1", 60), arrival(tmp_path, "data2", 40, light=122))
    assert found.shifted() == [] and found.novel < 0.15
    assert str(found) == "No drift: data2 resembles data1."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"light": 60}, "the pictures are darker (median -"),
        ({"light": 180}, "the pictures are brighter (median +"),
        ({"side": 80}, "they are 2.0 times as large"),
        ({"cats": 0.9}, "cat makes up 90% instead of 50%"),
    ],
)
def test_a_shift_is_named(tmp_path: Path, change: dict[str, float], words: str) -> None:
    found = compare(arrival(tmp_path, "data1", 60), arrival(tmp_path, "data2", 40, **change))  # type: ignore[arg-type]
    assert words in str(found) and str(found).startswith("Drift from data1 to data2: ")


def test_pictures_like_none_before_are_novel(tmp_path: Path) -> None:
    old, same = arrival(tmp_path, "data1", 60), arrival(tmp_path, "same", 30, light=121)
    other = arrival(tmp_path, "other", 30, light=240)
    assert compare(old, same).novel < 0.15 < 0.9 < compare(old, other).novel
    assert "100% resemble nothing in data1" in str(compare(old, other))


def test_the_distance_to_the_nearest_old_picture() -> None:
    def points(name: str, *values: float) -> Measured:
        zeros = np.zeros(len(values), dtype=np.float32)
        return Measured(name, ("cat",) * len(values), zeros, zeros + 1, np.array([values], dtype=np.float32).T)

    found = compare(points("old", 0, 1, 3), points("new", 2.5, 10))
    assert found.usual.tolist() == pytest.approx([1, 1, 2]) and found.novelty.tolist() == pytest.approx([0.5, 7])
    assert found.novel == 0.5


def test_empty_arrivals_have_no_drift() -> None:
    nothing = measure("none", [])
    assert isinstance(compare(nothing, nothing), Drift) and compare(nothing, nothing).novel == 0.0


def test_the_chart_says_what_it_shows(tmp_path: Path) -> None:
    found = compare(arrival(tmp_path, "data1", 20), arrival(tmp_path, "data2", 20, light=60))
    drawn = found.chart()
    for words in ("data1 and data2 compared", "median brightness 120 and 59", "share of cat 50% and 50%"):
        assert words in drawn.description, drawn.description
    # The sentence is printed below the chart; text alone shows both.
    assert str(found) not in drawn.description
    assert "<svg" in drawn.inline() and "currentColor" in drawn.inline()
