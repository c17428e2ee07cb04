"""Why a pipeline's worker doesn't start, as Kubernetes tells it and Pachyderm doesn't."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest

from pdk_nb.display.progress import Progress
from pdk_nb.journey import watch
from pdk_nb.names import Names
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.workers import worker_trouble

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
    assert worker_trouble(cluster, "default", "pets", "train") == text


@pytest.mark.parametrize(("state", "shown"), [("STARTING", True), ("CREATED", True), ("RUNNING", False)])
def test_a_notebook_shows_why_a_job_waits(monkeypatch: pytest.MonkeyPatch, state: str, shown: bool) -> None:
    settings = SimpleNamespace(mldm_namespace="default")
    monkeypatch.setattr(watch, "resolve", lambda known: SimpleNamespace(core=core(PENDING)))
    monkeypatch.setattr(watch, "WORKERS_S", 0.0)
    session: Any = SimpleNamespace(settings=settings, names=Names(project="pets", deploy_pipeline="train"))
    progress = Progress("Waiting")
    look = watch._DeploymentWatch(session, "train", "abc", progress)
    monkeypatch.setattr(look, "draw", lambda: None)
    time.sleep(0.01)
    for _ in range(2):
        look.look(Job("abc", "train", state, "", 0.0))
    assert (NO_ROOM in progress.text) is shown
    progress.end("done")
