"""Both wheels in an empty environment, without a checkout: from the installation to the end of the walkthrough.

``make wheel-test`` runs it. It is skipped unless ``PDK_WHEEL_TESTS`` is set, because it installs gigabytes and takes
minutes. ``PDK_WHEEL_PYTHON`` names another Python, e.g. ``/usr/bin/python3.12``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import ROOT

WANTED, PYTHON = "PDK_WHEEL_TESTS", "PDK_WHEEL_PYTHON"
TIMEOUT_S = 1800

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.wheels,
    pytest.mark.timeout(2 * TIMEOUT_S),
    pytest.mark.skipif(not os.environ.get(WANTED), reason=f"set {WANTED}=1, or run make wheel-test"),
]


def call(*command: str | Path, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a person with an empty home and nothing set."""
    foreign = ("PACH", "DET_", "KUBE", "PDK_", "PYTHON", "VIRTUAL_ENV")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = {**clean, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pdk_nb(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Path:
    """``pdk-nb`` of an environment that has ``pdk-lab[laptop]`` from both wheels, and nothing else."""
    made, source = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("clone") / "pdk-lab"
    environment = tmp_path_factory.mktemp("empty") / "env"
    python = os.environ.get(PYTHON, sys.executable)
    # What is committed: a build in the checkout would leave its own folder there, and take up untracked files.
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", made]
    for project in (source, source / "pdk_stack"):
        subprocess.run([*wheel, project], check=True)
    wanted = ["-c", ROOT / "constraints.txt", "--find-links", made, "pdk-lab[laptop]"]
    uv = shutil.which("uv")
    if uv:
        subprocess.run([uv, "venv", "--quiet", "--python", python, environment], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", environment / "bin" / "python"]
    else:
        subprocess.run([python, "-m", "venv", environment], check=True)
        install = [environment / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, *wanted], check=True)
    return environment / "bin" / "pdk-nb"


def test_the_walkthrough_from_an_empty_folder(pdk_nb: Path, home: Path, tmp_path: Path) -> None:
    call(pdk_nb, "run", "--with-stack", folder=tmp_path, home=home)
    summary = json.loads((tmp_path / "runs" / "latest" / "summary.json").read_text())
    assert summary["status"] == "passed"
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    assert (home / "state" / "pdk-lab" / "stack-options.json").is_file()


def test_a_folder_of_ones_own(pdk_nb: Path, home: Path, tmp_path: Path) -> None:
    call(pdk_nb, "lab", "--only-copy", folder=tmp_path, home=home)
    own = tmp_path / "pdk-lab"
    call(pdk_nb, "up", folder=own, home=home)
    try:
        call(pdk_nb, "run", "--only", "00", folder=own, home=home)
        call(pdk_nb, "experiment", "tuning", folder=own, home=home)
        assert (own / "tuning" / "const.yaml").is_file()
        answer = call(pdk_nb, "predict", own / "sample-data" / "pred" / "cat.1003.jpg", folder=own, home=home)
        assert "cat" in answer.stdout
    finally:
        call(pdk_nb, "down", "--purge", folder=own, home=home)
