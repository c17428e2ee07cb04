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
from pdk_shared.errors import CheckFailed, ServiceUnreachable, UsageError

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
    with pytest.raises(CheckFailed, match="isn't right"):
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


WRITTEN = """
name: single
metric: accuracy
smaller_is_better: false
max_length: {batches: 100}
"""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (WRITTEN, ""),
        ({"name": "single", "metric": "accuracy", "smaller_is_better": False, "max_length": {"batches": 100}}, ""),
        (f"{WRITTEN}divisor: 4\n", ""),
        (WRITTEN.replace("false", "true"), "smaller_is_better is True"),
        (WRITTEN.replace("metric: accuracy\n", ""), "the field metric is missing"),
        (WRITTEN.replace("{batches: 100}", "100"), "max_length must be a mapping"),
        (WRITTEN.replace("batches: 100", "batches: 1"), "max_length.batches is 1"),
        ("single", "the answer must be a mapping"),
        ("name: [single\nmetric: accuracy", "isn't valid YAML at line 2"),
    ],
)
def test_a_written_answer_is_judged_field_by_field(answer: Any, words: str) -> None:
    note = find_exercise("03-repair").judge(SESSION, answer)
    assert note.state == ("wrong" if words else "ok"), note
    assert words in note.text


def test_an_input_may_stand_below_its_name() -> None:
    session: Any = SimpleNamespace(names=SimpleNamespace(data_repo="pets", project="p"))
    bare = {"pfs": {"repo": "pets", "glob": "/*"}}
    for answer in (bare, {"input": bare}):
        assert find_exercise("01-write").judge(session, answer).state == "ok"
    assert "pfs.glob is '/'" in find_exercise("01-write").judge(session, {"pfs": {"repo": "pets", "glob": "/"}}).text


def test_a_glob_is_judged_by_its_datums(monkeypatch: pytest.MonkeyPatch) -> None:
    session: Any = SimpleNamespace(pachyderm=None, names=SimpleNamespace(data_repo="pets", project="p"))
    counts = {"/*/*": len(PICTURES), "/*.jpg": 0}
    monkeypatch.setattr("pdk_nb.platforms.mldm.datum_count", lambda client, project, repo, glob: counts[glob])
    assert find_exercise("02-repair").judge(session, "/*/*").state == "ok"
    assert "'/*.jpg' makes 0 datums of 100 pictures" in find_exercise("02-repair").judge(session, "/*.jpg").text


def test_the_cluster_judges_a_service_unless_this_user_may_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    exercise, session = find_exercise("04-repair"), SimpleNamespace(settings=None)
    written: dict[str, Any] = exercise.expected(session)  # type: ignore[arg-type]

    def answered(text: str | Exception) -> str:
        def refusal(where: Any, body: Any) -> str:
            if isinstance(text, Exception):
                raise text
            return text

        monkeypatch.setattr("pdk_nb.platforms.serving.refusal", refusal)
        return exercise.judge(session, written).text  # type: ignore[arg-type]

    assert "is right" in answered("")
    assert "the cluster refuses it: no runtime" in answered("no runtime")
    assert "is right" in answered(ServiceUnreachable("not allowed"))


def test_the_instructors_guide_has_the_current_solutions() -> None:
    document = (find_checkout() / "docs" / "instructor.md").read_text()
    assert insert(document) == document, "run: python -m pdk_nb.lessons"
