"""Rows of CSV files: read, checked, and shown."""

from __future__ import annotations

import csv
import importlib.util
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pdk_nb.counting import counted
from pdk_nb.display.tables import Note, Table
from pdk_nb.labels import split
from pdk_nb.stages import experiment
from pdk_nb.tasks.tabular.training import SUFFIX
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Layout", "Row", "TableArrival", "layout_of", "open_table", "read_rows"]

# Rows of each file with ``small``.
SMALL = 400
# Skipped rows that are listed.
LISTED = 20


@dataclass(frozen=True)
class Layout:
    """What an experiment's configuration says about its data.

    Attributes:
        classes: Class names, in the order of the model's outputs.
        key: The column that names a row.
        target: The column with the answer.
        target_values: Its values, in the order of the classes.
        columns: The columns that the model reads, in the order of its inputs.
        group: The column whose values an evaluation tells apart; empty for none.
        preprocess: The experiment's own module, which turns a row into the model's input.
    """

    classes: tuple[str, ...]
    key: str
    target: str
    target_values: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    group: str
    preprocess: ModuleType


@dataclass(frozen=True)
class Row:
    """One row whose answer is known.

    Attributes:
        key: What names it.
        values: Value by column, of the columns that the model reads.
        label: Its class.
        group: Its group in an evaluation; empty for none.
    """

    key: str
    values: Mapping[str, Any]
    label: str
    group: str = ""

    @property
    def instance(self) -> dict[str, Any]:
        """The instance of a prediction request."""
        return {"data": dict(self.values)}


@dataclass(frozen=True)
class TableArrival:
    """An arrival of CSV files.

    Attributes:
        name: ``data1`` and so on.
        paths: Its files, by their path in the commit's folder.
        rows: Usable rows.
        unusable: Place -> reason, for rows and files that aren't used.
        layout: What the experiment says about its data.
    """

    name: str
    paths: Mapping[str, Path]
    rows: tuple[Row, ...]
    unusable: Mapping[str, str]
    layout: Layout

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.paths.values())

    def files(self) -> Mapping[str, Path]:
        """Local files by their path in the commit's folder."""
        return self.paths

    def show(self, count: int = 10, seed: int = 1) -> Table:
        """A sample of the rows, the same each time.

        Args:
            count: How many rows.
            seed: Seed of the sample.
        """
        some = random.Random(seed).sample(self.rows, min(count, len(self.rows)))
        names = [str(column["name"]) for column in self.layout.columns]
        shown = [(row.key, *(row.values[name] for name in names), row.label) for row in some]
        return Table((self.layout.key, *names, "class"), shown, caption=f"{len(some)} of {len(self.rows)} rows")

    def histogram(self) -> Any:
        """A histogram of the classes."""
        from pdk_nb.display import charts  # its drawing library takes a while to load

        found = Counter(row.label for row in self.rows)
        return charts.histogram({name: found[name] for name in self.layout.classes}, f"rows in {self.name}")

    def skipped(self) -> Table | Note:
        """Rows and files that aren't used, each with the reason."""
        if not self.unusable:
            return Note("ok", f"All {len(self.rows)} rows can be used.")
        listed = list(self.unusable.items())[:LISTED]
        caption = f"{counted(len(self.unusable), 'place')}, the first {len(listed)}"
        return Table(("Where", "Reason"), listed, caption=caption)


def layout_of(session: Session) -> Layout:
    """What the experiment of a session's example says about its data.

    Args:
        session: The session.

    Raises:
        SpecError: The contract or the configuration is wrong.
    """
    example = session.example
    data = experiment.read_yaml(example.experiment / example.config).get("data") or {}
    return Layout(
        classes=tuple(map(str, data["classes"])),
        key=str(data["key"]),
        target=str(data["target"]),
        target_values=tuple(map(str, data["target_values"])),
        columns=tuple(data["columns"]),
        group=str(data.get("group") or ""),
        preprocess=_module(example.experiment / "preprocess.py"),
    )


@cache
def _module(path: Path) -> ModuleType:
    """The experiment's own module: a row is checked by the code that training and serving use."""
    spec = importlib.util.spec_from_file_location(f"pdk_preprocess_of_{path.parents[1].name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_rows(path: Path, shown: str, layout: Layout) -> tuple[list[Row], dict[str, str]]:
    """The usable rows of a CSV file, and why others aren't used.

    Args:
        path: The file.
        shown: How to name it.
        layout: What the experiment says about its data.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        return [], {shown: f"can't be read: {error}"}
    rows, unusable = [], {}
    for number, line in enumerate(lines, 2):
        try:
            rows.append(_row(line, layout))
        except ValueError as error:
            unusable[f"{shown}:{number}"] = str(error)
    return rows, unusable


def _row(line: Mapping[str, Any], layout: Layout) -> Row:
    """One row; ValueError says what is wrong with it."""
    if not line.get(layout.key):
        raise ValueError(f"the row has no {layout.key}")
    target = line.get(layout.target)
    if target not in layout.target_values:
        raise ValueError(f"{layout.target} is {target!r}; it must be one of {', '.join(layout.target_values)}")
    layout.preprocess.encode(line, layout.columns)
    values = {
        str(each["name"]): line[each["name"]] if each["kind"] == "category" else float(line[each["name"]])
        for each in layout.columns
    }
    label = layout.classes[layout.target_values.index(target)]
    return Row(str(line[layout.key]), values, label, str(line.get(layout.group) or "") if layout.group else "")


def open_table(session: Session, source: str, arrival: str, small: bool) -> TableArrival:
    """Read and check the CSV files of a folder, or one file.

    Args:
        session: The session.
        source: Folder or file; the sample data when empty.
        arrival: Name of the arrival; a folder of this name in the source is used alone.
        small: Whether to use only the first rows of each file.

    Raises:
        DataError: There is no such folder, or no usable row of a class.
    """
    layout = layout_of(session)
    place = Path(source).expanduser() if source else session.example.source
    place = place / arrival if (place / arrival).is_dir() else place
    if not place.exists():
        raise DataError("There is no such folder or file.", where=str(place))
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    paths = {path.relative_to(place).as_posix() if place.is_dir() else path.name: path for path in found}
    paths = {name: path for name, path in paths.items() if name.lower().endswith(SUFFIX)}
    if small:
        paths = {name: _first_rows(path) for name, path in paths.items()}
    rows: dict[str, Row] = {}
    unusable: dict[str, str] = {}
    for name, path in paths.items():
        usable, others = read_rows(path, name, layout)
        rows |= {row.key: row for row in usable}
        unusable |= others
    counts = Counter(row.label for row in rows.values())
    few = [f"{name}: {counts[name]}" for name in layout.classes if counts[name] < 2]
    if few:
        raise DataError(
            f"Every class needs at least 2 usable rows; found {', '.join(few)} ({len(unusable)} rows left out).",
            where=str(place),
            fix=next(iter(unusable.values()), f"Give CSV files with the columns {_named(layout)}."),
        )
    return TableArrival(arrival, paths, tuple(rows.values()), unusable, layout)


def _named(layout: Layout) -> str:
    return ", ".join((layout.key, *(str(column["name"]) for column in layout.columns), layout.target))


@cache
def _first_rows(path: Path) -> Path:
    """A copy of a file with its first rows only, which is deleted when this process ends."""
    import atexit
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="pdk-rows-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = folder / path.name
    with path.open(encoding="utf-8") as stream:
        copy.write_text("".join(line for _, line in zip(range(SMALL + 1), stream, strict=False)), encoding="utf-8")
    return copy


def held_out(arrivals: Sequence[TableArrival]) -> list[Row]:
    """Rows that are never used for training: the key alone decides, as in the experiment.

    Args:
        arrivals: The committed arrivals; a later one can correct a row of an earlier one.
    """
    rows = {row.key: row for arrival in arrivals for row in arrival.rows}
    classes = arrivals[0].layout.classes
    _, held = split((key, classes.index(row.label)) for key, row in rows.items())
    return [rows[key] for key in held]
