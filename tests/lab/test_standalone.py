"""The experiment in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from pdk_nb import example as examples
from pdk_nb import standalone_experiment
from pdk_nb.labels import LabelRule
from pdk_nb.names import Names
from pdk_nb.platforms import mlde
from pdk_nb.tasks import for_stages
from pdk_shared.errors import DataError, UsageError
from tests.lab.test_sample_data import ROOT


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A lab on a cluster with one pool of two processor slots, which has all that it needs."""
    monkeypatch.setattr(mlde, "pools", lambda client: [mlde.Pool("default", 2, False)])
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(mlde, "check_project", lambda client, *names: asked.append(names))
    return SimpleNamespace(
        checkout=ROOT,
        example=examples.find(root=ROOT / "examples"),
        determined=None,
        settings=SimpleNamespace(resource_pool=""),
        names=Names.for_participant("ada"),
        sample=lambda name: ROOT / "sample-data" / name,
        asked=asked,
    )


def test_the_folder_holds_code_pictures_and_two_configurations(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "tuning"
    written = standalone_experiment.write(lab, folder, trials=5)
    const, search = (yaml.safe_load((folder / name).read_text()) for name in ("const.yaml", "search.yaml"))
    assert const == written
    assert const["data"] == {"local_dir": "pictures", "classes": ["dog", "cat"]}
    assert (const["workspace"], const["project"]) == ("ada PDK Demos", "ada-pdk-dogs-and-cats")
    assert lab.asked == [("ada PDK Demos", "ada-pdk-dogs-and-cats")]
    assert const["hyperparameters"]["learning_rate"] == 0.004 and const["searcher"]["max_length"] == {"batches": 200}
    assert (search["searcher"]["name"], search["searcher"]["max_trials"]) == ("random", 5)
    assert search["hyperparameters"]["learning_rate"]["type"] == "log"
    pictures = [path.name for path in (folder / "pictures").iterdir()]
    rule = LabelRule(("dog", "cat"))
    assert {rule.label(name) for name in pictures} == {0, 1} and len(pictures) > 200
    # Trials on a cluster find the package's light modules beside the model.
    packaged = {f"{path.parent.name}/{path.name}" for path in folder.glob("pdk_*/*")}
    assert packaged == set(for_stages().modules)
    assert (folder / "model_def.py").is_file()
    # Nothing half made is left beside it.
    assert [path.name for path in folder.parent.iterdir()] == ["tuning"]


def test_what_is_there_stays(lab: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("notes")
    with pytest.raises(UsageError, match="already exists"):
        standalone_experiment.write(lab, tmp_path)
    assert (tmp_path / "mine").read_text() == "notes"


def test_too_many_pictures_are_refused_before_anything_is_written(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone_experiment, "MAX_PICTURE_BYTES", 100_000)
    with pytest.raises(DataError, match="limit for an experiment's files is 95 MB"):
        standalone_experiment.write(lab, tmp_path / "tuning")
    assert list(tmp_path.iterdir()) == []
