"""Notebook files: their order, their parameters, and the results of their cells."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdk_shared.errors import UsageError

__all__ = [
    "CLEAN_UP",
    "ELECTIVES",
    "check_parameters",
    "failed_cell",
    "find_notebooks",
    "incomplete_cell",
    "parameters_of",
]

VALUE_TYPES = ("str", "bool", "int", "float")
# The notebook that removes what the others created.
CLEAN_UP = "99"
# Notebooks that the others don't need; they run only when somebody asks for them.
ELECTIVES = frozenset({"07", "08"})


def find_notebooks(
    folder: Path,
    first: str | None = None,
    only: str | None = None,
    until: str | None = None,
    *,
    clean_up: bool = True,
    electives: bool = False,
) -> list[Path]:
    """The notebooks of a folder in order.

    Args:
        folder: Folder of ``NN-name.ipynb`` files.
        first: Number to start at, with or without its leading zero.
        only: Number of the only one to run.
        until: Number of the last one to run.
        clean_up: Whether :data:`CLEAN_UP` belongs to them. It always does when a number names it.
        electives: Whether :data:`ELECTIVES` belong to them. They do when a number names one of them.

    Raises:
        UsageError: There is no notebook, or none with that number, or ``until`` comes before ``first``.
    """
    found = sorted(path for path in folder.glob("*.ipynb") if re.match(r"\d\d-", path.name))
    if not found:
        raise UsageError("There are no notebooks.", where=str(folder), fix="pdk-nb run --notebooks DIR")
    numbers = [path.name[:2] for path in found]
    flags = {"--from": first, "--only": only, "--until": until}
    chosen = {flag: number.zfill(2) for flag, number in flags.items() if number is not None}
    for flag, wanted in chosen.items():
        if wanted not in numbers:
            raise UsageError(f"There is no notebook {wanted}.", where=flag, fix=f"Use one of: {', '.join(numbers)}")
    if "--only" in chosen:
        return [path for path in found if path.name.startswith(chosen["--only"])]
    begin, end = chosen.get("--from", numbers[0]), chosen.get("--until", numbers[-1])
    if begin > end:
        raise UsageError(f"Notebook {begin} comes after notebook {end}.", where="--from, --until")
    wanted_numbers = {number for number in numbers if begin <= number <= end}
    if not clean_up and CLEAN_UP not in chosen.values():
        wanted_numbers.discard(CLEAN_UP)
    if not electives and not ELECTIVES & set(chosen.values()):
        wanted_numbers -= ELECTIVES
    return [path for path in found if path.name[:2] in wanted_numbers]


def parameters_of(notebook: Path) -> dict[str, str]:
    """The parameters that a notebook declares, each with its type: ``str``, ``int``, ``float``, or ``bool``.

    The cell is parsed as Python. (papermill matches lines with a pattern, and misses ``x: str | None = "a=b"``.)

    Args:
        notebook: A notebook file.

    Raises:
        UsageError: The file is no notebook, or its parameters cell is not Python.
    """
    import nbformat
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        cells = nbformat.read(str(notebook), as_version=4).cells
        declared = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
        lines = ast.parse(TransformerManager().transform_cell("\n".join(declared))).body
    except (OSError, ValueError, SyntaxError, AttributeError) as error:
        raise UsageError(f"Can't read the notebook's parameters: {error}", where=str(notebook)) from error
    found: dict[str, str] = {}
    for line in lines:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            found[line.target.id] = _type_name(line.annotation, line.value)
        elif isinstance(line, ast.Assign):
            found |= {each.id: _type_name(None, line.value) for each in line.targets if isinstance(each, ast.Name)}
    return found


def _type_name(annotation: ast.expr | None, default: ast.expr | None) -> str:
    """The type of a parameter's values; text where neither annotation nor default says another one."""
    words = re.findall(r"\w+", ast.unparse(annotation)) if annotation else []
    if default is not None and not words:
        with contextlib.suppress(ValueError):  # not a literal
            words = [type(ast.literal_eval(default)).__name__]
    return next((word for word in words if word in VALUE_TYPES), "str")


def check_parameters(notebooks: Sequence[Path], parameters: Mapping[str, str]) -> dict[Path, dict[str, Any]]:
    """The parameters for each notebook; each value has the type of its default.

    Args:
        notebooks: Notebook files.
        parameters: Values by name, as text.

    Raises:
        UsageError: No notebook has the parameter, or a value has the wrong type.
    """
    declared = {path: parameters_of(path) for path in notebooks}
    known = sorted({name for names in declared.values() for name in names})
    for name in parameters:
        if name not in known:
            raise UsageError(
                f"No notebook has a parameter '{name}'.", where=f"-p {name}=...", fix=f"Use one of: {', '.join(known)}"
            )
    return {
        path: {name: _typed(name, value, names[name]) for name, value in parameters.items() if name in names}
        for path, names in declared.items()
    }


def _typed(name: str, text: str, kind: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
        if kind in ("int", "float"):
            return int(text) if kind == "int" else float(text)
    except (KeyError, ValueError) as error:
        raise UsageError(f"'{text}' isn't a valid {kind}.", where=f"-p {name}={text}") from error
    return text


def incomplete_cell(executed: Path) -> str:
    """The cells that weren't executed; for papermill, a notebook that calls ``exit()`` is a success."""
    import nbformat

    notebook = nbformat.read(str(executed), as_version=4)
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        state = cell.metadata.get("papermill", {}).get("status")
        if state != "completed":
            return f"{executed.name}, {cell_name(executed, index)}: the cell is {state or 'not executed'}"
    return ""


def failed_cell(executed: Path) -> str:
    """Name the cell that failed; papermill's index doesn't count the banners that it adds."""
    import nbformat

    notebook = nbformat.read(str(executed), as_version=4)
    for index, cell in enumerate(notebook.cells):
        if cell.metadata.get("papermill", {}).get("status") == "failed":
            return cell_name(executed, index)
    return "an unknown cell"


def cell_name(executed: Path, index: int) -> str:
    """Name a cell by its id or its position."""
    import nbformat

    try:
        cells = nbformat.read(str(executed), as_version=4).cells
        return f"cell '{cells[index].get('id', index)}'"
    except (OSError, ValueError, IndexError):
        return f"cell {index}"
