"""Where the lab's own files lie: notebooks, examples, sample data, the images' code."""

from __future__ import annotations

from pathlib import Path

from pdk_shared.errors import UsageError


def find_checkout(start: Path | None = None) -> Path:
    """The lab's checkout: the folder that holds the images' code, the examples and the notebooks.

    Looks upward from ``start`` (the working folder), then beside the package.

    Raises:
        UsageError: Neither is inside a checkout.
    """
    here = (start or Path.cwd()).resolve()
    for candidate in (here, *here.parents, Path(__file__).resolve().parents[1]):
        if (candidate / "images" / "train").is_dir() and (candidate / "examples").is_dir():
            return candidate
    raise UsageError(
        "Can't find the lab's checkout.",
        where=str(here),
        fix="Run this inside the folder that holds images/, examples/ and notebooks/.",
    )
