"""Why a pipeline's worker doesn't start, as Kubernetes tells it and Pachyderm doesn't."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.display.progress import Progress
from pdk_nb.journey import jobs, watch
from pdk_nb.journey.jobs import Beginning
from pdk_nb.names import Names
from pdk_nb.panel.teach import Teaching
from pdk_nb.platforms import mldm
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.workers import image_trouble, worker_trouble
from pdk_shared.errors import TrainingError

NO_ROOM = "0/1 nodes are available: 1 Insufficient cpu."


def pod(name: str = "train-v1-x", pipeline: str = "train", project: str = "pets", **status: Any) -> dict[str, Any]:
    labels = {"component": "worker", "pipelineName": pipeline, "pipelineProject": project}
    return {"metadata": {"name": name, "labels": labels}, "status": status}


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def core(*pods: dict[str, Any], events: tuple[dict[str, str], ...] = (), status: int = 200) -> Any:
    def answer(items: tuple[dict[str, Any], ...]) -> Any:
        def call(namespace: str, **options: Any) -> Any:
            if status != 200:
                raise kubernetes.client.ApiException(status=status)
            return SimpleNamespace(data=json.dumps({"items": list(items)}))

        return call

    return SimpleNamespace(list_namespaced_pod=answer(pods), list_namespaced_event=answer(events))


PENDING = pod(conditions=[condition("PodScheduled", "False", reason="Unschedulable", message=NO_ROOM)])
PULLING = pod(
    containerStatuses=[{"name": "user", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}]
)
MOUNTING = pod(containerStatuses=[{"name": "user", "state": {"waiting": {"reason": "ContainerCreating"}}}])
RUNNING = pod(conditions=[condition("Ready", "True")])
FAILED_MOUNT = {"reason": "FailedMount", "message": "hostPath type check failed: /mnt is not a directory"}


def session_of(pachyderm: Any = None) -> Any:
    names = Names(project="pets", train_pipeline="train", deploy_pipeline="deploy")
    settings = SimpleNamespace(mldm_namespace="default")
    return SimpleNamespace(settings=settings, names=names, pachyderm=pachyderm or Pachyderm())


@pytest.mark.parametrize(
    ("cluster", "text"),
    [
        (core(), ""),
        (core(RUNNING, events=(FAILED_MOUNT,)), ""),
        (core(PENDING), f"pod train-v1-x has no node: {NO_ROOM}"),
        (core(PULLING), "pod train-v1-x, user: ImagePullBackOff: not found"),
        (core(MOUNTING), ""),
        (core(MOUNTING, events=(FAILED_MOUNT,)), f"pod train-v1-x: FailedMount: {FAILED_MOUNT['message']}"),
        (core(pod(pipeline="deploy", **PENDING["status"])), ""),
        (core(pod(project="others", **PENDING["status"])), ""),
        # Reading pods of Pachyderm's namespace is often not allowed.
        (core(PENDING, status=403), ""),
    ],
)
def test_why_a_worker_does_not_start(cluster: Any, text: str) -> None:
    found = worker_trouble(cluster, "default", "pets", "train")
    assert (found.text if found else "") == text
    assert found is None or "kubectl" in found.fix or "pdk-nb" in found.fix


@pytest.mark.parametrize(("state", "shown"), [("STARTING", True), ("CREATED", True), ("RUNNING", False)])
def test_a_notebook_shows_why_a_job_waits(monkeypatch: pytest.MonkeyPatch, state: str, shown: bool) -> None:
    monkeypatch.setattr(jobs, "resolve", lambda known: SimpleNamespace(core=core(PENDING)))
    monkeypatch.setattr(jobs, "WORKERS_S", -1.0)
    progress = Progress("Waiting")
    look = watch._DeploymentWatch(session_of(), "abc", progress)
    monkeypatch.setattr(look, "draw", lambda: None)
    found = Job("abc", "train", state, "", 0.0)
    monkeypatch.setattr(mldm, "wait_job", lambda *given, progress, **named: progress(found))
    jobs.wait_job(look.session, "train", "abc", 5.0, look.look)
    assert (NO_ROOM in progress.text) is ("add a node" in progress.text) is shown
    progress.end("done")


@pytest.mark.parametrize("stuck", ["train", "deploy"])
def test_the_panel_shows_why_a_taught_arrival_does_not_come_forward(
    monkeypatch: pytest.MonkeyPatch, stuck: str
) -> None:
    cluster = core(pod(pipeline=stuck, **PULLING["status"]))
    monkeypatch.setattr(jobs, "resolve", lambda known: SimpleNamespace(core=cluster))
    monkeypatch.setattr(jobs, "WORKERS_S", -1.0)
    monkeypatch.setattr(mldm, "wait_job", lambda *given, **named: waits(given[2], named["progress"], stuck))
    clock = itertools.count(0.0, 5.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    teaching = Teaching(session_of(), list, lambda action: action())
    said: list[str] = []
    teaching.say = lambda line, state: said.append(line)
    monkeypatch.setattr(teaching, "_draw", lambda id: None)
    monkeypatch.setattr(teaching.tray, "commit", lambda: "abc")
    with pytest.raises(TrainingError, match="can't start.*ImagePullBackOff") as caught:
        teaching.teach()
    assert "pdk-nb images push" in caught.value.fix
    shown = "Commit abc…: the {} job is created: pod train-v1-x, user: ImagePullBackOff: not found What to do: Push the"
    assert any(line.startswith(shown.format(stuck)) for line in said), said


def waits(pipeline: str, progress: Callable[[Job], None], stuck: str) -> Job:
    """What Pachyderm tells of a job that never begins, or of one that has succeeded."""
    for _ in range(20 if pipeline == stuck else 0):
        progress(Job("abc", pipeline, "CREATED", "", 0.0))
    return Job("abc", pipeline, "SUCCESS", "", 1.0)


class Pachyderm:
    """A Pachyderm with one pipeline."""

    def __init__(self, state: int = pps_pb2.PIPELINE_STANDBY, reason: str = "") -> None:
        self.info = pps_pb2.PipelineInfo(
            pipeline=pps_pb2.Pipeline(name="train", project=pfs_pb2.Project(name="pets")), state=state, reason=reason
        )

    def list_pipeline(self, *given: Any, **named: Any) -> list[pps_pb2.PipelineInfo]:
        return [self.info]


@pytest.fixture
def beginning(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Beginning]:
    """The beginning of a job, by the cluster and the Pachyderm that it sees."""

    def make(cluster: Any, pachyderm: Any = None) -> Beginning:
        monkeypatch.setattr(jobs, "resolve", lambda known: SimpleNamespace(core=cluster))
        monkeypatch.setattr(jobs, "WORKERS_S", -1.0)
        return Beginning(session_of(pachyderm), "train", "abc")

    return make


WAITING_JOB = Job("abc", "train", "CREATED", "", 0.0)


@pytest.mark.parametrize(
    ("cluster", "pachyderm"),
    [
        (core(PULLING), None),
        # Pachyderm 2.8.10's own words, where this user may not read pods.
        (core(status=403), Pachyderm(pps_pb2.PIPELINE_CRASHING, "failed to pull and unpack image: not found")),
    ],
)
def test_an_image_that_cannot_be_pulled_ends_the_wait(
    beginning: Callable[..., Beginning], monkeypatch: pytest.MonkeyPatch, cluster: Any, pachyderm: Any
) -> None:
    look = beginning(cluster, pachyderm)
    look.look(WAITING_JOB)
    look.look(WAITING_JOB)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 13.0)
    with pytest.raises(TrainingError, match="can't start.*not found") as caught:
        look.look(WAITING_JOB)
    assert "pdk-nb images push" in caught.value.fix


def test_a_refusal_that_passes_does_not_end_the_wait(
    beginning: Callable[..., Beginning], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = beginning(core(PULLING))
    look.look(WAITING_JOB)
    monkeypatch.setattr(jobs, "resolve", lambda known: SimpleNamespace(core=core(MOUNTING)))
    look.look(WAITING_JOB)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 13.0)
    monkeypatch.setattr(jobs, "resolve", lambda known: SimpleNamespace(core=core(PULLING)))
    look.look(WAITING_JOB)
    assert look.trouble is not None


def test_pachyderms_other_crashes_are_not_taken_for_an_image() -> None:
    assert image_trouble("CRASHING", "no space left on device") is None
    assert image_trouble("RUNNING", "failed to pull image") is None


def test_a_wait_that_ran_out_of_time_says_why_the_worker_never_started(
    beginning: Callable[..., Beginning], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*given: Any, progress: Callable[[Job], None], **named: Any) -> Job:
        progress(WAITING_JOB)
        raise TrainingError("The job didn't end within 5 s; it is CREATED.", where="pets/train@abc", fix="look")

    beginning(core(PENDING))
    monkeypatch.setattr(mldm, "wait_job", never)
    with pytest.raises(TrainingError, match="within 5 s.*has no node") as caught:
        jobs.wait_job(session_of(), "train", "abc", 5.0, lambda job, why: None)
    assert "add a node" in caught.value.fix
