"""Versions judged by the same pictures: kinds, changed sides, chance, and the contact sheet."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pdk_nb.display.contact_sheet import Group, Shot, contact_sheet
from pdk_nb.evaluation import Evaluation, Judged, by_chance, change, sheet
from pdk_nb.labels import LabelRule


def evaluation(title: str, *answers: str) -> Evaluation:
    """An evaluation from words such as ``cat.night.1 dog``: a picture's name, and what the version says."""
    rule, judged = LabelRule(("dog", "cat")), []
    for each in answers:
        name, label = each.split()
        judged.append(Judged(Path(f"{name}.jpg"), rule.name(name) or "", label, rule.kind(f"{name}.jpg")))
    return Evaluation(title, "c" * 32, tuple(judged), ("dog", "cat"))


OLD = evaluation(
    "old", "cat.1 cat", "dog.2 dog", "cat.night.3 dog", "dog.night.4 dog", "cat.snow.5 dog", "dog.snow.6 cat"
)
NEW = evaluation(
    "new", "cat.1 cat", "dog.2 cat", "cat.night.3 cat", "dog.night.4 dog", "cat.snow.5 cat", "dog.snow.6 dog"
)


def test_accuracy_counts_and_kinds() -> None:
    assert OLD.accuracy == 0.5 and OLD.total == 6
    assert OLD.counts == {("cat", "cat"): 1, ("cat", "dog"): 2, ("dog", "dog"): 2, ("dog", "cat"): 1}
    assert {kind: [each.right for each in found] for kind, found in OLD.kinds.items()} == {
        "common": [True, True],
        "night": [False, True],
        "snow": [False, False],
    }
    assert list(OLD.kinds) == ["common", "night", "snow"]
    assert Evaluation("none", "").accuracy == 0.0


def test_names_that_tell_each_picture_apart_are_no_kinds() -> None:
    found = evaluation("own", "cat.minka cat", "dog.rex dog", "dog.bello cat", "cat.mia cat")
    assert list(found.kinds) == ["common"] and len(found.kinds["common"]) == 4


def test_the_pictures_that_changed_sides() -> None:
    found = change(OLD, NEW)
    assert [each.picture.stem for each in found.better] == ["cat.night.3", "cat.snow.5", "dog.snow.6"]
    assert [each.picture.stem for each in found.worse] == ["dog.2"]
    assert found.probability == pytest.approx(0.625)
    assert "4 pictures changed sides: 3 became right, 1 became wrong" in str(found)
    assert "62%" in str(found) and "perhaps only chance" in str(found)
    assert "No picture changed sides" in str(change(OLD, OLD))


def test_as_many_better_as_worse_is_chance() -> None:
    old, new = evaluation("old", "cat.1 cat", "dog.2 cat"), evaluation("new", "cat.1 dog", "dog.2 dog")
    assert "a probability of 100%" in str(change(old, new)) and "perhaps only chance" in str(change(old, new))


def test_a_picture_that_only_one_version_saw_does_not_count() -> None:
    assert change(evaluation("old"), NEW).better == ()


@pytest.mark.parametrize(
    ("better", "worse", "probability"),
    # The values are those of a binomial test with p = 1/2, as in a statistics package.
    [(0, 0, 1.0), (5, 0, 0.0625), (0, 6, 0.03125), (12, 1, 0.00341796875), (8, 8, 1.0), (10, 4, 0.179565)],
)
def test_mcnemars_exact_test(better: int, worse: int, probability: float) -> None:
    assert by_chance(better, worse) == pytest.approx(probability, rel=1e-4)


def test_a_large_change_is_more_than_chance() -> None:
    old = evaluation("old", *(f"cat.{number} dog" for number in range(12)))
    new = evaluation("new", *(f"cat.{number} cat" for number in range(12)))
    assert "less than 0.1%" in str(change(old, new)) and "more than chance" in str(change(old, new))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for each in OLD.judged:
        Image.new("RGB", (30, 20), (200, 120, 40)).save(tmp_path / each.picture.name)
    return tmp_path


def test_the_sheet_frames_wrong_answers(pictures: Path) -> None:
    judged = tuple(Judged(pictures / each.picture, each.true, each.label, each.kind) for each in OLD.judged)
    found = sheet(Evaluation("old", OLD.commit, judged, OLD.classes))
    page = found._repr_html_()
    assert page.count("<img") == 6 and page.count("outline:3px") == 3 and page.count("alt=") == 6
    assert "snow: 0 of 2 right" in str(found) and "✗ cat.night.3.jpg: dog, is cat" in str(found)
    assert "dog.2.jpg" not in str(found)


def test_a_sheet_escapes_what_names_hold(tmp_path: Path) -> None:
    path = tmp_path / "<b>&.png"
    Image.new("RGB", (4, 4)).save(path)
    page = contact_sheet([Group("<i>", (Shot(path, "<u>", marked=True),))], "<s>")._repr_html_()
    assert not any(tag in page for tag in ("<b>", "<i>", "<u>", "<s>"))
