"""Exercises: judged by the cluster, optional, and their solutions in the instructor's guide are current."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.headless import HEADLESS_VARIABLE
from pdk_nb.lessons import find_exercise, n02_data, n04_deployment
from pdk_nb.lessons.__main__ import insert
from pdk_nb.settings import from_maps
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
    monkeypatch.setattr(n02_data, "latest_commit", lambda session: "1" * 32)
    monkeypatch.setattr(n02_data, "committed", lambda session, commit: PICTURES)
    monkeypatch.setattr(n04_deployment, "latest_commit", lambda session: "1" * 32)
    monkeypatch.setattr(n04_deployment, "archive_table", lambda session, commit: archive)


def test_no_answer_is_no_mistake() -> None:
    for untouched in (..., None, ""):
        note = find_exercise("02-hold-out").judge(SESSION, untouched)
        assert (note.state, "lab.hint" in note.fix) == ("not yet", True)


def test_a_solution_is_right_and_another_answer_is_not() -> None:
    space: dict[str, Any] = {"lab": LAB}
    exec(find_exercise("02-hold-out").solution, space)
    note = find_exercise("02-hold-out").judge(SESSION, space["answer"])
    assert note.state == "ok"
    assert "stays in the same set" in note.text
    for wrong in (space["answer"] + 1, str(space["answer"]), True):
        assert find_exercise("02-hold-out").judge(SESSION, wrong).state == "wrong"


def test_names_are_compared_without_case_and_blanks() -> None:
    assert find_exercise("04-names").judge(SESSION, " Index_to_name.json ").state == "ok"


def test_only_a_wrong_answer_ends_a_headless_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HEADLESS_VARIABLE, "1")
    find_exercise("02-hold-out").check(SESSION, ...)
    with pytest.raises(CheckFailed, match="is not right"):
        find_exercise("02-hold-out").check(SESSION, -1)


def test_hints_and_solutions_are_shown_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    find_exercise("02-hold-out").show_hint()
    assert "split" in capsys.readouterr().out
    find_exercise("02-hold-out").show_solution()
    assert "answer = " in capsys.readouterr().out


def test_a_settings_variable_is_as_good_as_its_key() -> None:
    known = from_maps({"kserve_ingress_host": "h", "kserve_ingress_port": "8080"})
    session: Any = SimpleNamespace(settings=known)
    variable = next(each.variable for each in known.entries if each.key == "kserve_ingress_port")
    for answer in ("kserve_ingress_port", variable, f" {variable.lower()} "):
        assert find_exercise("00-ingress").judge(session, answer).state == "ok"
    assert find_exercise("00-ingress").judge(session, "KSERVE_INGRESS_HOST").state == "wrong"
    with pytest.raises(UsageError, match="no exercise 77-x") as caught:
        find_exercise("77-x")
    assert "02-hold-out" in caught.value.fix


def test_the_instructors_guide_has_the_current_solutions() -> None:
    document = (find_checkout() / "docs" / "instructor.md").read_text()
    assert insert(document) == document, "run: python -m pdk_nb.lessons"
