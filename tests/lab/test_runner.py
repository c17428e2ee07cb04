"""The runner on notebooks of its own: what passes, what fails, and what is written down."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pdk_nb.run import runner
from pdk_nb.run.notebooks import check_parameters, find_notebooks, parameters_of
from pdk_nb.run.runner import new_run_folder, run
from pdk_shared.errors import UsageError

CHECK = 'from pdk_nb.headless import log_event\nlog_event("check", notebook="{n}", state="ok", text="fine", fix="")'


def write(folder: Path, name: str, *cells: str, parameters: str = "") -> Path:
    notebook = new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    )
    if parameters:
        notebook.cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    notebook.cells += [new_code_cell(cell) for cell in cells]
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "notebooks"


def test_a_passing_run_is_written_down(folder: Path, tmp_path: Path) -> None:
    predict = 'log_event("prediction", image="cat.jpg", expected="cat", label="cat", correct=True)'
    write(folder, "00-first", "import os\nassert os.environ['PDK_HEADLESS'] == '1'", CHECK.format(n="00"))
    write(folder, "01-second", CHECK.format(n="01"), predict, "print(answer)", parameters="answer: int = 1  # help")
    said: list[str] = []
    result = run(folder, tmp_path / "runs", parameters={"answer": "42"}, progress=said.append)
    assert result.status == "passed"
    summary = json.loads((tmp_path / "runs" / "latest" / "summary.json").read_text())
    assert [each["status"] for each in summary["notebooks"]] == ["passed", "passed"]
    assert summary["notebooks"][0]["checks"] == [{"notebook": "00", "state": "ok", "text": "fine", "fix": ""}]
    assert summary["predictions"] == [{"image": "cat.jpg", "expected": "cat", "label": "cat", "correct": True}]
    assert 0 < summary["seconds_to_first_prediction"] <= summary["seconds"]
    assert summary["versions"]["papermill"]
    page = (tmp_path / "runs" / "latest" / "01-second.html").read_text()
    assert "42" in page
    assert "1 of 1 predictions are right" in "\n".join(said)


def test_kernels_of_runs_that_start_together_share_no_ports(folder: Path, tmp_path: Path) -> None:
    transport = (
        "import json\nfrom ipykernel.connect import get_connection_info\nfound = json.loads(get_connection_info())"
    )
    write(folder, "00-first", transport, "assert found['transport'] == 'ipc', found", CHECK.format(n="00"))
    assert run(folder, tmp_path / "runs").status == "passed"


def test_a_page_asks_nothing_from_outside(folder: Path, tmp_path: Path) -> None:
    import re

    write(folder, "00-first", CHECK.format(n="00"))
    run(folder, tmp_path / "runs")
    page = (tmp_path / "runs" / "latest" / "00-first.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']https?://[^"']+["']""", page)
    assert not re.findall(r"""(?:import|from)\s*\(?["']https?://""", page)
    assert not re.findall(r"""url\(["']?https?://""", page)


def test_a_failing_cell_ends_the_run_and_is_named(folder: Path, tmp_path: Path) -> None:
    path = write(folder, "00-first", "1 + 1", "raise ValueError('the data is gone')")
    failing = nbformat.read(path, as_version=4).cells[1].id
    write(folder, "01-second", CHECK.format(n="01"))
    said: list[str] = []
    result = run(folder, tmp_path / "runs", progress=said.append)
    assert result.status == "failed"
    assert [each.status for each in result.notebooks] == ["failed", "not run"]
    assert "ValueError: the data is gone" in result.notebooks[0].error
    assert f"00-first.ipynb, cell '{failing}'" in result.notebooks[0].error
    assert json.loads((result.folder / "summary.json").read_text())["status"] == "failed"
    assert (result.folder / "00-first.html").exists()
    assert any("FAILED" in line for line in said)


def test_leaving_early_is_no_success(folder: Path, tmp_path: Path) -> None:
    write(folder, "00-first", "raise SystemExit(0)", CHECK.format(n="00"))
    result = run(folder, tmp_path / "runs")
    assert result.status == "failed"


def test_a_notebook_without_its_check_is_no_success(folder: Path, tmp_path: Path) -> None:
    write(folder, "00-first", "1 + 1")
    result = run(folder, tmp_path / "runs")
    assert (result.status, result.notebooks[0].error) == ("failed", "00-first.ipynb ended without its closing check.")


def test_unknown_parameters_and_wrong_types_are_refused(folder: Path) -> None:
    path = write(
        folder, "00-first", "1", parameters='n: int = 1  # a number\nflag: bool = False  # yes\nt: str = ""  # text'
    )
    assert check_parameters([path], {"n": "3", "flag": "true", "t": "5"}) == {path: {"n": 3, "flag": True, "t": "5"}}
    with pytest.raises(UsageError, match="No notebook has a parameter 'm'") as caught:
        check_parameters([path], {"m": "3"})
    assert "flag, n, t" in caught.value.fix
    with pytest.raises(UsageError, match="'x' isn't a valid int"):
        check_parameters([path], {"n": "x"})


def test_notebooks_are_chosen_by_number(folder: Path) -> None:
    for name in ("00-a", "03-b", "99-c"):
        write(folder, name, "1")
    assert [path.stem for path in find_notebooks(folder, first="03")] == ["03-b", "99-c"]
    assert [path.stem for path in find_notebooks(folder, only="00")] == ["00-a"]
    assert [path.stem for path in find_notebooks(folder, until="3")] == ["00-a", "03-b"]
    assert [path.stem for path in find_notebooks(folder, only="3")] == ["03-b"]
    assert [path.stem for path in find_notebooks(folder, clean_up=False)] == ["00-a", "03-b"]
    assert [path.stem for path in find_notebooks(folder, first="99", clean_up=False)] == ["99-c"]
    with pytest.raises(UsageError, match="no notebook 04"):
        find_notebooks(folder, only="04")
    with pytest.raises(UsageError, match="Notebook 99 comes after notebook 03"):
        find_notebooks(folder, first="99", until="03")
    with pytest.raises(UsageError, match="no notebooks"):
        find_notebooks(folder.parent / "empty")


def test_an_elective_runs_only_when_somebody_asks_for_it(folder: Path) -> None:
    for name in ("06-a", "07-b", "08-c", "99-d"):
        write(folder, name, "1")
    chosen = {
        (): ["06-a", "99-d"],
        ("--electives",): ["06-a", "07-b", "08-c", "99-d"],
        ("--from", "07"): ["07-b", "08-c", "99-d"],
        ("--until", "7"): ["06-a", "07-b"],
        ("--only", "8"): ["08-c"],
        ("--from", "06"): ["06-a", "99-d"],
    }
    names = {"--from": "first", "--until": "until", "--only": "only"}
    for words, expected in chosen.items():
        given = {names[words[0]]: words[1]} if len(words) == 2 else {"electives": bool(words)}
        assert [path.stem for path in find_notebooks(folder, **given)] == expected, words  # type: ignore[arg-type]


PARAMETERS = """%matplotlib inline
# parameters
data1: str = "/data/run=3"  # a folder = a path
folder: str | None = None
other: "str" = 'a # b'
count: int | None = None
rate: float = 1e-3; small: bool = True
plain = 7
names: str = (
    "several"
    " lines"
)
import os
home = os.sep
"""


def test_parameters_are_found_in_any_form_of_python(folder: Path) -> None:
    path = write(folder, "00-first", "1", parameters=PARAMETERS)
    kinds = {"data1": "str", "folder": "str", "other": "str", "count": "int", "rate": "float", "small": "bool"}
    assert parameters_of(path) == {**kinds, "plain": "int", "names": "str", "home": "str"}
    given = {"data1": "/data/run=4", "folder": "a=b=c", "count": "5", "plain": "8"}
    assert check_parameters([path], given) == {path: {**given, "count": 5, "plain": 8}}
    assert parameters_of(write(folder, "01-none", "1")) == {}


def test_a_file_that_is_no_notebook_is_told(folder: Path) -> None:
    path = write(folder, "00-first", "1", parameters="x: int = = 1")
    with pytest.raises(UsageError, match="Can't read the notebook's parameters"):
        parameters_of(path)
    path.write_text("not JSON")
    with pytest.raises(UsageError, match="Can't read the notebook's parameters"):
        parameters_of(path)


def test_values_with_equals_signs_reach_the_kernel(folder: Path, tmp_path: Path) -> None:
    check = CHECK.format(n="00")
    write(folder, "00-first", f'assert (data1, folder) == ("/data/run=4", "a=b")\n{check}', parameters=PARAMETERS)
    result = run(folder, tmp_path / "runs", parameters={"data1": "/data/run=4", "folder": "a=b"})
    assert result.status == "passed", result.notebooks[0].error


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(32) as pool:
        folders = list(pool.map(lambda _: new_run_folder(tmp_path / "deep" / "runs"), range(64)))
    assert len(set(folders)) == 64
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(runner._point_latest, folders))
    assert (tmp_path / "deep" / "runs" / "latest").resolve() in folders
    assert len(list((tmp_path / "deep" / "runs").iterdir())) == 65


def test_a_place_that_cannot_hold_results_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(UsageError, match="Can't make a folder for the results"):
            new_run_folder(place)
