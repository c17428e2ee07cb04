"""Pachyderm's worker pods: why one doesn't start. Pachyderm itself shows only a job that waits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pdk_nb.platforms.serving.pods import Pod, read_pod

__all__ = ["worker_pods", "worker_trouble"]

REQUEST_TIMEOUT_S = 5.0


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


def worker_trouble(core: Any, namespace: str, project: str, pipeline: str) -> str:
    """Why a worker of a pipeline doesn't run; empty when none waits, or when that can't be read.

    Args:
        core: A ``CoreV1Api``.
        namespace: Pachyderm's namespace.
        project: The pipeline's project.
        pipeline: The pipeline.
    """
    for pod in worker_pods(core, namespace, project, pipeline):
        if pod.unschedulable:
            return f"pod {pod.name} has no node: {pod.unschedulable}"
        if pod.troubles:
            return str(pod.troubles[0])
        if not pod.ready:
            # A volume that can't be mounted, for example, is told only by an event.
            selector = f"involvedObject.name={pod.name},type=Warning"
            events = _items(core.list_namespaced_event, namespace, field_selector=selector)
            if events:
                return f"pod {pod.name}: {events[-1].get('reason', '')}: {events[-1].get('message', '')}"
    return ""


def _items(ask: Any, namespace: str, **selector: str) -> list[dict[str, Any]]:
    import kubernetes
    import urllib3

    try:
        # As JSON, not as the client's objects: those refuse pods that lack a field the lab does not look at.
        found = ask(namespace, _preload_content=False, _request_timeout=REQUEST_TIMEOUT_S, **selector)
        return list(json.loads(found.data).get("items", []))
    except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
        return []
