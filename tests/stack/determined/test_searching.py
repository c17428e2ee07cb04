"""The searches for experiments and runs, metrics over time, and the tables of a project; no trial is started."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.determined.conftest import Ask, as_admin, new_master

CONFIG = {"name": "found", "searcher": {"name": "random", "metric": "loss", "max_trials": 2}, "labels": ["a", "b"]}
FILES = {"train.py": b"print()\n", "pack": None, "pack/picture.png": b"\x89PNG\r\n\x1a\n\x00"}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A master with two experiments; the first has two ended trials with metrics and metadata."""
    process = new_master(tmp_path_factory.mktemp("searching")).start()
    call = as_admin(process)
    for name in ("found", "other"):
        config = json.dumps({**CONFIG, "name": name, "hyperparameters": {"lr": {"type": "const", "val": 0.5}}})
        status, made = call("POST", "experiments", {"config": config, "unmanaged": True, "modelDefinition": _files()})
        assert status == 200, made
    for losses in ([0.5, 0.25], [0.4, 0.3, 0.35]):
        _, made = call("POST", "trials", {"experimentId": 1, "hparams": {"lr": losses[0]}, "unmanaged": True})
        trial = made["trial"]["id"]
        call("POST", f"trials/{trial}/start", {"trialId": trial})
        for step, loss in enumerate(losses, 1):
            metrics = {
                "trialId": trial,
                "trialRunId": 1,
                "stepsCompleted": step,
                "metrics": {"avgMetrics": {"loss": loss}},
            }
            for group in ("training", "validation"):
                assert call("POST", f"trials/{trial}/metrics", {"metrics": metrics, "group": group})[0] == 200
        call("POST", f"runs/{trial}/metadata", {"metadata": {"who": "ann" if trial == 1 else "bob"}})
        call("PATCH", f"trials/{trial}", {"trialId": trial, "state": "STATE_COMPLETED"})
    yield call
    process.stop()


def _files() -> list[dict[str, Any]]:
    return [
        {"path": path, "type": 53 if content is None else 48, "content": base64.b64encode(content or b"").decode()}
        for path, content in FILES.items()
    ]


def _filter(column: str, sign: str, value: Any, place: str, archived: bool = False) -> str:
    field = {"kind": "field", "columnName": column, "operator": sign, "value": value, "location": place}
    return json.dumps(
        {"filterGroup": {"kind": "group", "conjunction": "and", "children": [field]}, "showArchived": archived}
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["found", "other"]),
        ({"sort": "name=desc"}, ["other", "found"]),
        ({"sort": "searcherMetricsVal=desc"}, ["found", "other"]),
        ({"limit": 1, "offset": 1}, ["other"]),
        ({"limit": -2}, []),
        ({"offset": 9}, []),
        ({"projectId": 1}, ["found", "other"]),
        ({"filter": _filter("tags", "contains", '"a", "b"', "LOCATION_TYPE_EXPERIMENT")}, ["found", "other"]),
        ({"filter": _filter("numTrials", "=", 2, "LOCATION_TYPE_EXPERIMENT")}, ["found"]),
        ({"filter": _filter("validation.loss.min", "notEmpty", None, "LOCATION_TYPE_VALIDATIONS")}, ["found"]),
    ],
)
def test_experiments_are_found(ask: Ask, body: dict[str, Any], expected: list[str]) -> None:
    status, reply = ask("POST", "experiments-search", body)
    assert status == 200, reply
    assert [each["experiment"]["name"] for each in reply["experiments"]] == expected
    best = {each["experiment"]["name"]: each["bestTrial"] for each in reply["experiments"]}
    if best.get("found"):
        assert (best["found"]["id"], best["found"]["searcherMetricValue"]) == (1, 0.25)
    assert best.get("other") is None


@pytest.mark.parametrize("order", ["", "&orderBy=ORDER_BY_DESC"])
@pytest.mark.parametrize("page", ["", "&limit=1", "&limit=1&offset=1", "&limit=-1", "&limit=-2", "&offset=9"])
@pytest.mark.parametrize("more", ["", "&sortBy=SORT_BY_ID", "&showTrialData=true"])
def test_a_list_without_filters_is_the_same_as_one_that_reads_all(ask: Ask, order: str, page: str, more: str) -> None:
    plain = ask("GET", f"experiments?{order}{page}{more}".replace("?&", "?"))
    # A filter that fits all.
    filtered = ask("GET", f"experiments?archived=false{order}{page}{more}")
    for _, reply in (plain, filtered):
        for each in reply["experiments"]:
            # One experiment runs: a second may pass between the two requests.
            each.pop("duration", None)
    assert plain == filtered
    assert plain[0] == 200 and plain[1]["pagination"]["total"] == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [1, 2]),
        ({"sort": "searcherMetricsVal=desc"}, [2, 1]),
        ({"sort": "hp.lr=asc"}, [2, 1]),
        ({"filter": _filter("state", "=", "COMPLETED", "LOCATION_TYPE_RUN")}, [1, 2]),
        ({"filter": _filter("isExpMultitrial", "=", False, "LOCATION_TYPE_RUN")}, []),
        ({"filter": _filter("hp.lr", ">", 0.45, "LOCATION_TYPE_RUN_HYPERPARAMETERS")}, [1]),
        ({"filter": _filter("metadata.who", "contains", "o", "LOCATION_TYPE_RUN_METADATA")}, [2]),
    ],
)
def test_runs_are_found(ask: Ask, body: dict[str, Any], expected: list[int]) -> None:
    status, reply = ask("POST", "runs", body)
    assert status == 200, reply
    assert [run["id"] for run in reply["runs"]] == expected
    key = ask("GET", "projects/1")[1]["project"]["key"]
    assert [run["localId"] for run in reply["runs"]] == [f"{key}-{run}" for run in expected]
    assert all(run["experiment"]["isMultitrial"] and "externalRunId" not in run for run in reply["runs"])


@pytest.mark.parametrize("call", ["experiments-search", "runs"])
def test_a_search_says_what_it_cannot_do(ask: Ask, call: str) -> None:
    for body, status in (
        ({"projectId": 99}, 404),
        ({"filter": ""}, 400),
        ({"sort": "x=asc"}, 400),
        ({"sort": ""}, 400),
    ):
        assert ask("POST", call, body)[0] == status, body


def test_a_project_says_what_its_tables_can_show(ask: Ask) -> None:
    def columns(kind: str) -> list[str]:
        reply = ask("GET", f"projects/1/columns?tableType=TABLE_TYPE_{kind}")[1]
        return [f"{each['column']} {each['type'].removeprefix('COLUMN_TYPE_')}" for each in reply["columns"]]

    statistics = [f"training.loss.{name} NUMBER" for name in ("last", "max", "mean", "min")]
    assert columns("EXPERIMENT")[:2] == ["id NUMBER", "name TEXT"] and columns("EXPERIMENT")[-1] == "hp.lr NUMBER"
    assert [each for each in columns("RUN") if each.startswith("training")] == statistics
    assert columns("RUN")[-2:] == ["hp.lr NUMBER", "metadata.who TEXT"]
    ranges = {
        each["metricsName"]: (each["min"], each["max"])
        for each in ask("GET", "projects/1/experiments/metric-ranges")[1]["ranges"]
    }
    assert ranges["validation.loss.min"] == ranges["searcherMetricsVal"] == (0.25, 0.25)
    assert ask("GET", "projects/1/metadata/who")[1] == {"values": ["ann", "bob"]}


def test_metrics_over_time(ask: Ask) -> None:
    def series(query: str) -> list[list[float]]:
        reply = ask("GET", f"trials/time-series?{query}")[1]
        return [
            [point["values"]["loss"] for point in each["data"]]
            for trial in reply["trials"]
            for each in trial["metrics"]
        ]

    assert series("trialIds=1&trialIds=2&metricIds=validation.loss") == [[0.5, 0.25], [0.4, 0.3, 0.35]]
    assert series("trialIds=2&metricNames=loss&maxDatapoints=2") == [[0.4, 0.3]] * 2
    assert series("trialIds=2&metricNames=loss&group=training&startBatches=3") == [[0.35]]
    assert series("trialIds=2") == []
    for query, status in (
        ("trialIds=9", 404),
        ("trialIds=1&metricIds=x&metricNames=y", 400),
        ("trialIds=1&metricIds=x", 400),
    ):
        assert ask("GET", f"trials/time-series?{query}")[0] == status, query


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metrics-stream/metric-names?ids=1", {"searcherMetrics": ["loss"], "trainingMetrics": ["loss"]}),
        ("1/metrics-stream/batches?metricName=loss&group=validation", {"batches": [1, 2, 3]}),
        ("1/metrics-stream/batches?metricName=gone&group=validation", {"batches": []}),
    ],
)
def test_streams_of_an_ended_experiment_end(ask: Ask, path: str, expected: dict[str, Any]) -> None:
    status, reply = ask("GET", f"experiments/{path}")
    assert status == 200 and {**reply["result"], **expected} == reply["result"]


def test_streams_say_what_is_missing(ask: Ask) -> None:
    for path, words in (
        ("metrics-stream/metric-names", "must specify at least one experiment id"),
        ("1/metrics-stream/batches", "must specify a metric name"),
        ("1/metrics-stream/trials-snapshot?metricName=x", "must specify a metric group"),
        ("1/metrics-stream/trials-snapshot?metricName=x&group=y&batchesMargin=101", "margin must be <= 100"),
    ):
        status, reply = ask("GET", f"experiments/{path}")
        assert (status, reply["error"]["message"]) == (400, words)


def test_trials_are_compared(ask: Ask) -> None:
    _, reply = ask(
        "GET", "experiments/1/metrics-stream/trials-snapshot?metricName=loss&group=training&batchesProcessed=2"
    )
    assert [(each["trialId"], each["metric"]) for each in reply["result"]["trials"]] == [(1, 0.25), (2, 0.3)]
    _, reply = ask("GET", "experiments/1/metrics-stream/trials-sample?metricName=loss&group=validation&maxTrials=1")
    assert reply["result"]["promotedTrials"] == [1] and len(reply["result"]["trials"][0]["data"]) == 2


def test_files_are_shown_one_by_one(ask: Ask) -> None:
    tree = ask("GET", "experiments/1/file_tree")[1]["files"]
    assert [(node["path"], node["isDir"], node["contentLength"]) for node in tree] == [
        ("train.py", False, 8),
        ("pack", True, 0),
    ]
    assert [(node["path"], node["contentType"]) for node in tree[1]["files"]] == [("pack/picture.png", "image/png")]
    assert ask("POST", "experiments/1/file", {"path": "train.py"})[1] == {
        "file": base64.b64encode(b"print()\n").decode()
    }
    for path in ("gone", "../train.py", "pack", ""):
        assert ask("POST", "experiments/1/file", {"path": path})[0] == 404
    packed = base64.b64decode(ask("GET", "experiments/1/model_def")[1]["b64Tgz"])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == list(FILES)


def test_actions_on_runs(ask: Ask) -> None:
    """The last test: it changes the runs."""

    def act(verb: str, **body: Any) -> dict[int, str]:
        status, reply = ask("POST", f"runs/{verb}", {"projectId": 1, **body})
        assert status == 200, reply
        return {each["id"]: each["error"] for each in reply["results"]}

    elsewhere = "Run with id '9' not found in project with id '1'"
    multiple = "Cannot pause/unpause run '1' (part of multi-trial)."
    assert act("kill", runIds=[1, 9]) == {1: "", 9: elsewhere}
    assert act("pause", runIds=[1]) == act("resume", runIds=[1]) == {1: multiple}
    assert act("archive", runIds=[1]) == act("archive", runIds=[1]) == {1: ""}
    assert [
        run["id"] for run in ask("POST", "runs", {"filter": _filter("id", ">", 0, "LOCATION_TYPE_RUN")})[1]["runs"]
    ] == [2]
    assert act("move", sourceProjectId=1, destinationProjectId=1, runIds=[1]) == {}
    assert act("pause", runIds=[1]) == {1: "Run is archived."}
    assert act("unarchive", filter=_filter("id", "=", 1, "LOCATION_TYPE_RUN", archived=True)) == {1: ""}
    assert ask("POST", "runs/archive", {"projectId": 1, "runIds": [1], "filter": "{}"})[0] == 400
    assert ask("POST", "runs/move", {"sourceProjectId": 1, "destinationProjectId": 9, "runIds": [1]})[0] == 404
    assert act("delete", runIds=[2]) == {2: ""}
    assert ask("GET", "trials/2")[0] == 404 and len(ask("POST", "runs", {})[1]["runs"]) == 1
