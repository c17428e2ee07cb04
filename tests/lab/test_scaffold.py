"""A new example: its names are its own, and it trains before anything in it is changed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pdk_nb import cli, specs
from pdk_nb import example as examples
from pdk_nb.names import Names
from pdk_nb.tasks.scaffold import TEMPLATES, create
from pdk_shared.errors import UsageError
from tests.lab.test_churn import ROOT, auc_of, train_example


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the examples that may be written."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.setattr("pdk_nb.example.reading.examples_folder", lambda: tmp_path / "examples")
    monkeypatch.setattr("pdk_nb.example.examples_folder", lambda: tmp_path / "examples")
    return tmp_path / "examples"


@pytest.mark.parametrize("name", ["loans", "my-loans"])
def test_a_new_example_shares_no_name_with_another(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["new", name, "--task", "tabular"]) == 0
    assert capsys.readouterr().out.strip() == str(root / name)
    made = examples.find(name, root)
    names, template = Names.for_participant("", name), Names.for_participant("", "churn")
    different = {kind for kind in vars(names) if getattr(names, kind) != getattr(template, kind)}
    assert set(vars(names)) - different == {"workspace", "participant"}
    assert Names.for_participant("a-person-with-16", name).project == f"a-person-with-16-{name}"
    for path in made.folder.rglob("*"):
        if path.suffix in (".py", ".yaml", ".json", ".sh"):
            assert not re.search(r"(?i)\bchurn\b|churn_|ChurnM|ChurnH", path.read_text()), path
    train, deploy = (specs.read(made.pipelines / file) for file in specs.FILES["cloud"])
    assert f"--handler examples/{name}/handler/" in train["transform"]["stdin"][1]
    assert specs.check(train, deploy) == []
    # The column with the answer keeps its name: the data are the template's.
    assert "target: churned" in (made.experiment / made.config).read_text()


def test_it_trains_at_once(root: Path, tmp_path: Path) -> None:
    create("loans", "tabular", root)
    output, checkpoint = train_example(examples.find("loans", root), tmp_path, ["data1"])
    assert auc_of(output) > 0.85
    assert (checkpoint / "code" / "handler" / "loans_handler.py").is_file()
    generate = root / "loans" / "sample-data" / "generate.py"
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run([sys.executable, str(generate), "--truth"], capture_output=True, text=True, env=env)
    assert done.stdout.startswith("data1: 0.8902")


@pytest.mark.parametrize(
    ("name", "task", "says"),
    [
        ("churn", "tabular", "an example 'churn' already"),
        ("My Loans", "tabular", "isn't a valid name"),
        ("a-name-too-long", "tabular", "isn't a valid name"),
        ("../x", "tabular", "isn't a valid name"),
        ("loans", "guessing", "no template for the task 'guessing'"),
    ],
)
def test_what_cannot_be_begun_is_refused(root: Path, name: str, task: str, says: str) -> None:
    before = sorted(root.iterdir())
    with pytest.raises(UsageError, match=says):
        create(name, task, root)
    assert sorted(root.iterdir()) == before


def test_every_template_is_an_example_of_its_task() -> None:
    for task, name in TEMPLATES.items():
        assert examples.find(name, ROOT / "examples").task == task
