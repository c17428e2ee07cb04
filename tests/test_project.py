"""The project's own files agree with each other."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pdk_nb import RELEASE

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
    assert through_pip == {"pip": ["-c constraints.txt", "-e .[all]", "-e ./pdk_stack"]}


def test_containers_and_binder_use_the_same_environment() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make setup"
    # The port's own page lacks the token; JupyterLab opens the browser at the address that has it.
    assert container["portsAttributes"]["8888"]["onAutoForward"] == "silent"
    folder = container["remoteEnv"]["JUPYTER_CONFIG_PATH"].replace("${containerWorkspaceFolder}", str(ROOT))
    server = json.loads((Path(folder) / "jupyter_server_config.json").read_text())
    assert server == {"ServerApp": {"use_redirect_file": False}}
    assert "python:3.11" in container["image"]
    installed = (ROOT / "binder" / "requirements.txt").read_text().splitlines()
    # Editable: the notebooks need the checkout's examples, and pipelines clone it. Binder has no GPU.
    index = "--extra-index-url https://download.pytorch.org/whl/cpu"
    assert installed == [index, "-c ../constraints.txt", "-e .[all]", "-e ./pdk_stack"]
    assert (ROOT / "binder" / "runtime.txt").read_text().strip() == "python-3.11"
    start = ROOT / "binder" / "start"
    assert os.access(start, os.X_OK)
    assert subprocess.run(["bash", "-n", str(start)], capture_output=True).returncode == 0


PYTHONS = ("3.10.0", "3.11.2", "3.11.9", "3.12.0", "3.13.0")


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def pinned(python: str, platform: str = "linux") -> dict[str, str]:
    """The version of each package on a version of Python."""
    minor = python.rpartition(".")[0]
    given = {"python_version": minor, "python_full_version": python, "sys_platform": platform}
    found: dict[str, str] = {}
    for each in pins():
        if each.marker is None or each.marker.evaluate(given):
            name = canonicalize_name(each.name)
            assert name not in found, f"{name} has two versions on Python {python}"
            found[name] = next(iter(each.specifier)).version
    return found


def declared(folder: Path) -> dict[str, Any]:
    """The table ``project`` of a ``pyproject.toml``."""
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    return dict(tomllib.loads((folder / "pyproject.toml").read_text())["project"])


def test_the_lock_is_as_new_as_the_dependencies() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "lock.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_constraint_is_one_exact_version() -> None:
    for each in pins():
        (specifier,) = each.specifier
        assert specifier.operator == "==" and not specifier.version.endswith(".*"), str(each)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_every_version_of_python_has_a_pin_of_each_dependency(python: str, platform: str) -> None:
    versions = pinned(python, platform)
    given = {"python_version": python.rpartition(".")[0], "python_full_version": python, "sys_platform": platform}
    for folder in (ROOT, ROOT / "pdk_stack"):
        project = declared(folder)
        assert python in SpecifierSet(project["requires-python"])
        for text in [*project["dependencies"], *sum(project.get("optional-dependencies", {}).values(), [])]:
            wanted = Requirement(text)
            if wanted.name.startswith("pdk-lab") or (wanted.marker and not wanted.marker.evaluate(given)):
                continue
            assert versions[canonicalize_name(wanted.name)] in wanted.specifier, f"{text} on Python {python}"


def test_what_is_not_on_newer_versions_of_python() -> None:
    # docs/install.md says so in a table.
    older, newer = pinned("3.11.9"), pinned("3.13.0")
    assert {"kserve", "ray"} <= older.keys() and not {"kserve", "ray", "fastapi", "pandas"} & newer.keys()
    assert {each for each in older if each.startswith("torch")} <= newer.keys()


def test_the_ground_floor_of_the_images_is_part_of_what_people_have() -> None:
    project = declared(ROOT)
    people = {line.partition(";")[0] for line in project["dependencies"]}
    assert set(project["optional-dependencies"]["core"]) <= people


def test_both_distributions_are_released_together() -> None:
    for name, folder in (("pdk-lab-stack", ROOT), ("pdk-lab", ROOT / "pdk_stack")):
        project = declared(folder)
        assert project["dynamic"] == ["version"]  # from git's tags
        # Copies without history are the release that the code becomes.
        fallback = re.search(r'^fallback[-_]version = "(.+)"$', (folder / "pyproject.toml").read_text(), re.M)
        assert fallback and fallback[1] == RELEASE
        texts = [*project["dependencies"], *project.get("optional-dependencies", {}).get("laptop", [])]
        (needed,) = [each for each in map(Requirement, texts) if each.name == name]
        major, minor, _ = map(int, RELEASE.split("."))
        for version in (RELEASE, f"{major}.{minor}.0.dev1+g0", f"{major}.{minor}.9"):
            assert version in needed.specifier, needed
        assert f"{major}.{minor + 1}.0" not in needed.specifier
    for stage in ("train", "deploy"):
        assert f"ARG VERSION={RELEASE}\n" in (ROOT / "images" / stage / "Dockerfile").read_text()
    # kserve 0.13.1 cannot create objects with 37.
    assert 35 <= int(pinned("3.11.9")["kubernetes"].split(".")[0]) < 37


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
