"""The training data: the CSV files of a Pachyderm commit, checked row by row, and split."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import preprocess
import torch

from pdk_nb import labels, trial_data
from pdk_nb.trial_log import DATA_LOGGER

log = logging.getLogger(DATA_LOGGER)


class UnusableData(Exception):
    """This commit is unusable for training."""


@dataclass(frozen=True)
class Table:
    """Rows as tensors.

    Attributes:
        inputs: Shape (n, inputs), float32, not scaled.
        labels: Shape (n,), class indices.
    """

    inputs: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def counts(self) -> Counter[int]:
        """Rows of each class."""
        return Counter(self.labels.tolist())


@dataclass
class Corpus:
    """The rows of one training.

    Attributes:
        train: The training set.
        held: The validation set: the fixed hold-out of the whole commit.
        skipped: Place -> reason, for rows and files that aren't used.
    """

    train: Table
    held: Table
    skipped: dict[str, str] = field(default_factory=dict)


def collect(files: Iterable[tuple[str, bytes]], config: Mapping[str, Any]) -> Corpus:
    """Check the rows of all CSV files, and split them. The last row of a key counts: an arrival can correct a row.

    Args:
        files: Path and contents of each file.
        config: The experiment's ``data`` block.
    """
    rows: dict[str, tuple[list[float], int]] = {}
    skipped: dict[str, str] = {}
    for path, content in sorted(files):
        if not path.lower().endswith(".csv"):
            skipped[path] = "not a CSV file, by its name"
            continue
        try:
            reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
            lines = list(reader)
        except (UnicodeDecodeError, csv.Error) as error:
            skipped[path] = f"can't be read: {error}"
            continue
        for number, line in enumerate(lines, 2):
            try:
                key = line.get(config["key"]) or ""
                if not key:
                    raise ValueError(f"the row has no {config['key']}")
                target = line.get(config["target"])
                if target not in config["target_values"]:
                    raise ValueError(f"{config['target']} is {target!r}; it must be one of {config['target_values']}")
                encoded = preprocess.encode(line, config["columns"])
                rows[key] = encoded, config["target_values"].index(target)
            except ValueError as error:
                skipped[f"{path}:{number}"] = str(error)
    train, held = labels.split((key, label) for key, (_, label) in rows.items())
    inputs = preprocess.width(config["columns"])
    return Corpus(_table([rows[key] for key in train], inputs), _table([rows[key] for key in held], inputs), skipped)


def _table(rows: list[tuple[list[float], int]], inputs: int) -> Table:
    encoded = torch.tensor([values for values, _ in rows], dtype=torch.float32).reshape(len(rows), inputs)
    return Table(encoded, torch.tensor([label for _, label in rows], dtype=torch.long))


def fetch(config: Mapping[str, Any]) -> Corpus:
    """The rows that an experiment's ``data`` block names: those of a local folder, or of a Pachyderm commit.

    Args:
        config: The block.
    """
    if config.get("local_dir"):
        root = Path(config["local_dir"])
        found = ((path.relative_to(root).as_posix(), path.read_bytes()) for path in root.rglob("*") if path.is_file())
        return collect(found, config)
    return collect(trial_data.files_of(config), config)


def report(corpus: Corpus, classes: list[str]) -> None:
    """Log which rows are used for training and validation, and which are skipped and why."""
    for title, table in (("learning from", corpus.train), ("validating with", corpus.held)):
        counts = table.counts()
        log.info("%s %d rows: %s", title, len(table), ", ".join(f"{n} {counts[i]}" for i, n in enumerate(classes)))
    for place, reason in list(corpus.skipped.items())[:20]:
        log.warning("left out: %s: %s", place, reason)
    if len(corpus.skipped) > 20:
        log.warning("left out: %d more rows", len(corpus.skipped) - 20)


def check(corpus: Corpus, classes: list[str]) -> None:
    """Refuse data that is unusable for training.

    Raises:
        UnusableData: A class has no rows to learn from or to validate with.
    """
    for what, table in (("learn from", corpus.train), ("validate with", corpus.held)):
        missing = [name for i, name in enumerate(classes) if not table.counts()[i]]
        if missing:
            raise UnusableData(
                f"No data of class {', '.join(missing)} to {what} ({len(corpus.skipped)} rows or files left out): "
                "every class needs at least two usable rows"
            )
