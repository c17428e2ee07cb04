"""Under the bonnet: fields, comparison, and what a page shows."""

from __future__ import annotations

from typing import Any

import pytest

from pdk_nb.lessons import find_explanation
from pdk_nb.lessons.explanation import Explanation, value_at
from pdk_shared.errors import CheckFailed, UsageError

OBJECT = {"metadata": {"annotations": {"a.b/c": "x"}}, "items": [{"data": "<b>"}], "none": None}
EXPLAINED = Explanation(
    "00-x",
    "An <object>",
    lambda session: OBJECT,
    {"items.data": "Because."},
    lambda session: "tool <x>",
    lambda session: 7,
)
NOBODY: Any = None


@pytest.mark.parametrize(
    ("path", "value"),
    [("metadata.annotations.a.b/c", "x"), ("items.data", "<b>"), ("none", None), ("items", [{"data": "<b>"}])],
)
def test_fields_are_found_by_their_paths(path: str, value: Any) -> None:
    assert value_at(OBJECT, path) == value


@pytest.mark.parametrize("path", ["metadata.labels", "items.other", "none.x", "missing"])
def test_a_field_that_is_not_there_is_an_error(path: str) -> None:
    with pytest.raises(KeyError):
        value_at(OBJECT, path)


def test_it_shows_the_object_its_fields_and_the_command() -> None:
    shown = EXPLAINED.show(NOBODY)
    page = shown._repr_html_()
    for words in (
        "An &lt;object&gt;",
        "(6 lines)",
        "&lt;b&gt;",
        "Because.",
        "tool &lt;x&gt;",
        "<details>",
        'class="nt"',
    ):
        assert words in page, words
    for words in ("An <object>", "items.data", "Because.", "tool <x>"):
        assert words in repr(shown), words


def test_a_client_that_says_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EXPLAINED.compare(NOBODY, 7).state == "ok"
    monkeypatch.delenv("PDK_HEADLESS", raising=False)
    assert EXPLAINED.compare(NOBODY, 8).state == "wrong"
    monkeypatch.setattr("pdk_nb.lessons.explanation.is_headless", lambda: True)
    with pytest.raises(CheckFailed, match="says 8, but the lab says 7"):
        EXPLAINED.compare(NOBODY, 8)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="no explanation 77-x") as caught:
        find_explanation("77-x")
    assert "01-spec" in caught.value.fix
