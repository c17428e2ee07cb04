"""The contract of the notebook files: how they read, and that nothing personal is in them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PERSONAL = re.compile(
    r"\b\d{1,3}(\.\d{1,3}){3}\b|arn:aws|/home/|/Users/|\b[0-9a-f]{32}\b|[\w.]+@[\w-]+\.\w{2,}|localhost:\d+"
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    content = nbformat.read(str(request.param), as_version=4)
    content.path = request.param
    return content


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_all_chapters_are_there() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["00", "01", "02", "03", "04", "05", "06", "99"]


def test_it_opens_with_a_title_a_promise_and_what_it_takes(notebook: Any) -> None:
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert re.match(rf"# {notebook.path.name[:2]} · \w+", first.source)
    assert re.search(r"^\*\*.+\*\*$", first.source, re.M)
    assert "*You need:*" in first.source
    assert "*You get:*" in first.source


def test_it_has_one_typed_and_documented_parameters_cell(notebook: Any) -> None:
    tagged = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    for line in tagged[0].source.splitlines():
        assert re.fullmatch(r"\w+: (str|int|float|bool) = .+  # .+", line), line
        ast.literal_eval(line.split(" = ", 1)[1].split("  #")[0])


def test_cells_are_short_and_define_nothing(notebook: Any) -> None:
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= 12, cell.id
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda)), cell.id


def test_prose_stands_before_each_code_cell(notebook: Any) -> None:
    cells = notebook.cells
    for before, cell in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown", cell.id


def test_it_ends_with_its_check_a_recap_and_a_link(notebook: Any) -> None:
    number = notebook.path.name[:2]
    assert f'lab.check("{number}"' in code_cells(notebook)[-1].source
    last = notebook.cells[-1]
    assert last.source.startswith("## Recap")
    for target in re.findall(r"\]\(([^)]+)\)", last.source):
        assert (FOLDER / target).exists(), target
    assert "](" in last.source


def test_it_is_committed_clean(notebook: Any) -> None:
    assert notebook.nbformat == 4
    assert notebook.nbformat_minor >= 5
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert "papermill" not in notebook.metadata
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z0-9-]{3,}", cell.id), cell.id
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_nothing_personal_is_in_it(notebook: Any) -> None:
    for cell in notebook.cells:
        assert not PERSONAL.search(cell.source), cell.id
