"""How a row becomes the model's input: one function for training, validation, serving, and notebooks.

This file needs only the standard library. It is in the checkpoint's ``code/`` folder and in the model archive, next to
the handler: training and serving use the same code, byte for byte. Numbers are scaled inside the model, with the means
and deviations of its training, so they travel with its weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any


def width(columns: Sequence[Mapping[str, Any]]) -> int:
    """Number of the model's inputs: one of each number, and one of each value of a category."""
    return sum(len(column["values"]) if column["kind"] == "category" else 1 for column in columns)


def places(columns: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Where each column's inputs are: the first, and the one after the last."""
    found, start = {}, 0
    for column in columns:
        end = start + width([column])
        found[str(column["name"])] = (start, end)
        start = end
    return found


def encode(row: Mapping[str, Any], columns: Sequence[Mapping[str, Any]]) -> list[float]:
    """The model's inputs for a row: numbers as they are, and for a category 1 at its value and 0 elsewhere.

    Args:
        row: Value by column; numbers may be text, as in a CSV file. Other columns are ignored.
        columns: The columns that the model reads, in the order of its inputs.

    Raises:
        ValueError: A column is missing, or its value isn't one that the model knows; the text says which.
    """
    values: list[float] = []
    for column in columns:
        name = str(column["name"])
        if name not in row or row[name] is None or row[name] == "":
            raise ValueError(f"the row has no {name}")
        value = row[name]
        if column["kind"] == "category":
            known = list(column["values"])
            if value not in known:
                raise ValueError(f"{name} is {value!r}; the model knows {', '.join(known)}")
            values += [float(each == value) for each in known]
            continue
        try:
            if isinstance(value, bool):
                raise ValueError
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{name} is {value!r}, which isn't a number") from None
        if not math.isfinite(number):
            raise ValueError(f"{name} is {value!r}, which isn't a finite number")
        values.append(number)
    return values
