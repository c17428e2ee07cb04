"""The task tabular as the notebooks see it: rows, judgments, drift, and the form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb import example as examples
from pdk_nb import tasks
from pdk_nb.names import Names
from pdk_nb.panel import form, panel_of
from pdk_nb.platforms import mldm, serving
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction, body_for, parse
from pdk_nb.session import Session
from pdk_nb.tasks.tabular import judging
from pdk_nb.tasks.tabular.rows import Row, layout_of, open_table
from pdk_shared.errors import DataError, PredictionError, UsageError
from tests.lab.test_churn import GENERATE, ROOT

SETTINGS: Any = None
SESSION = Session(SETTINGS, Names.for_participant("", "churn"))
TASK = tasks.for_lab(SESSION)
TARGET = Endpoint("churn", "127.0.0.1:1", "churn.models.example.com", "churn")
HEAD = ",".join(GENERATE.FIELDS)
GOOD = "1,2,3,4,monthly,card,private"


def table(folder: Path, *lines: str, name: str = "rows.csv") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join([HEAD, *lines, ""]))
    return folder


def test_the_sample_data_open_without_a_remark() -> None:
    arrival = open_table(SESSION, "", "data1", small=False)
    assert len(arrival.rows) == GENERATE.ROWS and not arrival.unusable
    assert arrival.files() == {"customers.csv": SESSION.example.source / "data1" / "customers.csv"}
    assert arrival.size == (SESSION.example.source / "data1" / "customers.csv").stat().st_size
    assert str(arrival.skipped()).startswith("[ok] All 4000 rows") and len(arrival.show().rows) == 10
    small = open_table(SESSION, "", "data1", small=True)
    assert [row.key for row in small.rows] == [row.key for row in arrival.rows[: len(small.rows)]]
    assert len(small.rows) == 400


def test_what_cannot_be_used_is_listed_with_its_place(tmp_path: Path) -> None:
    rows = [f"{number},{GOOD},{answer}" for number, answer in enumerate(["yes", "no"] * 3)]
    source = table(tmp_path / "in", *rows, f"x,{GOOD},maybe", f",{GOOD},yes", "y,two,3,4,5,monthly,card,private,no")
    (source / "notes.txt").write_text("ignored")
    (source / "broken.csv").write_bytes(b"\xff\xfe")
    arrival = open_table(SESSION, str(source), "data1", small=False)
    assert len(arrival.rows) == 6 and set(arrival.files()) == {"rows.csv", "broken.csv"}
    assert arrival.unusable["rows.csv:8"] == "churned is 'maybe'; it must be one of no, yes"
    assert arrival.unusable["rows.csv:9"] == "the row has no customer"
    assert "tenure is 'two'" in arrival.unusable["rows.csv:10"]
    assert "can't be read" in arrival.unusable["broken.csv"]
    assert len(arrival.skipped().rows) == 4


@pytest.mark.parametrize(
    ("lines", "says", "fix"),
    [
        ([f"{number},{GOOD},yes" for number in range(5)], "found stays: 0", "Give CSV files with the columns customer"),
        ([f"1,{GOOD},maybe"], "found stays: 0, leaves: 0 (1 rows left out)", "churned is 'maybe'"),
    ],
)
def test_data_without_a_class_are_refused(tmp_path: Path, lines: list[str], says: str, fix: str) -> None:
    with pytest.raises(DataError) as caught:
        open_table(SESSION, str(table(tmp_path / "in", *lines)), "data1", small=False)
    assert says in caught.value.what and fix in caught.value.fix
    with pytest.raises(DataError, match="no such folder"):
        open_table(SESSION, str(tmp_path / "absent"), "data1", small=False)


def test_the_hold_out_is_the_trials() -> None:
    first, second = (open_table(SESSION, "", name, small=False) for name in ("data1", "data2"))
    held = TASK.hold_out(SESSION, [first, second])
    truth = [GENERATE.truth({**row.values}) for row in held]
    labels = [int(row.label == "leaves") for row in held]
    assert judging.auc(labels, truth) == pytest.approx(GENERATE.truth_on_the_hold_out("data1", "data2"))
    # No row changes sets when more arrive.
    assert {row.key for row in TASK.hold_out(SESSION, [first])} <= {row.key for row in held}
    samples = TASK.samples(SESSION, "")
    assert [row.label for row in samples] == ["stays"] * 5 + ["leaves"] * 5
    assert {row.key for row in samples} <= {row.key for row in held}


def test_classes_are_those_of_the_configuration() -> None:
    assert TASK.choose_classes(SESSION, "", "") == ("stays", "leaves")
    assert TASK.choose_classes(SESSION, "stays, leaves", "") == ("stays", "leaves")
    with pytest.raises(UsageError, match="The classes are stays, leaves"):
        TASK.choose_classes(SESSION, "yes,no", "")


@pytest.mark.parametrize(
    ("labels", "scores", "area"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 1.0),
        ([1, 0], [0.1, 0.9], 0.0),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        ([1, 0, 1, 0], [0.8, 0.3, 0.5, 0.5], 3.5 / 4),
    ],
)
def test_the_area_under_the_curve(labels: list[int], scores: list[float], area: float) -> None:
    assert judging.auc(labels, scores) == pytest.approx(area)
    assert GENERATE.auc(labels, scores) == pytest.approx(area)
    curve = judging.roc(labels, scores)
    assert curve[0] == (0.0, 0.0) and curve[-1] == (1.0, 1.0)


def test_one_class_alone_has_no_area() -> None:
    assert math.isnan(judging.auc([1, 1], [0.1, 0.2]))


def test_the_truth_is_calibrated_and_a_boaster_is_not() -> None:
    rows = list(GENERATE.customers("data1"))
    labels, honest = [int(row["churned"] == "yes") for row in rows], [GENERATE.truth(row) for row in rows]
    points = judging.calibration(labels, honest)
    assert len(points) == 10 and max(abs(said - true) for said, true in points) < 0.08
    boaster = [0.5 + (score - 0.5) * 0.2 for score in honest]
    assert max(abs(said - true) for said, true in judging.calibration(labels, boaster)) > 0.2
    assert judging.calibration([1] * 3, [0.9] * 3) == []


def evaluation(title: str, shift: float) -> judging.Evaluation:
    rows = [Row(str(n), {}, ("stays", "leaves")[n % 2], ("private", "business")[n % 3 == 0]) for n in range(60)]
    judged = [judging.Judged(row, 0.3 + 0.4 * (n % 2) + shift * (n % 5)) for n, row in enumerate(rows)]
    return judging.Evaluation(title, "c" * 32, tuple(judged), ("stays", "leaves"))


def test_versions_are_compared_by_group() -> None:
    old, new = evaluation("old", -0.15), evaluation("new", 0.0)
    table = judging.comparison([old, new])
    assert tuple(table.columns) == ("Version", "Commit", "All", "business", "private")
    assert tuple(table.rows[1][2:]) == ("1.000", "1.000", "1.000") and float(table.rows[0][2]) < 1
    assert str(new) == "new: AUC 1.000 on 60 rows (cccccccccccc…)"
    drawn = judging.plots([old, new])
    assert "new, AUC 1.000 (best)" in drawn.description and "Calibration" in drawn.description


def test_drift_is_told_by_column() -> None:
    first, second = (open_table(SESSION, "", name, small=False) for name in ("data1", "data2"))
    found = TASK.drift(first, second)
    said = "segment is business in 49% instead of 0%; segment is private in 51% instead of 100%"
    assert str(found) == f"Drift from data1 to data2: {said}."
    assert "data1" in found._repr_html_() and len(found.table.rows) == len(first.layout.columns)
    assert str(TASK.drift(first, first)) == "No drift: data1 resembles data1."
    shifted = judging._means("tenure", [1.0, 2.0, 3.0], [3.0, 4.0, 5.0])
    assert shifted == ("mean 2", "mean 4", "tenure is higher (+2.4 deviations)")


def answer(score: float = 0.9, **more: Any) -> Prediction:
    index = int(score >= 0.5)
    label = ("stays", "leaves")[index]
    raw = {"index": index, "label": label, "scores": {"stays": 1 - score, "leaves": score}, "model": "churn", **more}
    (found,) = parse(TARGET, json.dumps({"predictions": [raw]}).encode(), 1)
    return found


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A service that gives each row the probability of the truth; the instances that it got."""
    asked: list[Any] = []

    def send(target: Endpoint, instances: Any, **more: Any) -> list[Prediction]:
        asked.append(list(instances))
        effects = {"calls": 0.3, "tenure": -0.1}
        return [answer(GENERATE.truth(each["data"]), effects=effects, version="v" * 32) for each in instances]

    monkeypatch.setattr(serving, "endpoint", lambda *given: TARGET)
    monkeypatch.setattr(serving, "service_status", lambda *given: SimpleNamespace(version="v" * 32))
    monkeypatch.setattr("pdk_nb.platforms.serving.batches.send", send)
    monkeypatch.setattr(predictions, "send", send)
    monkeypatch.setattr("pdk_nb.platforms.serving.endpoints.predictions.send", send)
    return asked


def test_a_model_that_knows_the_truth_is_as_good_as_the_truth(service: list[Any]) -> None:
    rows = TASK.hold_out(SESSION, [open_table(SESSION, "", "data1", small=False)])
    found = TASK.evaluate(SESSION, rows, "")
    assert found.auc() == pytest.approx(GENERATE.truth_on_the_hold_out("data1"))
    assert (found.title, found.commit, len(found.judged)) == ("v" * 12, "v" * 32, len(rows))
    # Many rows in few requests.
    assert [len(each) for each in service][:-1] == [200] * (len(rows) // 200)


def test_predictions_are_compared_with_the_rows(service: list[Any]) -> None:
    table = TASK.predict(SESSION, TASK.samples(SESSION, ""))
    assert [row[3] for row in table.rows] == ["stays"] * 5 + ["leaves"] * 5
    assert {row[4] for row in table.rows} <= {"right", "WRONG"}
    assert all((row[1] == row[3]) == (row[4] == "right") for row in table.rows)


def test_the_checks_ask_pachyderm_and_the_service(service: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    found = list(TASK.check_answers(SESSION))
    assert [note.state for note in found] == ["ok", "ok", "ok", "ok"]
    assert found[0].text == "The answer for leaves.json is leaves."
    assert list(TASK.check_answers(SESSION, min_gap=0.9))[-1].state == "wrong"
    monkeypatch.setitem(SESSION.__dict__, "pachyderm", None)
    monkeypatch.setattr("pdk_nb.tasks.tabular.lab.latest_commit", lambda session: "c1")
    monkeypatch.setattr(mldm, "commit_of", lambda *given, **more: None)
    monkeypatch.setattr(mldm, "files", lambda *given: ["/data1/a.csv", "/notes.txt"])
    said = list(TASK.check_commit(SESSION))
    assert [note.state for note in said] == ["ok", "wrong"] and "/notes.txt" in said[1].text
    monkeypatch.setattr(mldm, "files", lambda *given: [])
    assert next(iter(TASK.check_commit(SESSION))).state == "wrong"


def test_a_request_shows_its_row() -> None:
    row = TASK.samples(SESSION, "")[0]
    assert json.dumps(row.values["tenure"]) in str(TASK.show_request(row))
    assert TASK.instance(row) == {"data": dict(row.values)}
    body = json.loads(body_for(TARGET, [row.instance], detail=True))
    assert body == {"instances": [{"data": dict(row.values), "detail": True}]}
    second = Endpoint("churn", "a:1", "h", "churn", protocol="v2")
    assert json.loads(json.loads(body_for(second, [row.instance], detail=False))["inputs"][0]["data"][0]) == row.values


def test_the_form_has_a_control_for_each_column(service: list[Any]) -> None:
    samples = TASK.samples(SESSION, "")
    panel = panel_of(SESSION, samples)
    assert isinstance(panel, form.FormPanel)
    columns = {str(column["name"]): column["kind"] for column in layout_of(SESSION).columns}
    kinds = {"number": "FloatSlider", "category": "Dropdown"}
    assert {name: type(control).__name__ for name, control in panel.controls.items()} == {
        name: kinds[kind] for name, kind in columns.items()
    }
    assert panel.values == samples[0].values
    panel.submit(samples[-1])
    assert service[-1] == [{"data": dict(samples[-1].values)}]
    assert panel.last is not None and panel.view is not None
    assert "moved by calls +30%, tenure -10%" in panel.view.text
    assert panel.view.content.index("calls = ") < panel.view.content.index("tenure = ")
    panel.samples.value = samples[1]
    assert panel.values == samples[1].values
    panel.fill({"tenure": 99, "unknown": 1})
    assert panel.values["tenure"] == 99 and panel.controls["tenure"].max == 99


def test_the_form_shows_why_there_is_no_answer(service: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    panel = form.FormPanel(SESSION)
    bad = [Prediction(None, error="charge is <b>")]
    monkeypatch.setattr(predictions, "send", lambda *given, **more: bad)
    with pytest.raises(PredictionError, match="charge is <b>"):
        panel.submit()
    assert "charge is &lt;b&gt;" in panel.status.value and panel.answer.value == "" and not panel.button.disabled


def test_the_form_shows_an_unexpected_error(service: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    panel = form.FormPanel(SESSION)

    def send(*given: Any, **more: Any) -> Any:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(predictions, "send", send)
    panel.button.click()
    assert "ZeroDivisionError: surprise" in panel.status.value
    assert isinstance(panel.error, PredictionError) and not panel.button.disabled


def test_effects_are_read_in_both_protocols() -> None:
    assert form.effects_of(answer(effects={"calls": 0.25})) == {"calls": 0.25}
    assert form.effects_of(Prediction(1, raw=json.dumps({"effects": {"calls": 0.25}}))) == {"calls": 0.25}
    assert form.effects_of(Prediction(1, raw=1)) == {}


def test_the_contract_of_pictures_has_its_own_panel() -> None:
    assert examples.find(root=ROOT / "examples").panel == "upload"
