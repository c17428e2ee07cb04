"""What is shipped: the lab's wheel and the images hold the lab and no line of the embedded stack. The wheel brings the
notebooks and examples along, so that nobody needs a checkout. ``make wheel-test`` tries both wheels as a whole."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from pdk_nb.container_images import context
from pdk_nb.workbench import FOLDERS
from pdk_shared.checkout import MATERIAL, find_checkout, find_source, is_own_folder, shipped
from pdk_shared.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("train", "deploy")


# At the top of the checkout, and in the wheel below pdk_shared/material (setup.py).
FILES = (*FOLDERS, *context.SHIPPED)


def tracked() -> list[str]:
    """What git knows and is still there: what was deleted and not yet committed is not shipped either."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The lab's wheel, built from what git knows alone."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if name.startswith(("pdk_nb/", "pdk_shared/", "setup.py")) or name.split("/")[0] in FILES:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    return build(source, made)


def build(source: Path, made: Path) -> zipfile.ZipFile:
    """Build a wheel; an environment without the build tools gets them from the package index."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made)]
    tools = all(importlib.util.find_spec(each) for each in ("hatchling", "hatch_vcs", "setuptools_scm"))
    if tools and Version(importlib.metadata.version("setuptools")) >= Version("77"):
        command.append("--no-build-isolation")
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(made.glob("*.whl")))


def test_the_stack_has_a_wheel_of_its_own_with_every_file(tmp_path: Path) -> None:
    for name in tracked():
        if name.startswith("pdk_stack/"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / name)
    names = build(tmp_path / "pdk_stack", tmp_path / "made").namelist()
    own = {name for name in names if ".dist-info/" not in name}
    assert own == {name for name in tracked() if name.startswith("pdk_stack/")}
    assert any(name.endswith("entry_points.txt") for name in names)


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
    assert {name for name in tracked() if name.startswith(("pdk_nb/", "pdk_shared/"))} <= shipped


def test_the_wheel_has_the_notebooks_the_examples_and_all_that_the_images_are_built_from(
    wheel: zipfile.ZipFile,
) -> None:
    prefix = f"pdk_shared/{MATERIAL}/"
    shipped = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    assert shipped == {name for name in tracked() if name.split("/")[0] in FILES}
    assert f"{prefix}notebooks/START.md" in wheel.namelist()


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files as an installer lays them out, read-only."""
    site = tmp_path_factory.mktemp("site")
    wheel.extractall(site)
    for path in (site, *site.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return site


def run(installed: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``pdk-nb`` of the installed wheel, in a folder outside of any checkout."""
    code = "import sys; from pdk_nb.cli import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    for name in ("PDK_STATE_DIR", "KUBECONFIG"):
        environment.pop(name, None)
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_without_a_checkout_a_person_works_in_a_folder_of_their_own(installed: Path, tmp_path: Path) -> None:
    first = run(installed, tmp_path, "lab", "--only-copy")
    own = tmp_path / "pdk-lab"
    assert (first.returncode, str(own / "notebooks") in first.stderr) == (0, True), first.stderr
    assert {path.name for path in own.iterdir() if not path.name.startswith(".")} == set(FOLDERS)
    # Changed, and an older version of the lab: the change stays, everything else follows.
    changed, old = own / "examples" / "dog-cat" / "example.yaml", own / "notebooks" / "START.md"
    changed.write_text(changed.read_text() + "# mine\n")
    old.unlink()
    again = run(installed, own / "notebooks", "lab", "--only-copy")
    assert again.returncode == 0, again.stderr
    assert changed.read_text().endswith("# mine\n") and old.is_file()
    assert not (own / "notebooks" / "pdk-lab").exists()
    full = run(installed, tmp_path, "lab", "--only-copy", "--dir", str(tmp_path))
    assert full.returncode == 2 and "has other files" in full.stderr


def test_without_a_checkout_images_are_built_in_a_folder_of_ones_own(installed: Path, tmp_path: Path) -> None:
    told = run(installed, tmp_path, "images", "push", "train")
    assert told.returncode == 2 and "pdk-nb lab --only-copy --dir" in told.stderr
    assert run(installed, tmp_path, "lab", "--only-copy").returncode == 0
    told = run(installed, tmp_path / "pdk-lab", "images", "push", "train")
    assert told.returncode == 2 and "There is no build of train yet" in told.stderr


def test_without_a_checkout_the_images_have_the_same_context(installed: Path, tmp_path: Path) -> None:
    assert run(installed, tmp_path, "lab", "--only-copy").returncode == 0
    code = (
        "import sys, pathlib; from pdk_nb.container_images.context import build_context\n"
        "with build_context(pathlib.Path('pdk-lab').resolve()) as made:\n"
        "    print('\\n'.join(str(each.relative_to(made)) for each in made.rglob('*') if each.is_file()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    parts = ("pdk_nb", "pdk_shared", *context.FOLDERS, *context.SHIPPED)
    assert set(done.stdout.split()) == {name for name in tracked() if name.split("/")[0] in parts}


def test_a_checkout_has_its_files_and_state_of_its_own(tmp_path: Path) -> None:
    assert find_checkout() == find_source() == shipped() == ROOT
    assert is_own_folder(ROOT)
    for name in ("images/train", "examples"):
        (tmp_path / name).mkdir(parents=True)
    assert find_checkout(tmp_path / "examples") == tmp_path
    with pytest.raises(UsageError, match="no checkout"):
        find_source(tmp_path)


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_copies_nothing_of_the_stack(stage: str) -> None:
    copied = re.findall(r"^COPY (?!--from)(.+)$", (ROOT / "images" / stage / "Dockerfile").read_text(), re.M)
    sources = {source.split("/")[0] for line in copied for source in line.split()[:-1]}
    assert {"pdk_nb", "pdk_shared"} <= sources
    assert "pdk_stack" not in sources
    sent = (ROOT / ".dockerignore").read_text().split()
    assert "*" in sent and "!pdk_stack" not in sent
