"""Pictures of any classes: from the folder that a person drops to the names that a service answers with."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.example import find
from pdk_nb.labels import choose_classes
from pdk_nb.lessons import n01_pipelines, n02_data
from pdk_nb.names import Names
from pdk_nb.picture_sources import names_in
from pdk_shared.errors import DataError
from tests.support.shapes import CLASSES, draw, write_shapes


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("shapes"), range(12))


LAB: Any = SimpleNamespace(names=Names(), sample=lambda name: Path("nowhere") / name)


def test_classes_are_read_from_folders_or_a_zip_file(shapes: Path, tmp_path: Path) -> None:
    assert choose_classes("", names_in(str(shapes))) == CLASSES
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as bundle:
        for path in sorted(shapes.rglob("*.png")):
            bundle.write(path, path.relative_to(shapes))
    assert choose_classes("", names_in(str(tmp_path / "shapes.zip"))) == CLASSES


def test_named_classes_keep_their_order_and_pets_keep_theirs() -> None:
    assert choose_classes("triangle, circle", []) == ("triangle", "circle")
    assert choose_classes("", []) == ("dog", "cat")
    # 0 is a dog and 1 a cat, however folders or files spell them.
    assert choose_classes("", [f"{name}/{i}.jpg" for name in ("Cats", "Dogs") for i in range(3)]) == ("dog", "cat")
    with pytest.raises(DataError, match="give no classes"):
        choose_classes("", ["IMG_1.jpg", "IMG_2.jpg"])


def test_the_pipeline_carries_them_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    from pdk_nb.settings import from_maps

    lab: Any = SimpleNamespace(names=Names(), example=find(), settings=from_maps({}, {}), pachyderm=None)
    train, deploy = n01_pipelines.rendered(lab, ("red apple", "pear"), small=True, gate_minimum=0.8)
    # A short training can't reach a gate.
    assert "--min-accuracy" not in deploy["transform"]["stdin"][1]
    assert "--min-accuracy 0.8" in n01_pipelines.rendered(lab, gate_minimum=0.8)[1]["transform"]["stdin"][1]
    command = "\n".join(train["transform"]["stdin"])
    assert "--profile small" in command
    monkeypatch.setattr(n01_pipelines.mldm, "pipeline_command", lambda *given: command)
    assert n01_pipelines.classes(lab) == ("red apple", "pear")
    monkeypatch.setattr(n01_pipelines.mldm, "pipeline_command", lambda *given: "")
    assert n01_pipelines.classes(lab) == ("dog", "cat")


def test_pictures_get_their_classes_and_a_few_of_each_are_the_same_every_time(shapes: Path) -> None:
    arrival = n02_data.open_photos(LAB, str(shapes), "data1", CLASSES)
    assert arrival.photos.counts() == dict.fromkeys(CLASSES, 12)
    some = n02_data.open_photos(LAB, str(shapes), "data1", CLASSES, limit=5)
    assert some.photos.counts() == dict.fromkeys(CLASSES, 5)
    assert some.files() == n02_data.open_photos(LAB, str(shapes), "data1", CLASSES, limit=5).files()
    assert set(some.files()) < set(arrival.files())


def test_pictures_of_other_classes_than_the_pipelines_are_told(shapes: Path) -> None:
    with pytest.raises(DataError, match="these show circle, square, triangle") as caught:
        n02_data.open_photos(LAB, str(shapes), "data1", ("dog", "cat"))
    assert 'classes = "circle,square,triangle"' in caught.value.fix


def test_a_class_name_that_pachyderm_would_change_is_refused(tmp_path: Path) -> None:
    for name in ("grün", "rot"):
        (tmp_path / name).mkdir()
        for number in range(3):
            draw("circle", number).save(tmp_path / name / f"{number}.png")
    with pytest.raises(DataError, match="would no longer be a grün") as caught:
        n02_data.open_photos(LAB, str(tmp_path), "data1", ("grün", "rot"))
    assert "the letters a to z" in caught.value.fix
