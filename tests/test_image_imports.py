"""The images' programs start with what the images install: the named extras, and nothing else of this environment."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
# What the Dockerfiles run themselves before they call an image good, by image.
PROGRAMS = {
    "train": ["images/train/train.py --help"],
    "deploy": ["images/deploy/deploy.py --help", "images/deploy/classify.py --help"],
    "console": ["-m pdk_nb.cli ui --help", "-c import pdk_nb.console.web, pdk_nb.console.server, uvicorn"],
}
# Runs a program as python itself would, while packages that the image lacks cannot be found.
RUNNER = """
import importlib.abc, runpy, sys
absent = set(sys.argv.pop(1).split(","))
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r} in the image", name=name)
sys.meta_path.insert(0, Absent())
kind, *rest = sys.argv[1:]
if kind == "-c":
    exec(rest[0])
elif kind == "-m":
    sys.argv = rest
    runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
else:
    sys.argv = [kind, *rest]
    runpy.run_path(kind, run_name="__main__")
"""


def extras_of(image: str) -> list[str]:
    """The extras of ``pyproject.toml`` whose packages an image's Dockerfile installs."""
    dockerfile = (ROOT / "images" / image / "Dockerfile").read_text()
    found = re.search(r"requirements\.py pyproject\.toml (.+) > /requirements\.txt", dockerfile)
    assert found, f"images/{image}/Dockerfile installs in another way"
    return found[1].split()


def needed(names: list[str]) -> set[str]:
    """Distributions that these extras bring, with all that those need."""
    printed = subprocess.run(
        [sys.executable, "images/requirements.py", "pyproject.toml", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    waiting = [Requirement(line) for line in printed.splitlines()]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if key in done:
            continue
        done.add(key)
        try:
            following = metadata.requires(requirement.name) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or version of Python
        for each in map(Requirement, following):
            wanted = [""] if not requirement.extras else ["", *requirement.extras]
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in wanted):
                waiting.append(each)
    # The images' base has pip and setuptools.
    return {name for name, _ in done} | {"pip", "setuptools"}


def absent_from(image: str) -> Iterator[str]:
    """Top-level modules of this environment that an image doesn't have."""
    there = needed(extras_of(image))
    for module, owners in metadata.packages_distributions().items():
        if module.split(".")[0] not in ("pdk_nb", "pdk_shared") and not {canonicalize_name(n) for n in owners} & there:
            yield module


@pytest.mark.parametrize("image", PROGRAMS)
def test_an_images_programs_start_with_what_it_installs(image: str) -> None:
    absent = sorted(absent_from(image))
    assert {"pytest", "jupyterlab", "kserve"} & set(absent), "nothing would be refused"
    for program in PROGRAMS[image]:
        words = program.split(maxsplit=1) if program.startswith("-c") else program.split()
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, ",".join(absent), *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{program}: {done.stderr[-2000:]}"
