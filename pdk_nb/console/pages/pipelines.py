"""Pipelines: what reads what, as a graph of one project or of all, with the state of each pipeline's newest job."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.console.rendering import state as state_of
from pdk_nb.display.diagrams import Edge, Layered, Node, State
from pdk_nb.platforms import mldm

if TYPE_CHECKING:
    from pdk_nb.session import Session

#: In an address: all projects.
ALL = "*"
#: A drawing is shrunk to this share at most, so that its letters stay readable; what is wider scrolls.
SMALLEST = 0.8
UNHEALTHY = frozenset({"CRASHING", "FAILURE"})
Key = tuple[str, str]


def read_pipelines(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The graph of the pipelines of a project."""
    client, wanted = session.pachyderm, _wanted(session, parameters)
    shown = sorted(mldm.all_pipelines(client, [] if wanted == ALL else [wanted]), key=_natural)
    drawn = graph(shown, "" if wanted == ALL else wanted).draw()
    return {
        "project": wanted,
        "all": ALL,
        "projects": sorted(str(info.project.name) for info in client.list_project()),
        "picture": Markup(drawn.inline()) if shown else "",
        "least": round(drawn.width * SMALLEST),
        "pipelines": [(each, *_state(each)) for each in shown],
        # A job that runs has a state that the signature shows when it changes.
        "settled": True,
    }


def signature(session: Session, parameters: Parameters) -> Hashable:
    """The states of the pipelines and of their newest jobs."""
    wanted = _wanted(session, parameters)
    return mldm.pipelines_signature(session.pachyderm, [] if wanted == ALL else [wanted])


def _natural(entry: mldm.PipelineEntry) -> list[tuple[int, str]]:
    """The order that people expect: ``step-2`` before ``step-10``."""
    parts = re.split(r"(\d+)", f"{entry.project}/{entry.name}")
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _wanted(session: Session, parameters: Parameters) -> str:
    return parameters.get("project") or session.names.project


def _state(entry: mldm.PipelineEntry) -> tuple[State, str]:
    """How a pipeline is drawn, and what is written in its box."""
    if entry.state in UNHEALTHY:
        return "failed", entry.state.lower()
    if entry.state == "PAUSED":
        return "waiting", "paused"
    return (state_of(entry.job), f"job {entry.job.lower()}") if entry.job else ("waiting", "no job yet")


def graph(pipelines: Sequence[mldm.PipelineEntry], project: str) -> Layered:
    """The graph of pipelines and of the repos that they read.

    A pipeline and its output repo are one box. Repos that no shown pipeline writes are boxes of their own.

    Args:
        pipelines: The pipelines.
        project: Their project; empty for those of several projects, each of whose boxes then names its own.
    """
    made = {(each.project, each.name): each for each in pipelines}
    repos = dict.fromkeys(key for each in pipelines for key in each.inputs if key not in made)
    nodes = [
        Node(_key(key), _kind("repo", key, project), key[1], "done", "input", link=_address("/data", key))
        for key in repos
    ]
    edges = []
    for key, entry in made.items():
        state, note = _state(entry)
        nodes.append(Node(_key(key), _kind("pipeline", key, project), key[1], state, note, link=_jobs(key)))
        reading: State = "running" if state == "running" else "waiting"
        edges += [Edge(_key(source), _key(key), reading) for source in entry.inputs]
    return Layered(nodes, edges, f"Pipelines of {project or 'all projects'}")


def _key(key: Key) -> str:
    return "/".join(key)


def _kind(kind: str, key: Key, project: str) -> str:
    return kind if key[0] == project else f"{kind} in {key[0]}"


def _address(page: str, key: Key) -> str:
    return f"{page}/{quote(key[0], safe='')}/{quote(key[1], safe='')}"


def _jobs(key: Key) -> str:
    return f"/jobs?project={quote(key[0], safe='')}&pipeline={quote(key[1], safe='')}"


PAGES = (Page("/pipelines", "Pipelines", "pipelines.html", read_pipelines, menu="Pipelines", signature=signature),)
