"""Actions on many runs at once, selected by id or by a filter expression.

Source: ``master/internal/api_runs.go`` of Determined 0.38.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.api.experiments import move_experiment
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.searching import is_archived, runs_of
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.errors import plain
from pdk_stack.determined.store.documents import Document


def _chosen(request: Request, project_id: int, either: bool) -> tuple[list[Document], list[dict[str, Any]]]:
    """Return the runs that a request names or finds, and results for those that it names in vain.

    Raises:
        Refusal: It does both, and may only do either.
    """
    keys, text = request.get("runIds") or [], request.get("filter")
    if either and keys and text is not None:
        raise plain("if filter is provided run id list must be empty")
    found = {row.item["id"]: row.item for row in runs_of(request, None, text)}
    mine = {key: run for key, run in found.items() if run["experiment"]["projectId"] == project_id}
    if text is not None:
        return list(mine.values()), []
    missing = [
        {"id": key, "error": f"Run with id '{key}' not found in project with id '{project_id}'"}
        for key in keys
        if key not in mine
    ]
    return [mine[key] for key in keys if key in mine], missing


def _acted(
    request: Request, act: Callable[[Document], str], *, project: str = "projectId", either: bool = True
) -> dict[str, Any]:
    """Return the results of an action, which returns what is in its way."""
    runs, missing = _chosen(request, int(request.get(project) or 0), either)
    return {"results": [*({"id": run["id"], "error": act(run)} for run in runs), *missing]}


def _archive_call(verb: str, archived: bool) -> None:
    @route("POST", f"/api/v1/runs/{verb}")
    def answer(request: Request) -> dict[str, Any]:
        def act(run: Document) -> str:
            if run["experiment"]["archived"]:
                return f"Run is part of archived Search (id: '{run['experimentId']}')."
            if bool(run.get("archived")) != archived:
                if run["state"] not in TERMINAL:
                    return "Run is not in terminal state."
                request.master.store.update("trial", run["id"], archived=archived)
            return ""

        return _acted(request, act)


_archive_call("archive", True)
_archive_call("unarchive", False)


@route("POST", "/api/v1/runs/kill")
def kill_runs(request: Request) -> dict[str, Any]:
    def act(run: Document) -> str:
        if run["state"] not in TERMINAL:
            request.master.control.kill_trial(run["id"])
        return ""

    return _acted(request, act, either=False)


def _pause_call(verb: str, doing: str) -> None:
    @route("POST", f"/api/v1/runs/{verb}")
    def answer(request: Request) -> dict[str, Any]:
        control = request.master.control

        def act(run: Document) -> str:
            if is_archived(run):
                return "Run is archived."
            if run["experiment"]["config"]["searcher"]["name"] != "single":
                return f"Cannot pause/unpause run '{run['id']}' (part of multi-trial)."
            try:
                (control.pause if verb == "pause" else control.activate)(run["experimentId"])
            except Refusal as error:
                return f"Failed to {doing} associated experiment: {error.message}"
            return ""

        return _acted(request, act)


_pause_call("pause", "pause")
_pause_call("resume", "resume")


@route("POST", "/api/v1/runs/delete")
def delete_runs(request: Request) -> dict[str, Any]:
    def act(run: Document) -> str:
        if run["state"] not in TERMINAL:
            return "Run is not in a terminal state."
        try:
            request.master.removal.delete_trial(run["id"])
        except Refusal as error:
            return error.message
        return ""

    return _acted(request, act)


@route("POST", "/api/v1/runs/move")
def move_runs(request: Request) -> dict[str, Any]:
    """Move runs to another project; a run takes its experiment along, with all its runs."""
    master = request.master
    source, target = (int(request.get(f"{name}ProjectId") or 0) for name in ("source", "destination"))
    if master.workspaces.project(source)["archived"]:
        raise plain(f"project ({source}) is archived and cannot have runs moved from it")
    if master.workspaces.project(target)["archived"]:
        raise plain(f"project ({target}) is archived and cannot add new runs")
    if source == target:
        return {"results": []}
    moved: set[int] = set()

    def act(run: Document) -> str:
        if is_archived(run):
            return "Run is archived."
        if request.get("skipMultitrial") and run["experiment"]["config"]["searcher"]["name"] != "single":
            return f"Skipping run '{run['id']}' (part of multi-trial)."
        if run["experimentId"] in moved:
            return ""
        try:
            move_experiment(master, run["experimentId"], target)
        except Refusal:
            return "Failed to move associated experiment"
        moved.add(run["experimentId"])
        return ""

    return _acted(request, act, project="sourceProjectId", either=False)
