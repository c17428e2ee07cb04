"""The command line: quick, helpful, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pdk_nb.cli import SECTIONS, build_parser, main


def test_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "pdk_nb.cli", "--help"], capture_output=True, text=True, check=True)
    assert "Jupyter notebooks" in done.stdout
    for command in ("up", "down", "status", "env", "run", "reset", "predict", "img2json"):
        assert f"\n  {command} " in done.stdout


def test_the_help_page_has_each_command_in_one_section() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    commands = next(each for each in build_parser()._actions if isinstance(each.choices, dict)).choices
    assert sorted(listed) == sorted(commands or ())


def test_without_a_command_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "embedded stack:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shell", "says"), [("bash", "complete -o"), ("zsh", "compdef"), ("fish", "complete --command")]
)
def test_shells_get_completion(shell: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert says in capsys.readouterr().out


def test_the_shell_is_offered_commands() -> None:
    line = "pdk-nb te"
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    command = f"exec 8>&1; exec {sys.executable} -m pdk_nb.cli"
    done = subprocess.run(["bash", "-c", command], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.stdout.split() == ["tensorboard"]


def test_a_path_that_does_not_exist_is_said_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--with-stack", "-p", "data1=/typo"]) == 2
    assert "There is no file or folder /typo" in capsys.readouterr().err


def test_help_loads_no_platform_client() -> None:
    code = "import sys, pdk_nb.cli; pdk_nb.cli.build_parser().format_help(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "kserve", "kubernetes", "determined", "python_pachyderm", "matplotlib", "papermill", "grpc"}
    assert not heavy & set(done.stdout.split())


def test_a_kubeconfig_that_does_not_exist_ends_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "cat.jpg", "--kubeconfig", str(tmp_path / "nope")]) == 1
    said = capsys.readouterr().err
    assert "doesn't exist" in said
    assert "what to do" in said


@pytest.mark.parametrize("value", ["nothing", "=x"])
def test_parameters_must_be_pairs(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-p", value]) == 2
    assert "NAME=VALUE" in capsys.readouterr().err


def test_small_and_files_reach_the_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    given: dict[str, object] = {}

    def run(*places: object, **options: object) -> SimpleNamespace:
        given.update(options)
        return SimpleNamespace(status="passed", notebooks=[SimpleNamespace(name="06-second-arrival")])

    monkeypatch.setattr("pdk_nb.run.runner.run", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "config").write_text("apiVersion: v1")
    arguments = ["run", "--small", "-p", "data1=pictures", "-p", "min_right=3", "--kubeconfig", "config"]
    assert main(arguments) == 0
    # Kernels run in another folder than the person.
    assert given["parameters"] == {"data1": str(tmp_path / "pictures"), "min_right": "3", "small": "true"}


def test_status_and_env_of_no_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state-dir", str(tmp_path), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["ready"] is False
    assert main(["env", "--state-dir", str(tmp_path)]) == 1
    assert "pdk-nb up" in capsys.readouterr().err
    assert main(["down", "--state-dir", str(tmp_path)]) == 0


def test_a_port_must_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--state-dir", str(tmp_path), "--port", "kubernetes.api=many"]) == 2
    assert "not a TCP port" in capsys.readouterr().err


def test_every_command_has_a_help_text() -> None:
    commands = build_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    assert commands is not None
    for parser in commands.values():
        assert parser.format_help()
