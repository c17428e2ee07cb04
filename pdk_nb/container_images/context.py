"""What a container tool builds an image from: a checkout, or its equal made of an installed package and its files."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pdk_nb
import pdk_shared
from pdk_shared.checkout import MATERIAL, shipped

__all__ = ["build_context", "context_file"]

PACKAGES = (pdk_nb, pdk_shared)
# Beside the packages and the person's own images and examples.
SHIPPED = ("LICENSE", "README.md", "constraints.txt", "pyproject.toml")
FOLDERS = ("cluster", "examples", "images")


def context_file(checkout: Path, name: str) -> Path:
    """A file of the build context, in a checkout or among the files that came with the package."""
    return checkout / name if (checkout / name).exists() else shipped() / name


@contextlib.contextmanager
def build_context(checkout: Path) -> Iterator[Path]:
    """The folder that the Dockerfiles copy from.

    Args:
        checkout: The lab's checkout, or a folder that ``pdk-nb lab`` made: images and examples are taken from there,
            and the package's source from where it is installed.
    """
    if (checkout / "pdk_shared").is_dir():
        yield checkout
        return
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", MATERIAL)
    with tempfile.TemporaryDirectory(prefix="pdk-images-") as scratch:
        context = Path(scratch)
        for package in PACKAGES:
            shutil.copytree(Path(str(package.__file__)).parent, context / package.__name__, ignore=ignored)
        for name in SHIPPED:
            shutil.copyfile(shipped() / name, context / name)
        for name in FOLDERS:
            if (checkout / name).is_dir():
                shutil.copytree(checkout / name, context / name, ignore=ignored)
        yield context
