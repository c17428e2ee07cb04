"""Copies of the notebooks: never overwritten when a person changed them, and JupyterLab's start on them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from pdk_nb import workbench
from pdk_nb.cli import main
from pdk_nb.commands import plugin
from pdk_nb.workbench import PRIVATE, START, jupyter_command, jupyter_environment, update_copies
from pdk_shared.checkout import find_checkout
from pdk_shared.errors import UsageError


def notebook(source: str, output: str = "") -> str:
    outputs = [{"output_type": "stream", "name": "stdout", "text": output}] if output else []
    cell = {"cell_type": "code", "source": [source], "outputs": outputs, "execution_count": 1 if output else None}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "where.svg").write_text("<svg/>")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "00.ipynb").write_text("old")
    (folder / "00.ipynb").write_text(notebook("1 + 1"))
    (folder / START).write_text("# Start")
    return folder


def test_everything_is_copied_once(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert update_copies(source, work) == update_copies(source, work) == []
    copies = sorted(str(path.relative_to(work)) for path in work.rglob("*") if PRIVATE not in path.parts)
    assert copies == ["00.ipynb", START, "images", "images/where.svg"]


def test_a_copy_that_only_ran_follows_the_lab(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    update_copies(source, work)
    (work / "00.ipynb").write_text(notebook("1 + 1", "2"))
    assert update_copies(source, work) == []
    assert '"2"' in (work / "00.ipynb").read_text()
    (source / "00.ipynb").write_text(notebook("2 + 2"))
    assert update_copies(source, work) == []
    assert "2 + 2" in (work / "00.ipynb").read_text()


def test_a_copy_that_a_person_changed_stays_and_the_new_version_is_beside_it(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    update_copies(source, work)
    (work / "00.ipynb").write_text(notebook("mine"))
    assert update_copies(source, work) == []
    (source / "00.ipynb").write_text(notebook("2 + 2"))
    (said,) = update_copies(source, work)
    assert "00.ipynb" in said and "00.new.ipynb" in said
    assert "mine" in (work / "00.ipynb").read_text()
    assert "2 + 2" in (work / "00.new.ipynb").read_text()
    # Said once for each new version.
    assert update_copies(source, work) == []


def test_a_copy_that_is_gone_comes_back_and_a_lost_record_overwrites_nothing(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    update_copies(source, work)
    (work / START).unlink()
    (work / "00.ipynb").write_text(notebook("mine"))
    (work / PRIVATE / "copied.json").write_text("{")
    assert len(update_copies(source, work)) == 1
    assert (work / START).read_text() == "# Start"
    assert "mine" in (work / "00.ipynb").read_text()


def test_it_refuses_the_notebooks_own_folder_and_one_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder of the lab's own files"):
        update_copies(source, source)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Can't write"):
        update_copies(source, tmp_path / "file" / "work")


def test_jupyter_opens_the_start_page_and_its_terminals_find_the_commands(tmp_path: Path) -> None:
    command = jupyter_command(tmp_path, port=8899, open_browser=False)
    assert f"--LabApp.default_url=/lab/tree/{START}" in command
    assert {"--no-browser", "--ServerApp.port=8899"} <= set(command)
    known = jupyter_environment(tmp_path, {"PATH": "/bin", "JUPYTER_CONFIG_PATH": "/etc/jupyter"})
    first, last = known["PATH"].split(os.pathsep)
    assert (Path(first) / "pdk-nb").exists() and last == "/bin"
    config = Path(known["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    overrides = json.loads((config / "labconfig" / "default_setting_overrides.json").read_text())
    assert overrides["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"] == {"markdown": "Markdown Preview"}


def test_the_command_says_where_the_copies_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "--only-copy", "--work", str(tmp_path / "mine")]) == 0
    assert str(tmp_path / "mine") in capsys.readouterr().err
    assert (tmp_path / "mine" / START).exists()


def test_the_start_page_leads_to_every_notebook() -> None:
    folder = find_checkout() / "notebooks"
    targets = re.findall(r"\]\(([^)]+)\)", (folder / START).read_text())
    assert {path.name for path in folder.glob("*.ipynb")} <= set(targets)
    for target in targets:
        assert (folder / target).exists(), target


class Recorded:
    """A stack that notes what it is asked for."""

    stand_in = "a stand-in"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def register(self, commands: object, state: object) -> None:
        pass

    def kubeconfig(self, state_dir: str | None) -> str:
        return ""

    def up(self, state_dir: str | None, progress: object, files: Path) -> tuple[str, bool]:
        self.calls.append(f"up {files}")
        return "", True

    def environment(self, state_dir: str | None) -> dict[str, str]:
        return {"KUBECONFIG": "the stack's"}

    def down(self, state_dir: str | None, progress: object) -> None:
        self.calls.append("down")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, str]]:
    """The environments that JupyterLab was opened with, on a machine without any cluster."""
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(workbench, "open_jupyter", lambda work, environment, **_: seen.append(environment) or 0)
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PDK_STATE_DIR", str(tmp_path / "state"))
    return seen


def test_without_another_cluster_the_stack_runs_as_long_as_jupyterlab(
    opened: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stack = Recorded()
    monkeypatch.setattr(plugin, "installed", lambda: stack)
    own = tmp_path / "mine"
    assert main(["lab", "--dir", str(own)]) == 0
    assert stack.calls == [f"up {own}", "down"]
    assert opened[-1]["KUBECONFIG"] == "the stack's"
    # In a checkout, it runs the checkout's examples; with a cluster, it doesn't run.
    assert main(["lab", "--work", str(tmp_path / "work"), "--with-stack"]) == 0
    assert stack.calls[2:] == [f"up {find_checkout()}", "down"]
    (tmp_path / "kubeconfig").write_text("")
    assert main(["lab", "--dir", str(own), "--kubeconfig", str(tmp_path / "kubeconfig")]) == 0
    assert len(stack.calls) == 4
    assert opened[-1]["KUBECONFIG"] == str(tmp_path / "kubeconfig")


def test_without_cluster_and_stack_it_says_what_to_install(
    opened: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(plugin, "installed", lambda: None)
    assert main(["lab", "--dir", str(tmp_path / "mine")]) == 0
    assert "pip install 'pdk-lab[laptop]'" in capsys.readouterr().err
    assert "KUBECONFIG" not in opened[-1]
    # A kubeconfig that somebody named and that isn't there is an error, not a reason to start something else.
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert main(["lab", "--dir", str(tmp_path / "mine")]) == 1
    assert len(opened) == 1
