"""The plugin for pytest: other people's tests on the embedded stack, as they run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pdk_shared.announcement import is_held
from pdk_shared.errors import StackError, UsageError
from pdk_stack import client_files, stack
from pdk_stack.commands import wanted_images
from pdk_stack.paths import StatePaths

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples-of-use" / "word-count"
CLIENTS = """
import os, subprocess

def test_clients(pdk_stack):
    assert pdk_stack.pachyderm.get_remote_version().major == 2
    assert [each.name for each in pdk_stack.determined.list_workspaces()]
    from kubernetes import client
    names = [each.metadata.name for each in client.CoreV1Api(pdk_stack.kubernetes).list_namespace().items]
    assert "models" in names
    assert "KUBECONFIG" not in os.environ

def test_environment(pdk_environment):
    assert os.environ["KUBECONFIG"] == str(pdk_environment.kubeconfig)
    import python_pachyderm
    assert python_pachyderm.Client().get_remote_version().major == 2
"""


def run_tests(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder, without a cluster; ``-p`` works before the entry point is installed, too."""
    names = ("PACH", "DET_", "KUBE", "PDK_", "PYTEST")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(names)}
    command = [sys.executable, "-m", "pytest", "-p", "pdk_stack.pytest_plugin", "-p", "no:cacheprovider", *arguments]
    paths = os.pathsep.join(filter(None, (str(ROOT), clean.get("PYTHONPATH", ""))))
    return subprocess.run(
        command,
        cwd=folder,
        env={**clean, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_example_of_use_passes_and_leaves_nothing_running(tmp_path: Path) -> None:
    folder = tmp_path / "word-count"
    shutil.copytree(EXAMPLE, folder)
    done = run_tests(folder, f"--basetemp={tmp_path / 'temp'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    lock = tmp_path / "temp" / "pdk-stack0" / "lock"
    assert lock.is_file() and not is_held(lock)


def test_the_example_of_use_notices_a_wrong_program(tmp_path: Path) -> None:
    folder = tmp_path / "word-count"
    shutil.copytree(EXAMPLE, folder)
    program = folder / "images" / "word-count" / "count.py"
    program.write_text(program.read_text().replace(".lower()", ""))
    done = run_tests(folder, "-k", "case", f"--basetemp={tmp_path / 'temp'}")
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout


def test_a_stack_that_runs_already_is_used_and_left(shared_stack: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "test_clients.py").write_text(CLIENTS)
    state = shared_stack["state_dir"]
    for arguments, environment in (((), {"PDK_STATE_DIR": state}), (("--pdk-state-dir", state), {})):
        done = run_tests(tmp_path, *arguments, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        assert stack.addresses(StatePaths(Path(state)))["pachd"] == shared_stack["pachd"]


def test_tests_that_ask_for_no_stack_start_none(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    done = run_tests(tmp_path, PDK_STATE_DIR=str(tmp_path / "state"))
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "state").exists()


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\npdk_images =\n    word-count\n")
    (tmp_path / "test_it.py").write_text("def test_it(pdk_stack):\n    pass\n")
    done = run_tests(tmp_path)
    assert done.returncode != 0
    assert "'word-count' is not NAME = FOLDER" in done.stdout + done.stderr


def test_images_are_added_to_those_of_the_state_folder(tmp_path: Path) -> None:
    paths = StatePaths(tmp_path / "state")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        client_files.add_images(paths, {name: tmp_path / name})
    known = json.loads(paths.own_images.read_text())
    assert {name: entry["workdir"] for name, entry in known.items()} == {
        "one": str(tmp_path / "one"),
        "two": str(tmp_path / "two"),
    }
    with pytest.raises(UsageError, match="three doesn't exist"):
        client_files.add_images(paths, {"three": tmp_path / "three"})
    assert json.loads(paths.own_images.read_text()) == known


def test_a_running_stack_takes_no_images(shared_stack: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(StackError, match="only when it starts"):
        stack.up(shared_stack["state_dir"], images={"one": tmp_path})


@pytest.mark.parametrize("text", ["one", "=folder", "one=", "registry/one=folder", "one:1.0=folder"])
def test_flags_for_images_are_checked(text: str) -> None:
    with pytest.raises(UsageError):
        wanted_images([text])


def test_a_folder_may_contain_an_equals_sign() -> None:
    assert wanted_images(["one=a=b"]) == {"one": Path("a=b")}
