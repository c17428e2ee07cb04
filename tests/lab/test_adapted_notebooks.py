"""The notebooks for another example: complete, in its words, and as well formed as the others."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pdk_nb import example as examples
from pdk_nb.run.notebooks import find_notebooks, parameters_of
from pdk_nb.run.runner import run
from pdk_nb.tasks.notebooks import CHANGES, adapt, changes_for, write
from pdk_shared.errors import SpecError

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
OTHERS = [name for name in examples.known(ROOT / "examples") if name != examples.DEFAULT]
# Words of pictures with classes; `dog-cat` is the name of the default example.
PICTURES = re.compile(r"\b(pictures?|photos?|cats?|dogs?|pets?|breeds?)\b", re.IGNORECASE)


@pytest.fixture(scope="module", params=OTHERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    example = examples.find(request.param, ROOT / "examples")
    return write(NOTEBOOKS, tmp_path_factory.mktemp("adapted") / request.param, example)


def cells(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path in find_notebooks(folder):
        found += [(path.stem, cell) for cell in json.loads(path.read_text())["cells"]]
    return found


def test_the_default_example_has_the_notebooks_themselves(tmp_path: Path) -> None:
    assert write(NOTEBOOKS, tmp_path, examples.find(root=ROOT / "examples")) == NOTEBOOKS
    assert list(tmp_path.iterdir()) == []


def test_every_notebook_of_the_walkthrough_is_there(folder: Path) -> None:
    assert [path.name[:2] for path in find_notebooks(folder)] == ["00", "01", "02", "03", "04", "05", "06", "99"]
    assert (folder / "START.md").is_file() and list((folder / "images").glob("*.svg"))


def test_no_word_of_another_task_is_left(folder: Path) -> None:
    for name, cell in cells(folder):
        # Alternative text describes drawings that all examples share.
        text = re.sub(r"!\[.*?\]\(.*?\)", "", "".join(cell["source"]))
        # Two exercises ask about other people's objects, and 02-next about any file.
        if cell["id"] in ("ask-repair", "ask-next"):
            continue
        assert not PICTURES.search(text), (name, cell["id"], PICTURES.search(text))


def test_every_parameters_cell_names_the_example(folder: Path) -> None:
    for path in find_notebooks(folder):
        assert "example" in parameters_of(path)
    named = ["".join(cell["source"]) for _, cell in cells(folder) if cell["id"] == "parameters"]
    assert all(f'example: str = "{folder.name}"' in text for text in named)


def test_code_is_python_and_prose_stands_around_it(folder: Path) -> None:
    for path in find_notebooks(folder):
        found = json.loads(path.read_text())["cells"]
        for before, cell, after in zip(found, found[1:], found[2:], strict=False):
            if cell["cell_type"] == "code":
                ast.parse("".join(cell["source"]))
                assert before["cell_type"] == after["cell_type"] == "markdown", (path.stem, cell["id"])


def test_the_parameters_are_those_of_the_notebooks(folder: Path) -> None:
    """The values that the runner and every notebook pass on."""
    for path in find_notebooks(folder):
        kept = {"kubeconfig", "namespace", "participant", "example"}
        assert kept <= set(parameters_of(path)), path.stem


def test_a_change_of_a_cell_that_is_not_there_is_refused(tmp_path: Path) -> None:
    notebook = {"cells": [{"id": "a", "cell_type": "markdown", "source": ["one"]}]}
    with pytest.raises(SpecError, match="no cell 'b'"):
        adapt(notebook, {"b": "two"}, "churn")
    assert adapt(notebook, {"a": "two\nthree\n"}, "churn")["cells"][0]["source"] == ["two\n", "three"]
    assert adapt(notebook, {"a": None}, "churn")["cells"] == []


def test_a_file_of_changes_in_another_form_is_refused(tmp_path: Path) -> None:
    import shutil
    from dataclasses import replace

    example = examples.find("churn", ROOT / "examples")
    shutil.copytree(example.folder, tmp_path / "churn")
    (tmp_path / "churn" / CHANGES).write_text("- a list")
    with pytest.raises(SpecError, match="aren't cells by number"):
        changes_for(replace(example, folder=tmp_path / "churn"))


def test_a_run_uses_the_notebooks_of_its_example(tmp_path: Path) -> None:
    """They fail here, where no cluster is: what counts is which notebook ran, and where."""
    result = run(NOTEBOOKS, tmp_path, kubeconfig=str(tmp_path / "absent"), only="05", example="churn")
    assert result.status == "failed"
    executed = (result.folder / "05-predict.ipynb").read_text()
    assert "Send a row and get a class back" in executed
    # From there, kernels find the examples of the same checkout, wherever the results go.
    assert [path.name for path in tmp_path.iterdir() if path.name != "latest"] == [result.folder.name]
