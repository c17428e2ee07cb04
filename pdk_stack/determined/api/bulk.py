"""Actions on many experiments at once, selected by id or by filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.api.experiments import ACTIONS, move_experiment
from pdk_stack.determined.api.listing import matching
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.master import Master


def _chosen(request: Request, project_id: int) -> list[int]:
    filters = request.get("filters")
    if not filters:
        return [int(each) for each in request.get("experimentIds") or []]
    views, master = request.views, request.master
    fitting = matching(
        master.store.list("experiment", project_id or None),
        name=filters.get("name") or "",
        description=filters.get("description") or "",
        labels=filters.get("labels") or (),
        archived=filters.get("archived"),
        user_ids=filters.get("userIds") or (),
    )
    states, excluded = set(filters.get("states") or []), filters.get("excludedExperimentIds") or []
    return [
        each["id"]
        for each in fitting
        if each["id"] not in excluded
        and (not states or views.experiment_state(each, master.experiments.trials(each["id"])) in states)
    ]


def _each(request: Request, project: int, action: Callable[[int], None]) -> dict[str, Any]:
    results = []
    for key in _chosen(request, project):
        try:
            action(key)
            results.append({"id": key, "error": ""})
        except Refusal as error:
            results.append({"id": key, "error": error.message})
    return {"results": results}


def _action_call(name: str, action: Callable[[Master, int], None]) -> None:
    @route("POST", f"/api/v1/projects/{{key}}/experiments/{name}")
    def answer(request: Request, key: int) -> dict[str, Any]:
        return _each(request, key, lambda each: action(request.master, each))


for _name, _action in ACTIONS.items():
    _action_call(_name, _action)


@route("DELETE", "/api/v1/projects/{key}/experiments/delete")
def delete(request: Request, key: int) -> dict[str, Any]:
    return _each(request, key, request.master.removal.delete_experiment)


@route("POST", "/api/v1/projects/{key}/experiments/move")
def move(request: Request, key: int) -> dict[str, Any]:
    target = int(request.need("destinationProjectId"))
    return _each(request, key, lambda each: move_experiment(request.master, each, target))
