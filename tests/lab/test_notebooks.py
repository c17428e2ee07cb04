"""The contract of the notebook files: how they read, and that nothing personal is in them."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pdk_nb.lessons import EXERCISES, EXPLANATIONS, LESSONS
from pdk_nb.run.notebooks import ELECTIVES

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
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


def test_all_lessons_are_there() -> None:
    numbers = ["00", "01", "02", "03", "04", "05", "06", "07", "08", "99"]
    assert [path.name[:2] for path in NOTEBOOKS] == numbers == list(LESSONS)
    assert set(numbers) > ELECTIVES


def test_an_elective_says_that_it_is_one(notebook: Any) -> None:
    number = notebook.path.name[:2]
    assert ("elective" in notebook.cells[0].source) == (number in ELECTIVES)
    assert number not in ELECTIVES or f"pdk-nb run --only {number}" in notebook.cells[0].source


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
    forbidden = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.Lambda, ast.ListComp, ast.GeneratorExp)
    longest = {"parameters": 12, "client": 9}
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert len(lines) <= max([4, *(longest.get(tag, 4) for tag in cell.metadata.get("tags", []))]), cell.id
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, forbidden), cell.id


def test_prose_stands_before_and_after_each_code_cell(notebook: Any) -> None:
    cells = notebook.cells
    assert cells[0].cell_type == cells[-1].cell_type == "markdown"
    for before, cell, after in zip(cells, cells[1:], cells[2:], strict=False):
        if cell.cell_type == "code":
            assert before.cell_type == after.cell_type == "markdown", cell.id


def test_a_heading_has_one_idea_and_levels_go_down_one_at_a_time(notebook: Any) -> None:
    headings = [
        line
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    ]
    assert headings[0].startswith("# ")
    assert all(re.match(r"## \S", line) for line in headings[1:]), headings
    assert len(set(headings)) == len(headings)


def test_it_shows_where_on_the_way_it_is(notebook: Any) -> None:
    number = notebook.path.name[:2]
    found = re.search(r"!\[(.+)\]\((.+)\)", notebook.cells[0].source)
    assert found is not None
    places = runpy.run_path(str(FOLDER.parent / "scripts" / "draw_places.py"))
    assert found.group(1) == places["describe"](number)
    assert found.group(2) == f"images/where-{number}.svg"
    assert (FOLDER / found.group(2)).read_text() == places["content"](number), "run: python scripts/draw_places.py"


def test_it_ends_with_its_check_a_recap_with_the_id_and_a_link(notebook: Any) -> None:
    number = notebook.path.name[:2]
    sources = [cell.source for cell in code_cells(notebook)]
    checks = [place for place, source in enumerate(sources) if f'lab.check("{number}"' in source]
    assert checks and checks[-1] >= len(sources) - 2
    assert number == "99" or sources[-1] == "lab.recap()"
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert "## Recap\n\n- " in prose
    assert "*Questions to consider:*" in prose
    targets = re.findall(r"[^!]\[[^\]]+\]\(([^)]+)\)", notebook.cells[-1].source)
    assert targets
    for target in targets:
        assert (FOLDER / target).exists(), target


def test_the_notebooks_lead_from_one_to_the_next() -> None:
    ways = [nbformat.read(str(path), as_version=4).cells[-1].source for path in NOTEBOOKS]
    for source, following in zip(ways, [*NOTEBOOKS[1:], NOTEBOOKS[0]], strict=True):
        assert f"({following.name})" in source


def test_exercises_ask_what_their_source_asks(notebook: Any) -> None:
    number = notebook.path.name[:2]
    wanted = [each for each in EXERCISES.values() if each.notebook == number]
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    cells = [cell for cell in code_cells(notebook) if "exercise" in cell.metadata.get("tags", [])]
    assert len(cells) == len(wanted)
    assert number == "99" or 3 <= len(wanted) <= 5
    assert number == "99" or len({each.kind for each in wanted}) >= 3
    for exercise, cell in zip(wanted, cells, strict=True):
        assert f"**{exercise.kind}.** {exercise.question}" in prose
        assert cell.source == f'answer = ...\nlab.check("{exercise.name}", answer)'


def test_it_shows_what_is_under_the_bonnet(notebook: Any) -> None:
    number = notebook.path.name[:2]
    sources = [cell.source for cell in code_cells(notebook)]
    wanted = [each.name for each in EXPLANATIONS.values() if each.name.startswith(number)]
    assert bool(wanted) == (number != "99")
    for name in wanted:
        assert f'lab.explain("{name}")' in sources
    clients = [cell.source for cell in code_cells(notebook) if "client" in cell.metadata.get("tags", [])]
    assert [re.findall(r'^lab\.agrees\("([\w-]+)", .+\)$', source, re.M) for source in clients] == [
        [each] for each in wanted
    ]


def test_the_readme_lists_every_notebook() -> None:
    readme = (FOLDER.parent / "README.md").read_text()
    assert re.findall(r"\| \[([\w-]+)\]\(notebooks/\1\.ipynb\) \|", readme) == [path.stem for path in NOTEBOOKS]


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
