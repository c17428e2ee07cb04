"""Actions on many experiments at once: by their numbers, or by a filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdk_stack.determined.api.experiments import move_experiment
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import Views
from pdk_stack.determined.api.workspaces import number
from pdk_stack.determined.errors import ApiError
from pdk_stack.determined.store.documents import Document


def _chosen(request: Request, project_id: int) -> list[int]:
    filters = request.get("filters")
    if not filters:
        return [int(each) for each in request.get("experimentIds") or []]
    views, master = Views(request.master, request.me), request.master

    def matches(each: Document) -> bool:
        states = set(filters.get("states") or [])
        state = f"STATE_{views.experiment_state(each, master.experiments.trials(each['id']))}"
        return (
            (not project_id or each["projectId"] == project_id)
            and (filters.get("name") or "").lower() in each["name"].lower()
            and (filters.get("description") or "").lower() in each["description"].lower()
            and set(filters.get("labels") or []) <= set(each["labels"])
            and (filters.get("archived") is None or each["archived"] == filters["archived"])
            and (not filters.get("userIds") or each["userId"] in filters["userIds"])
            and (not states or state in states)
            and each["id"] not in (filters.get("excludedExperimentIds") or [])
        )

    return [each["id"] for each in master.store.list("experiment") if matches(each)]


def _each(request: Request, project: str, action: Callable[[int], None]) -> dict[str, Any]:
    results = []
    for key in _chosen(request, number(project)):
        try:
            action(key)
            results.append({"id": key, "error": ""})
        except ApiError as error:
            results.append({"id": key, "error": error.message})
    return {"results": results}


@route("POST", "/api/v1/projects/{key}/experiments/activate")
def activate(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, request.master.control.activate)


@route("POST", "/api/v1/projects/{key}/experiments/pause")
def pause(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, request.master.control.pause)


@route("POST", "/api/v1/projects/{key}/experiments/cancel")
def cancel(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, request.master.control.cancel)


@route("POST", "/api/v1/projects/{key}/experiments/kill")
def kill(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, request.master.control.kill)


@route("POST", "/api/v1/projects/{key}/experiments/archive")
def archive(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, lambda each: request.master.control.archive(each, True))


@route("POST", "/api/v1/projects/{key}/experiments/unarchive")
def unarchive(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, lambda each: request.master.control.archive(each, False))


@route("DELETE", "/api/v1/projects/{key}/experiments/delete")
def delete(request: Request, key: str) -> dict[str, Any]:
    return _each(request, key, request.master.removal.delete_experiment)


@route("POST", "/api/v1/projects/{key}/experiments/move")
def move(request: Request, key: str) -> dict[str, Any]:
    target = int(request.need("destinationProjectId"))
    return _each(request, key, lambda each: move_experiment(request.master, each, target))
