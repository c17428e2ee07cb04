"""Filter and sort expressions of the searches for experiments and runs.

Source: ``experiment_filter.go``, ``sortExperiments`` and ``sortRuns`` in ``master/internal`` of Determined 0.38, which
turn an expression into SQL. Here it becomes a function of a row; what SQL finds neither true nor false is false.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pdk_stack.common.go_json import GoJsonError, decode, kind_of
from pdk_stack.determined.core.patterns import like
from pdk_stack.determined.errors import invalid, plain
from pdk_stack.determined.timestamps import parse

__all__ = ["Columns", "Condition", "Row", "read_filter", "sorting"]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
UNARY = ("isEmpty", "notEmpty")
OPERATORS = {*COMPARISONS, *UNARY, "contains", "notContains"}
STATES = (
    *("ACTIVE", "PAUSED", "COMPLETED", "ERROR", "CANCELED", "STOPPING_COMPLETED", "STOPPING_CANCELED"),
    *("STOPPING_ERROR", "STOPPING_KILLED", "DELETING", "DELETE_FAILED", "DELETED", "QUEUED", "PULLING", "STARTING"),
    *("RUNNING", "PARTIALLY_DELETED", "UNSPECIFIED"),
)
METRIC = re.compile(r"([ -~]+?)\.([ -~]+)\.(min|max|mean|last)")
GROUPS = {"training": "avg_metrics", "validation": "validation_metrics"}
DIRECTIONS = {"asc": False, "desc": True}
NUMBER, TEXT, DATE = "COLUMN_TYPE_NUMBER", "COLUMN_TYPE_TEXT", "COLUMN_TYPE_DATE"
METRICS = ("LOCATION_TYPE_VALIDATIONS", "LOCATION_TYPE_TRAINING", "LOCATION_TYPE_CUSTOM_METRIC")


@dataclass(frozen=True)
class Row:
    """What a search looks at.

    Attributes:
        item: The experiment or the run.
        metrics: Summary metrics, by group and name.
        space: The experiment's hyperparameters as configured.
        hparams: The run's hyperparameters.
        metadata: The run's metadata.
    """

    item: Any
    metrics: Mapping[str, Any]
    space: Mapping[str, Any]
    hparams: Mapping[str, Any]
    metadata: Mapping[str, Any]


Condition = Callable[[Row], bool]
#: The columns of a search: their type (int, float, text, time, state, or bool) and value.
Columns = Mapping[str, tuple[str, Callable[[Any], Any]]]


def read_filter(text: str, columns: Mapping[str, Columns]) -> tuple[Condition, bool]:
    """Read a filter expression.

    Args:
        text: JSON.
        columns: The columns by the places that an expression can name.

    Returns:
        The condition, and whether archived items are wanted.

    Raises:
        Refusal: The expression is not valid.
    """
    try:
        root = decode(text.encode(), streamed=False) if text.strip() else None
    except GoJsonError as error:
        raise plain(str(error)) from None
    if root is None:
        raise plain("unexpected end of JSON input")
    if not isinstance(root, dict):
        raise plain(f"json: cannot unmarshal {kind_of(root)} into a filter")
    group = root.get("filterGroup")
    return _condition(group if isinstance(group, dict) else {}, columns), bool(root.get("showArchived"))


def _condition(node: dict[str, Any], columns: Mapping[str, Columns]) -> Condition:
    kind = node.get("kind")
    if kind == "field":
        return _field(node, columns)
    if kind != "group":
        return _always
    conjunction = node.get("conjunction")
    if conjunction is None:
        raise plain("group specified with no conjunction")
    children = node.get("children") or []
    if not children:
        return _always
    if conjunction not in ("and", "or"):
        raise plain(f"invalid conjunction value {conjunction}")
    if not isinstance(children, list) or not all(isinstance(child, dict) for child in children):
        raise plain("json: cannot unmarshal children into a filter")
    found = [_condition(child, columns) for child in children]
    every = all if conjunction == "and" else any
    return lambda row: every(each(row) for each in found)


def _always(row: Row) -> bool:
    return True


def _field(node: dict[str, Any], columns: Mapping[str, Columns]) -> Condition:
    sign, value, name = node.get("operator"), node.get("value"), str(node.get("columnName") or "")
    if sign is None:
        raise plain("field specified with value but no operator")
    if value is None and sign not in UNARY:
        return _always
    if sign not in OPERATORS:
        raise plain(f"invalid operator {sign}")
    place, kind = node.get("location") or "LOCATION_TYPE_EXPERIMENT", node.get("type") or ""
    if place in ("LOCATION_TYPE_EXPERIMENT", "LOCATION_TYPE_RUN"):
        if place not in columns or name not in columns[place]:
            raise plain(f"invalid {'experiment' if place == 'LOCATION_TYPE_EXPERIMENT' else 'run'} column {name}")
        return _column(*columns[place][name], sign, value)
    if place in METRICS:
        return _metric(name, kind, sign, value)
    if place == "LOCATION_TYPE_HYPERPARAMETERS":
        return _configured(name.removeprefix("hp."), kind, sign, value)
    if place == "LOCATION_TYPE_RUN_HYPERPARAMETERS":
        return _flat(lambda row: row.hparams, name.removeprefix("hp."), sign, value)
    if place == "LOCATION_TYPE_RUN_METADATA":
        return _flat(lambda row: row.metadata, name.removeprefix("metadata."), sign, value)
    return _always


# -- columns ---------------------------------------------------------------------------------------------------------


def _column(kind: str, of: Callable[[Any], Any], sign: str, value: Any) -> Condition:
    if sign in ("contains", "notContains"):
        if kind != "text":
            raise plain(f"operator does not exist: {kind} ~~* unknown")
        pattern, wanted = f"%{_shown(value)}%", sign == "contains"
        return lambda row: (found := of(row.item)) is not None and like(found, pattern) == wanted
    if sign in UNARY:
        if kind != "text":
            raise plain(f'invalid input syntax for type {kind}: ""')
        return lambda row: (of(row.item) in (None, "", "[]")) == (sign == "isEmpty")
    compare, wanted_value = COMPARISONS[sign], _literal(kind, value)
    return lambda row: (found := of(row.item)) is not None and compare(_comparable(kind, found), wanted_value)


def _comparable(kind: str, value: Any) -> Any:
    if kind == "time":
        return parse(value)
    return STATES.index(value) if kind == "state" else value


def _literal(kind: str, value: Any) -> Any:
    """Read a value as a column's type does.

    Raises:
        Refusal: It can't.
    """
    try:
        if kind == "time":
            return _time(value)
        if kind == "state":
            return STATES.index(value)
        if kind in ("int", "float"):
            if isinstance(value, bool) or (kind == "int" and isinstance(value, str) and not _is_integer(value)):
                raise ValueError
            return float(value)
        if isinstance(value, str if kind == "text" else bool):
            return value
    except (ValueError, TypeError, OverflowError):
        pass
    raise plain(f"invalid input syntax for type {kind}: {json.dumps(value)}")


def _is_integer(text: str) -> bool:
    return text.strip().lstrip("+-").isdigit()


def _time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError
    return parse(value)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# -- metrics, hyperparameters and metadata ---------------------------------------------------------------------------


def _metric_path(name: str) -> tuple[str, str, str]:
    found = METRIC.search(name)
    if found is None:
        raise plain(f"{name} is not a valid metrics id")
    return GROUPS.get(found[1], found[1]), found[2], found[3]


def _metric_value(row: Row, path: tuple[str, str, str]) -> Any:
    group, name, statistic = path
    return ((row.metrics.get(group) or {}).get(name) or {}).get(statistic)


def _metric(name: str, kind: str, sign: str, value: Any) -> Condition:
    path = _metric_path(name)
    if sign in UNARY:
        return lambda row: (_metric_value(row, path) is None) == (sign == "isEmpty")
    return lambda row: _holds(_metric_value(row, path), kind == NUMBER, sign, value)


def _holds(found: Any, numeric: bool, sign: str, value: Any) -> bool:
    """Compare as SQL does: as numbers, or as text; what is absent or of another type is neither."""
    if found is None:
        return False
    if sign in ("contains", "notContains"):
        return like(_shown(found), f"%{_shown(value)}%", ignore_case=False) == (sign == "contains")
    left, right = (_number(found), _number(value)) if numeric else (_shown(found), _shown(value))
    return left is not None and right is not None and COMPARISONS[sign](left, right)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (ValueError, TypeError):
        return None


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree


def _configured(path: str, kind: str, sign: str, value: Any) -> Condition:
    """A condition on a hyperparameter as it is configured: a constant, choices, or a range."""
    numeric = kind not in (TEXT, DATE)

    def holds(row: Row) -> bool:
        space = _at(row.space, path)
        if not isinstance(space, dict):
            return False
        if space.get("type") == "categorical":
            return _among(space.get("vals"), sign, value)
        if space.get("type") == "const":
            if numeric and sign in ("contains", "notContains"):
                return False
            if sign in UNARY:
                return (space.get("val") is None) == (sign == "isEmpty")
            return _holds(space.get("val"), numeric, sign, value)
        return numeric and space.get("type") in ("int", "double", "log") and _in_range(space, sign, value)

    return holds


def _among(choices: Any, sign: str, value: Any) -> bool:
    if sign in UNARY:
        return (choices is None) == (sign == "isEmpty")
    if sign not in ("contains", "notContains"):
        return False
    return (value in (choices or [])) == (sign == "contains")


def _in_range(space: dict[str, Any], sign: str, value: Any) -> bool:
    least, most, wanted = _number(space.get("minval")), _number(space.get("maxval")), _number(value)
    if sign in UNARY:
        return sign == "notEmpty"
    if least is None or most is None or wanted is None:
        return False
    if sign == "contains":
        return least <= wanted or most >= wanted
    if sign == "notContains":
        return least >= wanted or most <= wanted
    return COMPARISONS[sign](least, wanted) or COMPARISONS[sign](most, wanted)


def _flat(tree: Callable[[Row], Any], path: str, sign: str, value: Any) -> Condition:
    """A condition on a run's own hyperparameter or metadata."""
    if sign in UNARY:
        return lambda row: (_at(tree(row), path) is None) == (sign == "isEmpty")
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    return lambda row: _holds(_at(tree(row), path), numeric, sign, value)


# -- sorting ---------------------------------------------------------------------------------------------------------


def sorting(text: str | None, keys: Mapping[str, Callable[[Any], Any]], space: bool) -> Callable[[list[Row]], None]:
    """Read how to sort, for example ``startTime=desc,id=asc``.

    Args:
        text: What the client sent; without it, ids ascend.
        keys: Sort keys by column.
        space: Whether ``hp.`` means the experiment's hyperparameters, not the run's.

    Returns:
        A function that sorts rows in place; what has no key comes last.

    Raises:
        Refusal: A column or direction doesn't exist.
    """
    order: list[tuple[Callable[[Row], Any], bool]] = []
    by_id = False
    for part in [] if text is None else text.split(","):
        column, equals, direction = part.partition("=")
        if not equals or "=" in direction:
            raise invalid(f"invalid sort parameter: {part}")
        if direction not in DIRECTIONS:
            raise invalid(f"invalid sort direction: {direction}")
        by_id = by_id or column == "id"
        order.append((_sort_key(column, keys, space), DIRECTIONS[direction]))
    if not by_id:
        order.append((lambda row: keys["id"](row.item), False))

    def sort(rows: list[Row]) -> None:
        for key, descending in reversed(order):
            rows.sort(key=lambda row: _ordered(key(row)), reverse=descending)
            rows.sort(key=lambda row: key(row) is None)

    return sort


def _ordered(value: Any) -> tuple[str, Any]:
    """Make values of several types comparable."""
    if value is None:
        return "", 0
    if isinstance(value, (bool, int, float)):
        return "number", value
    return "text", _shown(value)


def _sort_key(column: str, keys: Mapping[str, Callable[[Any], Any]], space: bool) -> Callable[[Row], Any]:
    if column.startswith("hp."):
        path = column.removeprefix("hp.").replace("'", "")
        return lambda row: _at(row.space if space else row.hparams, path)
    if column.startswith("metadata.") and not space:
        path = column.removeprefix("metadata.").replace("'", "")
        return lambda row: _at(row.metadata, path)
    if "." in column:
        metric = _metric_path(column)
        return lambda row: _metric_value(row, metric)
    if column not in keys:
        raise invalid(f"invalid sort col: {column}")
    return lambda row: keys[column](row.item)
