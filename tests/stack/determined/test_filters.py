"""Filter and sort expressions of the searches, and the patterns of lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.core.filters import Columns, Row, read_filter, sorting
from pdk_stack.determined.core.patterns import like

COLUMNS: Columns = {
    "id": ("int", lambda item: item["id"]),
    "name": ("text", lambda item: item["name"]),
    "startTime": ("time", lambda item: item["startTime"]),
    "state": ("state", lambda item: item["state"]),
    "score": ("float", lambda item: item["score"]),
}
ITEM = {"id": 7, "name": "Dog-cat", "startTime": "2020-01-02T00:00:00Z", "state": "COMPLETED", "score": None}
METRICS = {"validation_metrics": {"loss": {"last": 0.25, "type": "number"}}, "own": {"a.b": {"max": "x"}}}
SPACE = {
    "lr": {"type": "const", "val": 0.5},
    "opt": {"type": "categorical", "vals": ["sgd", "adam"]},
    "deep": {"n": {"type": "int", "minval": 2, "maxval": 9}},
}
ROW = Row(ITEM, METRICS, SPACE, {"lr": 0.5, "opt": "sgd"}, {"who": {"name": "ann"}, "n": 3})


def field(column: str, sign: str, value: Any = None, place: str = "", kind: str = "") -> dict[str, Any]:
    more = {name: text for name, text in (("location", place), ("type", kind)) if text}
    return {"kind": "field", "columnName": column, "operator": sign, "value": value, **more}


def group(conjunction: str, *children: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "group", "conjunction": conjunction, "children": list(children)}


HP, RUN_HP, META, VALIDATION, OWN = (
    f"LOCATION_TYPE_{name}"
    for name in ("HYPERPARAMETERS", "RUN_HYPERPARAMETERS", "RUN_METADATA", "VALIDATIONS", "CUSTOM_METRIC")
)
NUMBER, TEXT = "COLUMN_TYPE_NUMBER", "COLUMN_TYPE_TEXT"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (field("id", "=", 7), True),
        (field("id", "=", "7"), True),
        (field("id", "!=", 7), False),
        (field("id", ">=", 7.5), False),
        (field("id", "=", None), True),  # without a value, it is no condition
        (field("name", "contains", "dog"), True),
        (field("name", "contains", "d_g"), True),
        (field("name", "notContains", "dog"), False),
        (field("name", "<", "E"), True),
        (field("name", "isEmpty"), False),
        (field("name", "notEmpty"), True),
        (field("startTime", ">", "2020-01-01T00:00:00Z"), True),
        (field("startTime", "<=", "2020-01-01T00:00:00Z"), False),
        (field("state", "=", "COMPLETED"), True),
        (field("state", "!=", "ERROR"), True),
        (field("score", "<", 5), False),  # what is absent is neither
        (field("score", ">=", 5), False),
        (field("x", "=", 1, "LOCATION_TYPE_ELSEWHERE"), True),
        (field("validation.loss.last", "<", 1, VALIDATION, NUMBER), True),
        (field("validation.loss.max", "<", 1, VALIDATION, NUMBER), False),
        (field("validation.loss.last", "notEmpty", None, VALIDATION, NUMBER), True),
        (field("own.a.b.max", "contains", "x", OWN, TEXT), True),
        (field("hp.lr", "=", 0.5, HP, NUMBER), True),
        (field("hp.lr", "contains", "0.5", HP, TEXT), True),
        (field("hp.lr", "contains", "0.5", HP, NUMBER), False),
        (field("hp.opt", "contains", "adam", HP, TEXT), True),
        (field("hp.opt", "notContains", "adam", HP, TEXT), False),
        (field("hp.opt", "=", "adam", HP, TEXT), False),
        (field("hp.deep.n", ">", 8, HP, NUMBER), True),  # one of the bounds is
        (field("hp.deep.n", ">", 9, HP, NUMBER), False),
        (field("hp.none", "notEmpty", None, HP, NUMBER), False),
        (field("hp.lr", "=", 0.5, RUN_HP, NUMBER), True),
        (field("hp.opt", "contains", "sg", RUN_HP, TEXT), True),
        (field("metadata.who.name", "=", "ann", META, TEXT), True),
        (field("metadata.n", "<", 3, META, NUMBER), False),
        (field("metadata.gone", "isEmpty", None, META, TEXT), True),
        (group("and"), True),
        (group("or"), True),
        (group("and", field("id", "=", 7), field("id", "=", 8)), False),
        (group("or", field("id", "=", 8), group("and", field("id", "=", 7))), True),
        ({}, True),
    ],
)
def test_an_expression_is_a_condition(node: dict[str, Any], expected: bool) -> None:
    condition, archived = read_filter(json.dumps({"filterGroup": node}), {"LOCATION_TYPE_EXPERIMENT": COLUMNS})
    assert condition(ROW) is expected and not archived


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unexpected end of JSON input"),
        ("{gold", "invalid character 'g' looking for beginning of object key string"),
        ("[]", "cannot unmarshal array"),
        (field("gold", "=", 1), "invalid experiment column gold"),
        (field("gold", "=", 1, "LOCATION_TYPE_RUN"), "invalid run column gold"),
        (field("id", "like", 1), "invalid operator like"),
        ({"kind": "field", "columnName": "id", "value": 1}, "field specified with value but no operator"),
        (field("id", "=", "x"), "invalid input syntax for type int"),
        (field("id", "contains", "x"), "operator does not exist"),
        (field("startTime", ">", "yesterday"), "invalid input syntax for type time"),
        (field("state", "=", "GOLD"), "invalid input syntax for type state"),
        (field("validation.loss", "<", 1, VALIDATION), "validation.loss is not a valid metrics id"),
        ({"kind": "group", "children": []}, "group specified with no conjunction"),
        (group("xor", field("id", "=", 1)), "invalid conjunction value xor"),
        ({"kind": "group", "conjunction": "and", "children": "x"}, "cannot unmarshal"),
    ],
)
def test_a_bad_expression_is_refused(text: Any, words: str) -> None:
    sent = text if isinstance(text, str) else json.dumps({"filterGroup": text})
    with pytest.raises(Refusal, match=words.replace("(", r"\(")) as refused:
        read_filter(sent, {"LOCATION_TYPE_EXPERIMENT": COLUMNS})
    assert refused.value.http_status == 400


ROWS = [
    Row({"id": key, "name": name}, {"validation_metrics": {"loss": {"last": loss}}}, {}, {"lr": loss}, {})
    for key, name, loss in ((1, "b", 0.5), (2, "a", None), (3, "b", 0.1))
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [1, 2, 3]),
        ("id=desc", [3, 2, 1]),
        ("name=asc", [2, 1, 3]),
        ("name=desc,id=desc", [3, 1, 2]),
        ("validation.loss.last=asc", [3, 1, 2]),
        ("validation.loss.last=desc", [1, 3, 2]),
        ("hp.lr=asc", [3, 1, 2]),
    ],
)
def test_rows_are_sorted(text: str | None, expected: list[int]) -> None:
    rows = list(ROWS)
    sorting(text, {"id": lambda item: item["id"], "name": lambda item: item["name"]}, space=False)(rows)
    assert [row.item["id"] for row in rows] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id", "invalid sort parameter: id"),
        ("id=asc=desc", "invalid sort parameter: id=asc=desc"),
        ("id=up", "invalid sort direction: up"),
        ("gold=asc", "invalid sort col: gold"),
        ("loss.x=asc", "loss.x is not a valid metrics id"),
    ],
)
def test_a_bad_order_is_refused(text: str, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        sorting(text, {"id": lambda item: item["id"]}, space=False)


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("Gold", "gold", True),
        ("Gold", "%OL%", True),
        ("Gold", "g_ld", True),
        ("Gold", "gol", False),
        ("a.b", "a_b", True),
        ("axb", "a.b", False),
        ("100%", "100\\%", True),
        ("1000", "100\\%", False),
        ("a\nb", "a%", True),
    ],
)
def test_patterns_of_lists(text: str, pattern: str, expected: bool) -> None:
    assert like(text, pattern) is expected
