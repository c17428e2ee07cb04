"""Actions on many experiments at once, selected by id or by filters.

Source: ``master/internal/experiment/bulk_action.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.api.experiments import ACTIONS, move_experiment
from pdk_stack.determined.api.listing import matching
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.errors import not_found, plain
from pdk_stack.determined.store.documents import Document

#: Stands for all projects.
EVERYWHERE = -1
STOPPING = {f"STOPPING_{end}" for end in ("COMPLETED", "CANCELED", "KILLED", "ERROR")}
#: States that filters without states mean, by action.
STATES: dict[str, Iterable[str]] = {
    "activate": {"PAUSED"},
    "pause": {"ACTIVE"},
    "cancel": {"ACTIVE", "PAUSED", *STOPPING},
    "kill": {"ACTIVE", "PAUSED", *STOPPING},
}
#: Actions that see archived experiments; all others take them for absent.
ON_ARCHIVED = {"archive", "unarchive", "delete", "move"}


def _fits(filters: dict[str, Any], found: Iterable[Document]) -> list[Document]:
    """Return the experiments that filters describe."""
    states = {each.removeprefix("STATE_") for each in filters.get("states") or ()}
    excluded, project = filters.get("excludedExperimentIds") or (), filters.get("projectId") or 0
    fitting = matching(
        found,
        name=filters.get("name") or "",
        description=filters.get("description") or "",
        labels=filters.get("labels") or (),
        archived=filters.get("archived"),
        user_ids=filters.get("userIds") or (),
    )
    return [
        each
        for each in fitting
        if each["id"] not in excluded
        and (not states or each["state"] in states)
        and (not project or each["projectId"] == project)
    ]


def _is_archived(request: Request, experiment: Document) -> bool:
    """Return whether an experiment is archived, by itself or with what it is in."""
    project = request.master.workspaces.project(experiment["projectId"])
    workspace = request.master.workspaces.get(project["workspaceId"])
    return bool(experiment["archived"] or project["archived"] or workspace["archived"])


def _chosen(request: Request, action: str, project: int) -> tuple[list[int], list[int]]:
    """Return the experiments to act on, and those that the request names in vain."""
    found = request.master.store.list("experiment")
    visible = {
        each["id"]
        for each in found
        if project in (EVERYWHERE, each["projectId"]) and (action in ON_ARCHIVED or not each["archived"])
    }
    filters = request.get("filters")
    if filters is None:
        wanted = request.get("experimentIds") or []
        return [key for key in dict.fromkeys(wanted) if key in visible], [key for key in wanted if key not in visible]
    if filters.get("states") is None and action in STATES:
        filters = {**filters, "states": STATES[action]}
    fitting = _fits(filters, found)
    if action in ("archive", "delete"):
        fitting = [each for each in fitting if each["state"] in TERMINAL]
    if action == "archive":
        fitting = [each for each in fitting if not each["archived"]]
    if action == "move":
        fitting = [each for each in fitting if not _is_archived(request, each)]
    return [each["id"] for each in fitting if each["id"] in visible], []


def _each(request: Request, name: str, project: int, action: Callable[[int], None]) -> dict[str, Any]:
    """Act on each experiment; what is refused comes first in the reply."""
    chosen, missing = _chosen(request, name, project)
    refused = [{"id": key, "error": _words(not_found(f"experiment '{key}' not found"))} for key in missing]
    done = []
    for key in chosen:
        try:
            action(key)
            done.append({"id": key, "error": ""})
        except Refusal as error:
            refused.append({"id": key, "error": _words(error)})
    return {"results": refused + done}


def _words(error: Refusal) -> str:
    """Return a refusal as Go's gRPC library writes it."""
    return f"rpc error: code = {error.code.title} desc = {error.message}"


def _action_call(name: str) -> None:
    @route("POST", f"/api/v1/projects/{{key}}/experiments/{name}")
    def answer(request: Request, key: int) -> dict[str, Any]:
        if name == "unarchive" and request.get("filters") is not None:
            # The release joins two tables here that both have the column.
            raise plain('ERROR: column reference "archived" is ambiguous (SQLSTATE 42702)')
        act = request.master.control.reactivate if name == "activate" else None
        return _each(request, name, key, act or (lambda each: ACTIONS[name](request.master, each)))


for _name in ACTIONS:
    _action_call(_name)


@route("DELETE", "/api/v1/projects/{key}/experiments/delete")
def delete(request: Request, key: int) -> dict[str, Any]:
    return _each(request, "delete", key, request.master.removal.delete_experiment)


@route("POST", "/api/v1/projects/{key}/experiments/move")
def move(request: Request, key: int) -> dict[str, Any]:
    target = request.master.workspaces.project(int(request.get("destinationProjectId") or 0))
    if target["archived"]:
        raise plain(f"project ({target['id']}) is archived and cannot add new experiments")

    def act(each: int) -> None:
        move_experiment(request.master, each, target["id"])

    return _each(request, "move", key, act)
