"""What is shipped: the lab's wheel and the images hold the lab and no line of the embedded stack."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("train", "deploy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The lab's wheel, built from what git knows alone."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        # What was deleted and not yet committed is not shipped either.
        if (ROOT / name).is_file() and name.startswith(("pdk_", "pyproject.toml", "README.md", "LICENSE")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(made), str(source)], check=True, capture_output=True, timeout=300)
    return zipfile.ZipFile(next(made.glob("pdk_lab-*.whl")))


def test_the_wheel_has_the_lab_and_nothing_of_the_stack(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    assert {"pdk_nb/lab.py", "pdk_nb/py.typed", "pdk_shared/errors.py"} <= set(names)
    packages = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert packages == {"pdk_nb", "pdk_shared"}
    for name in names:
        if name.endswith(".py"):
            assert not re.search(r"^\s*(from|import) pdk_stack", wheel.read(name).decode(), re.M), name


def test_the_wheel_has_every_module_and_what_lies_beside_it(wheel: zipfile.ZipFile) -> None:
    shipped = set(wheel.namelist())
    for package in ("pdk_nb", "pdk_shared"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix in (".py", ".css", ".js", ".j2"):
                assert str(path.relative_to(ROOT)) in shipped


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_copies_nothing_of_the_stack(stage: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "images" / stage / "Dockerfile").read_text(), re.M)
    sources = {source.split("/")[0] for line in copied for source in line.split()[:-1]}
    assert {"pdk_nb", "pdk_shared"} <= sources
    assert "pdk_stack" not in sources
    sent = (ROOT / ".dockerignore").read_text().split()
    assert "*" in sent and "!pdk_stack" not in sent
