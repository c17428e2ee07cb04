"""The notebooks for an example: the same steps, with the words and cells that its task and the example itself bring.

The notebooks of the checkout are those of the default example. A task's ``notebooks.yaml`` replaces cells by number of
the notebook and id of the cell, or leaves them out (null); an example's own ``notebooks.yaml`` comes after it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pdk_nb.example import DEFAULT, DEFAULT_TASK, Example
from pdk_shared.errors import SpecError

__all__ = ["CHANGES", "adapt", "changes_for", "write"]

CHANGES = "notebooks.yaml"
# The parameter that names the example; in its own notebooks, it does so by default.
PARAMETER = 'example: str = ""  # folder under examples/; empty: PDK_EXAMPLE, or dog-cat'

Changes = Mapping[str, Mapping[str, "str | None"]]


def changes_for(example: Example) -> dict[str, dict[str, str | None]]:
    """Text of cells by number of the notebook and id of the cell; None for a cell that is left out.

    Args:
        example: The example.

    Raises:
        SpecError: A file isn't of this form.
    """
    found: dict[str, dict[str, str | None]] = {}
    if example.task != DEFAULT_TASK:
        for number, cells in _read(Path(__file__).parent / example.task.replace("-", "_") / CHANGES).items():
            found[number] = dict(cells)
    own = example.folder / CHANGES
    if own.is_file():
        for number, cells in _read(own).items():
            found.setdefault(number, {}).update(cells)
    return found


def _read(path: Path) -> Changes:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(f"The notebooks' changes can't be read: {error}", where=str(path)) from error
    fine = isinstance(content, dict) and all(isinstance(cells, dict) for cells in content.values())
    if not fine:
        raise SpecError(
            "The notebooks' changes aren't cells by number.", where=str(path), fix='"01": {title: the cell\'s text}'
        )
    return {str(number): cells for number, cells in content.items()}


def adapt(notebook: dict[str, Any], cells: Mapping[str, str | None], example: str) -> dict[str, Any]:
    """A notebook with other cells.

    Args:
        notebook: The notebook's JSON.
        cells: Text by id of the cell; None leaves it out.
        example: Default of the parameter ``example``.

    Raises:
        SpecError: The notebook has no cell of an id.
    """
    unknown = sorted(set(cells) - {cell["id"] for cell in notebook["cells"]})
    if unknown:
        raise SpecError(f"The notebook has no cell '{unknown[0]}'.", where=CHANGES)
    made = []
    for cell in notebook["cells"]:
        text = cells.get(cell["id"], "".join(cell["source"]))
        if text is None:
            continue
        text = text.rstrip("\n").replace(PARAMETER, f'example: str = "{example}"  # folder under examples/')
        made.append({**cell, "source": text.splitlines(keepends=True)})
    return {**notebook, "cells": made}


def write(source: Path, into: Path, example: Example) -> Path:
    """Write the notebooks of an example, and what they show.

    Args:
        source: The checkout's ``notebooks``.
        into: A folder; it's made if it doesn't exist.
        example: The example.

    Returns:
        The folder; ``source`` itself for the default example, which needs no other notebooks.

    Raises:
        SpecError: The changes don't fit the notebooks.
    """
    if example.name == DEFAULT:
        return source
    changes = changes_for(example)
    shutil.copytree(source, into, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    for path in into.glob("[0-9][0-9]-*.ipynb"):
        number = path.name[:2]
        cells = changes.get(number)
        if cells is None and number in changes.get("without", {}):
            path.unlink()
            continue
        made = adapt(json.loads(path.read_text(encoding="utf-8")), cells or {}, example.name)
        path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return into
