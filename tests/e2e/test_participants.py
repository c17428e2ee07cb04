"""Two people walk through the lab at the same time on one cluster, and one of them cleans up."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pdk_nb.run.notebooks import find_notebooks
from tests.e2e.conftest import ROOT, pdk_nb

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
PEOPLE = ("ada", "bob")
UP_TO_THE_SERVICE = ("01", "02", "03", "04")


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks from the project to the service."""
    folder = tmp_path_factory.mktemp("notebooks")
    for path in find_notebooks(ROOT / "notebooks"):
        if path.name.startswith(UP_TO_THE_SERVICE):
            shutil.copy(path, folder)
    shutil.copytree(ROOT / "notebooks" / "images", folder / "images")
    return folder


def test_two_people_do_not_touch_each_other(stack: dict[str, str], notebooks: Path, tmp_path: Path) -> None:
    cluster = ["--kubeconfig", stack["kubeconfig"]]

    def walk(person: str) -> str:
        out = str(tmp_path / person)
        flags = ["--participant", person, "--small", "--notebooks", str(notebooks), "--out", out]
        done = pdk_nb("run", *cluster, *flags, timeout=600)
        return "" if done.returncode == 0 else done.stderr

    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        assert list(pool.map(walk, PEOPLE)) == ["", ""]
    listed = pdk_nb("participants", "list", "--json", *cluster)
    rows = {row["participant"]: row for row in json.loads(listed.stdout)}
    assert set(rows) == set(PEOPLE)
    assert {(row["versions"], row["service"]) for row in rows.values()} == {("1", "ready")}
    # Each has a commit, an experiment and a model of their own.
    assert len({row["commit"] for row in rows.values()}) == 2
    assert pdk_nb("reset", "--participant", "bob", "--yes", *cluster).returncode == 0
    picture = str(sorted((ROOT / "sample-data" / "pred").glob("*.jpg"))[0])
    answer = pdk_nb("predict", picture, "--participant", "ada", "--json", *cluster)
    assert json.loads(answer.stdout)["label"] in ("dog", "cat"), answer.stderr
    gone = pdk_nb("predict", picture, "--participant", "bob", *cluster)
    assert gone.returncode == 1
    assert "no such InferenceService" in gone.stderr
    assert pdk_nb("participants", "clean", "--yes", *cluster).returncode == 0
    assert json.loads(pdk_nb("participants", "list", "--json", *cluster).stdout) == []
