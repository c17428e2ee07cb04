"""Adds the lab's own files to its wheel: the notebooks, examples, and build contexts that lie beside the packages.

A checkout holds each of them once, at its top level. In a wheel they are ``pdk_shared/material``, where
:func:`pdk_shared.checkout.find_checkout` finds them. Everything else about the distribution is in ``pyproject.toml``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: What the commands and notebooks read; `pyproject.toml` and `constraints.txt` are part of the images' build contexts.
MATERIAL = (
    *("cluster", "examples", "images", "notebooks", "sample-data"),
    *("LICENSE", "README.md", "constraints.txt", "pyproject.toml"),
)
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


class BuildWithMaterial(build_py):
    """``build_py`` that copies the lab's files into ``pdk_shared/material``."""

    def run(self) -> None:
        """Copy the packages, then the files. A build context without them (an image's) makes a wheel without them."""
        super().run()
        if self.editable_mode:
            return  # the checkout itself has the files
        target = Path(self.build_lib) / "pdk_shared" / "material"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MATERIAL:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=IGNORED)
            elif source.is_file():
                shutil.copyfile(source, target / name)


setup(cmdclass={"build_py": BuildWithMaterial})
