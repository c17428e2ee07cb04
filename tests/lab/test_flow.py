"""The graph of the way takes its colours from what the platforms say."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.chapters import flow
from pdk_nb.names import Names
from pdk_nb.platforms.mlde import Progress
from pdk_nb.platforms.mldm import Job

LAB: Any = SimpleNamespace(names=Names())
ID = "ab" * 16
PIPELINES = {"dogs-and-cats-model": ("STANDBY", ""), "dogs-and-cats-deploy": ("STANDBY", "")}


def service(ready: bool = True, version: str = ID, state: str = "Loading") -> Any:
    return SimpleNamespace(ready=ready, version=version, model_state=state, name="dog-cat")


def states(known: flow.Flow) -> dict[str, tuple[str, str]]:
    return {node.key: (node.state, node.note) for node in flow.graph(LAB, known).nodes}


def test_before_anything_is_there_all_of_it_waits() -> None:
    found = states(flow.Flow("pdk", pipelines={}))
    assert {state for state, _ in found.values()} == {"waiting"}
    assert found["repo"][1] == found["train"][1] == found["service"][1] == "not there yet"


def test_pipelines_wait_for_a_commit() -> None:
    found = states(flow.Flow("pdk", "", "dogs-and-cats-data", PIPELINES))
    assert found["repo"] == ("waiting", "no commit yet")
    assert found["train"] == found["deploy"] == ("waiting", "waits for a commit")


def test_while_the_experiment_runs_the_way_has_colour_up_to_it() -> None:
    job = Job(ID, "dogs-and-cats-model", "RUNNING", "", 12.0)
    known = flow.Flow(
        "pdk", ID, "dogs-and-cats-data", PIPELINES, train=job, experiment=4, progress=Progress("RUNNING", 0.6, 4, 120)
    )
    assert states(known)["train"] == ("running", "job running, 12 s")
    assert states(known)["experiment"] == ("running", "running, 120 batches")
    assert states(known)["version"][0] == "waiting"
    waits = replace(known, deploy=Job(ID, "dogs-and-cats-deploy", "STARTING", "", 0.0))
    assert states(waits)["deploy"] == ("waiting", "waits for the model")
    edges = {(edge.start, edge.end): edge.state for edge in flow.graph(LAB, known).edges}
    assert edges["train", "experiment"] == "running"
    assert edges["experiment", "version"] == "waiting"


def test_at_the_end_everything_is_done() -> None:
    job = Job(ID, "x", "SUCCESS", "", 20.0)
    known = flow.Flow(
        "pdk", ID, "r", PIPELINES, job, 4, Progress("COMPLETED", 1.0, 4, 200), 2, "accuracy 0.990", job, service()
    )
    assert {state for state, _ in states(known).values()} == {"done"}
    assert "model version dogs-and-cats 2: accuracy 0.990" in flow.graph(LAB, known).description()


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"train": Job(ID, "x", "FAILURE", "no dogs", 3.0)}, "train", ("failed", "job failure, 3 s")),
        (
            {"pipelines": {**PIPELINES, "dogs-and-cats-deploy": ("CRASHING", "no image")}},
            "deploy",
            ("failed", "no image"),
        ),
        ({"progress": Progress("ERROR", 0.1, 4, 20), "experiment": 4}, "experiment", ("failed", "error, 20 batches")),
        ({"service": service(ready=False)}, "service", ("running", "loading")),
        ({"service": service(version="cd" * 16)}, "service", ("waiting", "still serves cdcdcdcd…")),
    ],
)
def test_trouble_and_waiting_are_told(changes: dict[str, Any], key: str, expected: tuple[str, str]) -> None:
    known = flow.Flow("pdk", **{"commit": ID, "repo": "r", "pipelines": PIPELINES, **changes})
    assert states(known)[key] == expected


@pytest.mark.parametrize(
    ("version", "ready_at", "shown"),
    [(ID, 130.0, True), (ID, 5000.0, False), (ID, 50.0, False), ("cd" * 16, 130.0, False)],
)
def test_the_timeline_ends_with_the_service_that_this_commit_made(version: str, ready_at: float, shown: bool) -> None:
    status: Any = service(version=version)
    status.changed = datetime.fromtimestamp(ready_at, timezone.utc)
    deploy = Job(ID, "deploy", "SUCCESS", "", 20.0, started=100.0, finished=120.0)
    assert [bar.name for bar in flow._ready_bar(status, ID, deploy)] == (["service ready"] if shown else [])
