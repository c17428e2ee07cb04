"""The batch notebook: its pictures, its pipeline, and what is shown of its datums and answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from pdk_nb import specs
from pdk_nb.display.picture_table import PictureRow, picture_table
from pdk_nb.lessons import find_exercise, n08_batch
from pdk_nb.names import Names
from pdk_nb.platforms import mldm
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.settings import from_maps
from pdk_shared.checkout import find_checkout
from pdk_shared.errors import DataError

INGRESS = Endpoint("dog-cat", "127.0.0.1:8080", "dog-cat.models.example.com", "dogs-and-cats")
INSIDE = Endpoint("dog-cat", "dog-cat.models.svc", "dog-cat.models.svc", "dogs-and-cats")
SESSION: Any = SimpleNamespace(
    names=Names(),
    pachyderm=None,
    settings=None,
    sample=lambda name: find_checkout() / "sample-data" / name,
)


def spec() -> dict[str, Any]:
    return specs.batch_spec(from_maps({}), Names(), [INGRESS, INSIDE], 3)


def test_the_spec_makes_a_datum_of_each_file_and_recovers_only_by_its_own_judgment() -> None:
    found = spec()
    assert found["input"]["pfs"]["glob"] == "/*/*"
    assert found["parallelism_spec"] == {"constant": 3}
    (line,) = found["transform"]["stdin"]
    assert "--target 127.0.0.1:8080,dog-cat.models.example.com --target dog-cat.models.svc,dog-cat.models.svc" in line
    assert found["transform"]["err_stdin"] == ["exec python classify.py --set-aside"]
    assert "secrets" not in found["transform"]
    # Pachyderm's own parser knows every field.
    import python_pachyderm

    request = python_pachyderm.parse_dict_pipeline_spec(found)
    assert (request.parallelism_spec.constant, request.datum_tries) == (3, 2)


def test_the_second_deploy_pipeline_has_its_own_input_and_service_and_no_gate() -> None:
    known = from_maps({})
    _, deploy = specs.render_for(known, Names())
    trial = specs.candidate_spec(known, Names(), "dog-cat-compare")
    assert trial["pipeline"]["name"] == "dogs-and-cats-search"
    assert trial["input"]["pfs"]["repo"] == "dogs-and-cats-found"
    assert "--deployment-name dog-cat-compare" in trial["transform"]["stdin"][1]
    assert "--min-accuracy" not in trial["transform"]["stdin"][1]
    assert trial["transform"]["image"] == deploy["transform"]["image"]
    assert trial["transform"]["secrets"] == deploy["transform"]["secrets"]


def test_the_labs_own_batch_holds_pictures_that_no_model_was_trained_with() -> None:
    from pdk_nb.labels import LabelRule, split

    batch = n08_batch.open_batch(SESSION, "", small=False, broken=True)
    assert len(batch.files) == n08_batch.LAB_PICTURES + 1
    rule = LabelRule()
    every = [f"data2/{path.name}" for path in next(iter(batch.files.values())).parent.iterdir()]
    train, _ = split((name, label) for name in every if (label := rule.label(name)) is not None)
    assert not {f"data2/{name}" for name in batch.files} & set(train)
    assert len({rule.kind(name) for name in batch.files if name != n08_batch.BROKEN}) == 4
    assert batch.files[n08_batch.BROKEN].stat().st_size == n08_batch.BROKEN_BYTES
    with pytest.raises(DataError):
        from pdk_nb.photos import load_image

        load_image(batch.files[n08_batch.BROKEN])


def test_a_folder_with_subfolders_becomes_one_level(tmp_path: Path) -> None:
    (tmp_path / "dog").mkdir()
    for name in ("dog/1.jpg", "cat(2).jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    batch = n08_batch.open_batch(SESSION, str(tmp_path), small=True, broken=False)
    assert sorted(batch.files) == ["cat_2.jpg", "dog-1.jpg"]


DATUMS = [
    mldm.Datum("a", "SUCCESS", ("/batch1/a.jpg",), 1.5),
    mldm.Datum("b", "RECOVERED", ("/batch1/b.jpg",), 1.0),
    mldm.Datum("c", "SKIPPED", ("/batch1/c.jpg",), 2.0),
]


def test_each_datum_has_a_sign_and_the_legend_counts_them() -> None:
    drawn = n08_batch.tiles(["/batch1/a.jpg", "/batch1/b.jpg", "/batch1/c.jpg", "/batch1/d.jpg"], DATUMS)
    assert drawn.description() == "4 datums: 2 classified, 1 recovered, 1 to do"
    content = drawn.draw().inline()
    assert "/batch1/b.jpg: recovered" in content
    assert "/batch1/d.jpg: waiting" in content


ANSWERS = {
    "/batch1/dog.1.jpg.json": {"picture": "batch1/dog.1.jpg", "label": "dog", "scores": {"dog": 0.98, "cat": 0.02}},
    "/batch1/cat.2.jpg.json": {"picture": "batch1/cat.2.jpg", "label": "dog", "scores": {"dog": 0.6, "cat": 0.4}},
    "/batch1/pet.jpg.json": {"picture": "batch1/pet.jpg", "label": "cat", "scores": {"dog": 0.3, "cat": 0.7}},
}


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    picture = tmp_path / "p.jpg"
    Image.new("RGB", (40, 20), "green").save(picture)
    files = {path: json.dumps(content).encode() for path, content in ANSWERS.items()}
    monkeypatch.setattr(mldm, "read_files", lambda client, commit: files)
    monkeypatch.setattr(mldm, "read_file", lambda client, commit, path: picture.read_bytes())
    monkeypatch.setattr(mldm, "job_datums", lambda client, project, pipeline, id: DATUMS)
    monkeypatch.setattr(mldm, "newest", lambda client, project, repo: "1" * 32)
    monkeypatch.setattr(n08_batch.n01_pipelines, "classes", lambda session: ("dog", "cat"))


def test_the_least_sure_picture_comes_first(answered: None) -> None:
    lines = repr(n08_batch.results(SESSION, "1" * 32, 2)).splitlines()
    assert lines[0] == "3 pictures classified, 1 set aside; the least sure first"
    assert [line.split() for line in lines[2:]] == [
        ["batch1/cat.2.jpg", "60.0%", "dog", "wrong:", "cat"],
        ["batch1/pet.jpg", "70.0%", "cat"],
    ]


def test_a_batch_without_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mldm, "read_files", lambda client, commit: {})
    with pytest.raises(DataError, match="no answers"):
        n08_batch.results(SESSION, "1" * 32, 5)


def test_a_row_shows_its_picture_and_escapes_its_words() -> None:
    rows = [PictureRow(b"no picture", "<a>", 0.25, ("b&c",)), PictureRow(b"", "d", None, ("",))]
    page = picture_table(("Name", "Share", "Word"), rows, "Two <rows>")._repr_html_()
    for words in ("&lt;a&gt;", "b&amp;c", "Two &lt;rows&gt;", "width:25.0%", 'title="no picture"'):
        assert words in page, words
    assert "<a>" not in page
    # Every heading has words, for screen readers.
    assert "></th>" not in page


def test_the_exercises_look_at_the_datums_and_at_the_handler(answered: None) -> None:
    assert find_exercise("08-aside").judge(SESSION, "/batch1/b.jpg").state == "ok"
    repair = find_exercise("08-repair")
    good = {"datum_tries": 3, "transform": {"err_cmd": ["python", "classify.py", "--set-aside"]}}
    assert repair.judge(SESSION, good).state == "ok"
    for wrong, words in (
        ({**good, "datum_tries": 1}, "datum_tries is 1"),
        ({"datum_tries": 3, "transform": {"err_cmd": ["true"]}}, "still succeeds"),
        ({"datum_tries": 3}, "transform is missing"),
        ("transform: [", "isn't valid YAML"),
    ):
        assert words in repair.judge(SESSION, wrong).text
