"""Pachyderm's worker pods: why one doesn't start. Pachyderm itself shows only a job that waits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdk_nb.platforms.serving.pods import BAD_NAME, CANNOT_PULL, Pod, read_pod

__all__ = ["WorkerTrouble", "image_trouble", "worker_pods", "worker_trouble"]

REQUEST_TIMEOUT_S = 5.0
# How long an image has to be refused before waiting longer is useless: a registry can be busy for a moment.
PULL_HOLD_S, BAD_NAME_HOLD_S = 12.0, 3.0
IMAGE_FIX = (
    "Push the image and let notebook 01 update the pipelines: pdk-nb images build && pdk-nb images push, then pdk-nb "
    "run --only 01. pdk-nb doctor --only images --probe  lets a node pull it."
)


@dataclass(frozen=True)
class WorkerTrouble:
    """Why a worker doesn't run.

    Attributes:
        text: One line for people.
        fix: What to do about it.
        hold_s: Seconds for which it has to hold before waiting longer is useless; None while it can pass by itself.
    """

    text: str
    fix: str
    hold_s: float | None = None


def worker_pods(core: Any, namespace: str, project: str, pipeline: str) -> list[Pod]:
    """The worker pods of a pipeline, without those that end; none where they can't be read.

    Args:
        core: A ``CoreV1Api``.
        namespace: Pachyderm's namespace.
        project: The pipeline's project.
        pipeline: The pipeline.
    """
    items = _items(core.list_namespaced_pod, namespace, label_selector="component=worker")
    found = [read_pod(each) for each in items if _belongs(each, project, pipeline)]
    return [pod for pod in found if pod.ends is None]


def _belongs(pod: Mapping[str, Any], project: str, pipeline: str) -> bool:
    """Whether Pachyderm's own labels name the pipeline (``worker_rc.go``); older releases have no projects."""
    labels = pod["metadata"].get("labels") or {}
    return labels.get("pipelineName") == pipeline and labels.get("pipelineProject", project) == project


def worker_trouble(core: Any, namespace: str, project: str, pipeline: str) -> WorkerTrouble | None:
    """Why a worker of a pipeline doesn't run; None when none waits, or when that can't be read.

    Args:
        core: A ``CoreV1Api``.
        namespace: Pachyderm's namespace.
        project: The pipeline's project.
        pipeline: The pipeline.
    """
    for pod in worker_pods(core, namespace, project, pipeline):
        describe = f"kubectl -n {namespace} describe pod {pod.name}"
        if pod.unschedulable:
            fix = (
                "Wait until other pods have ended, delete a service that nobody uses (pdk-nb reset), or add a node; "
                f"{describe}, and kubectl describe nodes  shows who holds the place."
            )
            return WorkerTrouble(f"pod {pod.name} has no node: {pod.unschedulable}", fix)
        for each in pod.troubles:
            if each.reason in CANNOT_PULL:
                return WorkerTrouble(str(each), IMAGE_FIX, BAD_NAME_HOLD_S if each.reason in BAD_NAME else PULL_HOLD_S)
            return WorkerTrouble(str(each), f"{describe}; kubectl -n {namespace} logs {pod.name} -c {each.container}")
        if not pod.ready:
            # A volume that can't be mounted, for example, is told only by an event.
            selector = f"involvedObject.name={pod.name},type=Warning"
            events = _items(core.list_namespaced_event, namespace, field_selector=selector)
            if events:
                told = f"pod {pod.name}: {events[-1].get('reason', '')}: {events[-1].get('message', '')}"
                return WorkerTrouble(told, describe)
    return None


def image_trouble(state: str, reason: str) -> WorkerTrouble | None:
    """The same where pods can't be read: Pachyderm calls a pipeline whose image can't be pulled crashing.

    Args:
        state: The pipeline's state.
        reason: Pachyderm's words about it.
    """
    if state == "CRASHING" and "image" in reason:
        return WorkerTrouble(f"the pipeline is crashing: {reason}", IMAGE_FIX, PULL_HOLD_S)
    return None


def _items(ask: Any, namespace: str, **selector: str) -> list[dict[str, Any]]:
    import kubernetes
    import urllib3

    try:
        # As JSON, not as the client's objects: those refuse pods that lack a field the lab does not look at.
        found = ask(namespace, _preload_content=False, _request_timeout=REQUEST_TIMEOUT_S, **selector)
        return list(json.loads(found.data).get("items", []))
    except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
        return []
