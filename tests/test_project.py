"""The project's own files agree with each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def test_the_conda_environment_lists_nothing_of_its_own() -> None:
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, through_pip = content["dependencies"]
    assert re.fullmatch(r"python=3\.\d+", python)
    assert pip == "pip"
    assert through_pip == {"pip": ["-c constraints.txt", "-e .[all,dev]", "-e ./pdk_stack"]}


def test_containers_and_binder_use_the_same_environment() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make setup"
    assert "python:3.11" in container["image"]
    installed = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    assert installed == ["-c ../constraints.txt", ".[all]", "./pdk_stack"]
    assert (ROOT / "binder" / "runtime.txt").read_text().strip() == "python-3.11"
    start = ROOT / "binder" / "start"
    assert os.access(start, os.X_OK)
    assert subprocess.run(["bash", "-n", str(start)], capture_output=True).returncode == 0


def test_every_constraint_is_one_exact_version() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ]+", line), line


def test_the_pins_that_matter_are_the_same_in_both_files() -> None:
    constraints = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    versions = set()
    for folder in (ROOT, ROOT / "pdk_stack"):
        project = (folder / "pyproject.toml").read_text()
        versions.add(re.findall(r'^version = "(.+)"', project, re.M)[0])
        for name, version in re.findall(r'"([a-z-]+)(?:\[[a-z]+\])?==([0-9.]+)"', project):
            # The two distributions of this repository are released together.
            assert (version in versions) if name == "pdk-lab" else constraints[name] == version, name
    assert len(versions) == 1
    # kserve 0.13.1 cannot create objects with 37.
    assert 35 <= int(constraints["kubernetes"].split(".")[0]) < 37


def test_no_tracked_file_names_a_machine_of_ours() -> None:
    pattern = re.compile(r"/(?:work|farm)/[a-z]|/root/\.pyenv|file:///opt/")
    for path in tracked():
        if path.suffix in (".py", ".md", ".yml", ".yaml", ".toml", ".json", ".sh", ".txt", ".ipynb", "") and (
            path != Path(__file__)
        ):
            assert not pattern.search(path.read_text(errors="ignore")), path


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in (
        "make run",
        "make lab",
        "make test",
        "make clean",
        "pdk-nb up",
        "pdk-nb run",
        "pdk-nb predict",
        "pdk-nb lineage",
    ):
        assert command in readme, command


def test_pictures_of_the_documentation_are_there_described_and_small() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for description, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text()):
            assert description, f"{page.name}: {target}"
            assert (page.parent / target).stat().st_size < 200_000, f"{page.name}: {target}"
