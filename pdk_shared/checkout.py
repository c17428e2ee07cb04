"""Where the lab's own files lie: notebooks, examples, sample data, the images' code.

They are at the top of a checkout, in a wheel (``setup.py`` puts them there), and in the folders that ``pdk-nb lab``
makes for people without a checkout.
"""

from __future__ import annotations

from pathlib import Path

from pdk_shared.errors import UsageError

__all__ = ["find_checkout", "find_source", "is_own_folder", "shipped"]

#: The lab's files inside the wheel, beside this module.
MATERIAL = "material"


def find_checkout(start: Path | None = None) -> Path:
    """The folder of the lab's files: the images' code, the examples, and the notebooks.

    Looks upward from ``start`` (the working folder), and then for those that came with the package.

    Raises:
        UsageError: There is none.
    """
    here = (start or Path.cwd()).resolve()
    for candidate in (here, *here.parents, shipped()):
        if _has_files(candidate):
            return candidate
    raise UsageError(
        "Can't find the lab's files.",
        where=str(here),
        fix="Run this inside the folder that holds images/, examples/ and notebooks/, or: pip install pdk-lab",
    )


def find_source(start: Path | None = None) -> Path:
    """The lab's checkout, with the source of its packages.

    Raises:
        UsageError: The lab's files are a wheel's, or a person's copy of them.
    """
    found = find_checkout(start)
    if (found / "pdk_shared").is_dir():
        return found
    raise UsageError("This is no checkout of the lab's source.", where=str(found))


def shipped() -> Path:
    """The lab's files that belong to the running code: those of its checkout, or those in its wheel."""
    package = Path(__file__).resolve().parent
    return package.parent if _has_files(package.parent) else package / MATERIAL


def is_own_folder(folder: Path) -> bool:
    """Whether a folder of the lab's files is a person's to write in: not the installed package's."""
    return folder.resolve() != Path(__file__).resolve().parent / MATERIAL


def _has_files(folder: Path) -> bool:
    return (folder / "images" / "train").is_dir() and (folder / "examples").is_dir()
