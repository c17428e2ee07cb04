"""The GitHub Action: its files fit each other, and its last step starts the stack and masks what is secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdk_stack import stack
from tests.support.command_line import pdk_nb

ROOT = Path(__file__).resolve().parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
SCRIPT = ROOT / ".github" / "start-stack.sh"


def test_the_actions_inputs_are_used_and_those_that_are_used_exist() -> None:
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    # A step of a composite action doesn't get the inputs as variables: it names them in env.
    used |= {"images"} if "IMAGES" in ACTION["runs"]["steps"][-1]["env"] else set()
    assert used >= set(ACTION["inputs"]) - {"images"}
    assert used <= set(ACTION["inputs"])
    assert all(step["shell"] == "bash" for step in ACTION["runs"]["steps"] if "run" in step)
    workflow = yaml.safe_load((ROOT / "examples-of-use/word-count/.github/workflows/test.yml").read_text())
    (given,) = [step["with"] for step in workflow["jobs"]["pipelines"]["steps"] if "with" in step]
    assert set(given) <= set(ACTION["inputs"])


def test_no_expression_gets_into_a_shell() -> None:
    """An input in a script would be code; in a variable, it's text."""
    for path in (ROOT / "action.yml", *(ROOT / ".github" / "workflows").glob("*.yml")):
        content = yaml.safe_load(path.read_text())
        jobs = content["jobs"].values() if "jobs" in content else [content["runs"]]
        for step in (step for job in jobs for step in job["steps"]):
            assert not re.search(r"\$\{\{ *(inputs|github\.(event|head_ref|ref_name))", step.get("run", "")), path


def test_the_last_step_starts_the_stack_and_tells_later_steps_where_it_is(tmp_path: Path) -> None:
    state, folder = tmp_path / "state", tmp_path / "word-count"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PACH", "DET_", "KUBE"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PDK_STATE_DIR": str(state),
        "IMAGES": f"\n  word-count = {folder}  \n",
        "GITHUB_ENV": str(tmp_path / "env"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    try:
        done = subprocess.run(
            ["bash", str(SCRIPT)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        expected = {**stack.environment(state), "PDK_STATE_DIR": str(state)}
        told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
        assert told == expected
        password = expected["DET_PASS"]
        # The runner hides it from here on; nothing printed it before, and nothing else prints it.
        shown = [line for line in (done.stdout + done.stderr).splitlines() if password in line]
        assert set(shown) == {f"::add-mask::{password}"}
        assert (tmp_path / "output").read_text() == f"kubeconfig={expected['KUBECONFIG']}\n"
        assert str(folder) in (state / "images.json").read_text()
    finally:
        pdk_nb("down", "--state-dir", str(state))


@pytest.mark.parametrize("images", ["word-count", "word-count = /nowhere/at/all"])
def test_a_wrong_image_ends_the_step(images: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PDK_STATE_DIR": str(tmp_path / "state"),
        "IMAGES": images,
        "GITHUB_ENV": str(tmp_path / "env"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    done = subprocess.run(["bash", str(SCRIPT)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "word-count" in done.stderr
