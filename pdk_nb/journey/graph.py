"""A journey as a graph with states: data repo, pipelines, experiment, model version, and service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pdk_nb.display.diagrams import Edge, Graph, Node
from pdk_nb.journey.model import Journey, PipelineRun

LANES = ("Pachyderm", "Determined", "KServe")


def graph(journey: Journey, links: Mapping[str, str] | None = None) -> Graph:
    """The graph of a journey. Without a commit, all stations wait.

    Args:
        journey: The journey.
        links: The address that a box leads to, by its key; no links when None.
    """
    nodes = [
        _repo(journey),
        _pipeline("train", "train pipeline", journey.train, 1),
        _experiment(journey),
        _version(journey),
        _deploy(journey),
        _service(journey),
    ]
    nodes = [replace(node, link=(links or {}).get(node.key, "")) for node in nodes]
    edges = [
        Edge(start.key, end.key, "waiting" if "waiting" in (start.state, end.state) else end.state)
        for start, end in zip(nodes, nodes[1:], strict=False)
    ]
    return Graph(nodes, edges, f"Project {journey.commit.project}", LANES)


def _repo(journey: Journey) -> Node:
    commit = journey.commit
    if journey.id:
        return Node("repo", "data repo", commit.repo, "done", f"commit {journey.id[:8]}…", 0, 0)
    note = "no commit yet" if commit.repo_exists else "not yet"
    return Node("repo", "data repo", commit.repo, "waiting", note, 0, 0)


def _pipeline(key: str, kind: str, run: PipelineRun, column: int) -> Node:
    if run.job is not None:
        word = run.job.state.lower().replace("success", "succeeded")
        note = f"job {word}, {run.job.seconds:.0f} s"
    elif run.state == "failed":
        note = run.pipeline_reason or run.pipeline_state.lower()
    else:
        note = "waits for a commit" if run.pipeline_state else "not yet"
    return Node(key, kind, run.pipeline, run.state, note, column, 0)


def _deploy(journey: Journey) -> Node:
    train, deploy = journey.train.job, journey.deploy
    if deploy.job is not None and train is not None and not train.ended:
        # Pachyderm creates the jobs of both pipelines with the commit; this one has nothing to do yet.
        return Node("deploy", "deploy pipeline", deploy.pipeline, "waiting", "waits for the model", 4, 0)
    return _pipeline("deploy", "deploy pipeline", deploy, 4)


def _experiment(journey: Journey) -> Node:
    found = journey.experiment
    if found is None:
        return Node("experiment", "experiment", "", "waiting", "not yet", 2, 1)
    now = found.progress
    note = f"{now.state.lower()}, {now.batches} batches" if now.batches else now.state.lower()
    return Node("experiment", "experiment", f"experiment {found.id}", found.state, note, 2, 1)


def _version(journey: Journey) -> Node:
    found = journey.version
    if found is None:
        return Node("version", "model version", journey.model, "waiting", "not yet", 3, 1)
    note = str(found.provenance.metric or "")
    return Node("version", "model version", f"{journey.model} {found.number}", "done", note, 3, 1)


def _service(journey: Journey) -> Node:
    status = journey.service.status
    if status is None:
        note = "not yet"
    elif not status.ready:
        note = status.model_state.lower() or "starting"
    else:
        note = f"{'ready,' if journey.service_state == 'done' else 'still serves'} {status.version[:8]}…"
    return Node("service", "service", journey.service.name, journey.service_state, note, 5, 2)
