"""A journey is read from the platforms once, and its views take colors and words from what the platforms say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.journey import read, reading, watch
from pdk_nb.journey.graph import graph
from pdk_nb.journey.model import (
    Checkpoint,
    Commit,
    Experiment,
    Journey,
    Metric,
    PipelineRun,
    Provenance,
    Service,
    Version,
)
from pdk_nb.journey.recap import recap
from pdk_nb.journey.timeline import timeline
from pdk_nb.journey.trail import Trail
from pdk_nb.names import Names
from pdk_nb.platforms.mlde import Progress
from pdk_nb.platforms.mldm import Job
from pdk_shared.errors import DataError, DeploymentError

ID = "ab" * 16
NOTHING = Journey(
    "",
    "dogs-and-cats",
    Commit("pdk", "dogs-and-cats-data"),
    PipelineRun("dogs-and-cats-model"),
    PipelineRun("dogs-and-cats-deploy"),
    Service("dog-cat"),
)
READY_FOR_COMMITS = replace(
    NOTHING,
    commit=replace(NOTHING.commit, repo_exists=True),
    train=replace(NOTHING.train, pipeline_state="STANDBY"),
    deploy=replace(NOTHING.deploy, pipeline_state="STANDBY"),
)
COMMITTED = replace(READY_FOR_COMMITS, id=ID, commit=Commit("pdk", "dogs-and-cats-data", ID, True, 90.0))


def job(state: str, seconds: float = 20.0, pipeline: str = "dogs-and-cats-model", **times: float) -> Job:
    return Job(ID, pipeline, state, "", seconds, **times)


def with_train(journey: Journey, found: Job) -> Journey:
    return replace(journey, train=replace(journey.train, job=found))


def with_deploy(journey: Journey, found: Job) -> Journey:
    return replace(journey, deploy=replace(journey.deploy, job=found))


def service(ready: bool = True, version: str = ID, state: str = "Loading", changed: float | None = None) -> Service:
    moment = None if changed is None else datetime.fromtimestamp(changed, timezone.utc)
    status: Any = SimpleNamespace(ready=ready, version=version, model_state=state, name="dog-cat", changed=moment)
    return Service("dog-cat", status)


FINISHED = replace(
    with_deploy(with_train(COMMITTED, job("SUCCESS")), job("SUCCESS")),
    experiment=Experiment(4, Progress("COMPLETED", 1.0, 4, 200)),
    version=Version(2, ID, Checkpoint("c" * 8), Provenance(metric=Metric("accuracy", 0.99))),
    service=service(),
)


def states(journey: Journey) -> dict[str, tuple[str, str]]:
    return {node.key: (node.state, node.note) for node in graph(journey).nodes}


def test_before_anything_is_there_all_of_it_waits() -> None:
    found = states(NOTHING)
    assert {state for state, _ in found.values()} == {"waiting"}
    assert found["repo"][1] == found["train"][1] == found["service"][1] == "not yet"


def test_pipelines_wait_for_a_commit() -> None:
    found = states(READY_FOR_COMMITS)
    assert found["repo"] == ("waiting", "no commit yet")
    assert found["train"] == found["deploy"] == ("waiting", "waits for a commit")


def test_while_the_experiment_runs_the_way_has_colour_up_to_it() -> None:
    known = replace(
        with_train(COMMITTED, job("RUNNING", 12.0)), experiment=Experiment(4, Progress("RUNNING", 0.6, 4, 120))
    )
    assert states(known)["train"] == ("running", "job running, 12 s")
    assert states(known)["experiment"] == ("running", "running, 120 batches")
    assert states(known)["version"][0] == "waiting"
    assert states(with_deploy(known, job("STARTING", 0.0)))["deploy"] == ("waiting", "waits for the model")
    edges = {(edge.start, edge.end): edge.state for edge in graph(known).edges}
    assert edges["train", "experiment"] == "running"
    assert edges["experiment", "version"] == "waiting"


def test_at_the_end_everything_is_done() -> None:
    assert {state for state, _ in states(FINISHED).values()} == {"done"}
    assert "model version dogs-and-cats 2: accuracy 0.990" in graph(FINISHED).description()


@pytest.mark.parametrize(
    ("known", "key", "expected"),
    [
        (with_train(COMMITTED, job("FAILURE", 3.0)), "train", ("failed", "job failure, 3 s")),
        (
            replace(COMMITTED, deploy=PipelineRun("dogs-and-cats-deploy", "CRASHING", "no image")),
            "deploy",
            ("failed", "no image"),
        ),
        (
            replace(COMMITTED, experiment=Experiment(4, Progress("ERROR", 0.1, 4, 20))),
            "experiment",
            ("failed", "error, 20 batches"),
        ),
        (replace(COMMITTED, service=service(ready=False)), "service", ("running", "loading")),
        (replace(COMMITTED, service=service(version="cd" * 16)), "service", ("waiting", "still serves cdcdcdcd…")),
    ],
)
def test_trouble_and_waiting_are_told(known: Journey, key: str, expected: tuple[str, str]) -> None:
    assert states(known)[key] == expected


@pytest.mark.parametrize(
    ("version", "ready_at", "shown"),
    [(ID, 130.0, True), (ID, 5000.0, False), (ID, 50.0, False), ("cd" * 16, 130.0, False)],
)
def test_the_timeline_ends_with_the_service_that_this_commit_made(version: str, ready_at: float, shown: bool) -> None:
    known = with_deploy(COMMITTED, job("SUCCESS", started=100.0, finished=120.0))
    bars = timeline(replace(known, service=service(version=version, changed=ready_at))).bars
    assert [bar.name for bar in bars] == ["commit", "deploy job", *(["service ready"] if shown else [])]


def test_the_timeline_has_the_times_of_jobs_experiment_and_checkpoint() -> None:
    known = replace(
        with_train(COMMITTED, job("RUNNING", started=91.0)),
        experiment=Experiment(4, Progress("COMPLETED", 1.0, 4, 200, None, 92.0, 99.0)),
        version=Version(2, ID, Checkpoint("c" * 8, 4, 98.0)),
    )
    bars = [(bar.name, bar.start, bar.end, bar.state) for bar in timeline(known).bars]
    assert bars == [
        ("commit", 90.0, None, "done"),
        ("train job", 91.0, None, "running"),
        ("experiment 4", 92.0, 99.0, "done"),
        ("best checkpoint", 98.0, None, "done"),
    ]


def test_a_commit_that_is_gone_has_no_timeline() -> None:
    with pytest.raises(DataError, match="no such commit"):
        timeline(replace(COMMITTED, commit=Commit("pdk", "dogs-and-cats-data", ID, lost="There is no such commit.")))


def test_the_trail_and_the_recap_name_what_an_id_ties() -> None:
    rows = {station: (id, state) for station, id, state in Trail(FINISHED).rows()}
    assert rows["Pachyderm job: train"] == (ID, "success after 20 s")
    assert rows["Checkpoint"] == ("c" * 8, "accuracy 0.990")
    assert rows["Model version"] == ("2", f"named {ID}")
    assert rows["InferenceService"] == (ID, "the commit whose model answers")
    assert recap(FINISHED).text == (
        f"{ID} links: commit in dogs-and-cats-data · train job (success) · experiment 4 · model version 2 · "
        "deploy job (success) · service dog-cat"
    )


def test_before_the_first_commit_the_trail_and_the_recap_say_so() -> None:
    assert {state for _, _, state in Trail(COMMITTED).rows()[1:]} == {"not yet", ""}
    assert "There is no id yet" in recap(NOTHING).text


@pytest.mark.parametrize(
    ("progress", "text", "share"),
    [
        (None, "job running: it fetches and checks the code", None),
        (Progress("QUEUED", 0.0), "experiment 4 is queued: the trial starts", None),
        (Progress("RUNNING", 0.6, 4, 120), "experiment 4: 120 batches, 60%", 0.6),
        (Progress("COMPLETED", 1.0, 4, 200), "the experiment is done; the job registers its best checkpoint", None),
    ],
)
def test_who_waits_for_training_reads_what_happens(progress: Progress | None, text: str, share: float | None) -> None:
    known = with_train(COMMITTED, job("RUNNING"))
    known = replace(known, experiment=Experiment(4, progress) if progress else None)
    assert watch.training_step(known) == (text, share)
    assert watch.training_step(COMMITTED) == ("no job yet", None)


def test_metadata_of_other_tools_are_no_provenance_and_no_error() -> None:
    known = Provenance.from_metadata({"code": "main", "metric": 0.9, "classes": "dog", "experiment": None, "job": ID})
    assert known == Provenance(job=ID)


def counted(calls: Counter[str], name: str, answer: Any) -> Callable[..., Any]:
    def ask(*args: Any) -> Any:
        calls[name] += 1
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each platform is asked; there are the repo with a commit, the pipelines and the train job."""
    made: Counter[str] = Counter()
    answers: dict[tuple[Any, str], Any] = {
        (reading.mldm, "newest"): ID,
        (reading.mldm, "repos"): ["dogs-and-cats-data"],
        (reading.mldm, "commit_finished"): 90.0,
        (reading.mldm, "files"): {},
        (reading.mldm, "pipelines"): {"dogs-and-cats-model": ("STANDBY", "")},
        (reading.mldm, "job"): job("SUCCESS"),
        (reading.mldm, "newest_try"): None,
        (reading.mlde, "find_model"): "dogs-and-cats",
        (reading.mlde, "versions"): [],
        (reading.mlde, "experiment_for_job"): SimpleNamespace(id=4, config=None),
        (reading.mlde, "progress"): Progress("RUNNING", 0.5, 4, 100),
        (reading.serving, "service_status"): DeploymentError("There is no such InferenceService."),
    }
    for (platform, name), answer in answers.items():
        monkeypatch.setattr(platform, name, counted(made, name, answer))
    return made


SESSION: Any = SimpleNamespace(names=Names(), pachyderm=None, determined=None, settings=None)


def test_one_look_asks_each_thing_once_and_lists_no_files(calls: Counter[str]) -> None:
    found = read(SESSION)
    assert set(calls.values()) == {1}
    assert "files" not in calls and "repos" not in calls
    assert (found.id, found.commit.finished, found.train.pipeline_state) == (ID, 90.0, "STANDBY")
    assert found.experiment == Experiment(4, Progress("RUNNING", 0.5, 4, 100))
    assert found.version is None and found.service.status is None


def test_without_a_commit_nothing_is_asked_about_one(calls: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.mldm, "newest", lambda *given: "")
    found = read(SESSION)
    assert set(calls) == {"repos", "pipelines", "service_status"}
    assert found.commit.repo_exists and not found.id and found.experiment is None
