"""Exercises: judged by the cluster, optional, and their solutions in the instructor's guide are current."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb import exercises
from pdk_nb.chapters import data, deployment, setup
from pdk_nb.exercises.__main__ import insert
from pdk_nb.headless import HEADLESS_VARIABLE
from pdk_shared.checkout import find_checkout
from pdk_shared.errors import CheckFailed, UsageError

PICTURES = [(f"/data1/{name}.{number}.jpg", label) for label, name in enumerate("ab") for number in range(50)]
# What a learner calls, for an exercise that needs nothing else of the cluster.
LAB: Any = SimpleNamespace(committed=lambda: PICTURES)
SESSION: Any = SimpleNamespace()


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster whose newest commit holds a hundred pictures, and an archive with one file."""
    archive = SimpleNamespace(rows=[["index_to_name.json", "20 bytes", "class names by index"]])
    monkeypatch.setattr(data, "latest_commit", lambda session: "1" * 32)
    monkeypatch.setattr(data, "committed", lambda session, commit, classes: PICTURES)
    monkeypatch.setattr(setup, "classes", lambda session: ("a", "b"))
    monkeypatch.setattr(deployment, "archive_table", lambda session, commit: archive)


def test_no_answer_is_no_mistake() -> None:
    for untouched in (..., None, ""):
        note = exercises.judge(SESSION, "02-hold-out", untouched)
        assert (note.state, "lab.hint" in note.fix) == ("not yet", True)


def test_a_solution_is_right_and_another_answer_is_not() -> None:
    space: dict[str, Any] = {"lab": LAB}
    exec(exercises.find("02-hold-out").solution, space)
    note = exercises.judge(SESSION, "02-hold-out", space["answer"])
    assert note.state == "ok"
    assert "stays on its side" in note.text
    for wrong in (space["answer"] + 1, str(space["answer"]), True):
        assert exercises.judge(SESSION, "02-hold-out", wrong).state == "wrong"


def test_names_are_compared_without_case_and_blanks() -> None:
    assert exercises.judge(SESSION, "04-names", " Index_to_name.json ").state == "ok"


def test_only_a_wrong_answer_ends_a_headless_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HEADLESS_VARIABLE, "1")
    exercises.check(SESSION, "02-hold-out", ...)
    with pytest.raises(CheckFailed, match="is not it"):
        exercises.check(SESSION, "02-hold-out", -1)


def test_hints_and_solutions_are_told_by_name() -> None:
    assert "split" in exercises.hint("02-hold-out").text
    assert "answer = " in exercises.solution("02-hold-out").text
    with pytest.raises(UsageError, match="no exercise 77-x") as caught:
        exercises.hint("77-x")
    assert "02-hold-out" in caught.value.fix


def test_the_instructors_guide_has_the_current_solutions() -> None:
    document = (find_checkout() / "docs" / "instructor.md").read_text()
    assert insert(document) == document, "run: python -m pdk_nb.exercises"
