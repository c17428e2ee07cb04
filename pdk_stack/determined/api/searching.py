"""The searches for experiments and runs, with filter expressions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pdk_stack.determined.api.routing import Request, clipped_bounds, route
from pdk_stack.determined.core.filters import Columns, Row, read_filter, sorting
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import seconds_between

__all__ = ["experiment_row", "is_archived", "runs_of"]

Key = Callable[[Document], Any]


def _labels(document: Document) -> str:
    """Return labels as the database writes them."""
    return json.dumps(document["config"]["labels"] or [], ensure_ascii=False)


def _seconds(document: Document) -> int:
    return seconds_between(document["startTime"], document["endTime"])


def _paged(request: Request, name: str, rows: list[Row], view: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the page that a body asks for."""
    total, offset, limit = len(rows), int(request.get("offset") or 0), int(request.get("limit") or 0)
    start, end = clipped_bounds(total, offset, limit)
    bounds = {"offset": offset, "limit": limit, "startIndex": start, "endIndex": end, "total": total}
    return {name: [view(row.item) for row in rows[start : max(start, end)]], "pagination": bounds}


# -- experiments -----------------------------------------------------------------------------------------------------


def _experiment_keys(request: Request) -> tuple[Columns, dict[str, Key]]:
    """Return the columns to filter experiments by, and those to sort by."""
    master, views = request.master, request.views
    shown: dict[int, dict[str, Any]] = {}

    def of(name: str) -> Key:
        def value(each: Document) -> Any:
            if each["id"] not in shown:
                shown[each["id"]] = views.experiment(each, full=False)
            return shown[each["id"]][name]

        return value

    def best(each: Document) -> float | None:
        found = views.best_trial(each, master.experiments.trials(each["id"]))
        return found[1] if found else None

    columns: dict[str, tuple[str, Key]] = {
        "id": ("int", lambda each: each["id"]),
        "description": ("text", lambda each: each["description"]),
        "name": ("text", lambda each: each["name"]),
        "tags": ("text", _labels),
        "searcherType": ("text", lambda each: each["config"]["searcher"]["name"]),
        "searcherMetric": ("text", lambda each: each["config"]["searcher"]["metric"]),
        "startTime": ("time", lambda each: each["startTime"]),
        "endTime": ("time", lambda each: each["endTime"]),
        "duration": ("float", _seconds),
        "state": ("state", lambda each: each["state"]),
        "numTrials": ("int", of("numTrials")),
        "progress": ("int", lambda each: round((each["progress"] or 0.0) * 100)),
        "user": ("int", lambda each: each["userId"]),
        "forkedFrom": ("int", lambda each: each["parentId"]),
        "resourcePool": ("text", lambda each: each["config"]["resources"]["resource_pool"]),
        "projectId": ("int", lambda each: each["projectId"]),
        "checkpointSize": ("int", lambda each: int(of("checkpointSize")(each))),
        "checkpointCount": ("int", of("checkpointCount")),
        "searcherMetricsVal": ("float", best),
        "externalExperimentId": ("text", lambda each: each.get("externalId")),
        "externalTrialId": ("text", lambda each: None),
    }
    keys = {name: key for name, (_, key) in columns.items() if name != "tags"}
    keys |= {"progress": lambda each: each["progress"] or 0.0, "user": of("displayName")}
    return columns, keys


@route("POST", "/api/v1/experiments-search")
def search_experiments(request: Request) -> dict[str, Any]:
    """List experiments with their best trials."""
    master, views, project_id = request.master, request.views, request.get("projectId")
    if project_id is not None:
        master.workspaces.project(int(project_id))
    columns, keys = _experiment_keys(request)
    rows = [experiment_row(request, each) for each in master.store.list("experiment", project_id)]
    if request.get("filter") is not None:
        condition, archived = read_filter(request.get("filter"), {"LOCATION_TYPE_EXPERIMENT": columns})
        rows = [row for row in rows if (archived or not row.item["archived"]) and condition(row)]
    sorting(request.get("sort"), keys, space=True)(rows)

    def view(experiment: Document) -> dict[str, Any]:
        found = views.best_trial(experiment, master.experiments.trials(experiment["id"]))
        shown = views.experiment(experiment, full=False)
        if found is None:
            return {"experiment": shown, "bestTrial": None}
        best = views.trial(master.experiments.trial(found[0]), searched=True)
        return {"experiment": {**shown, "bestTrialId": found[0]}, "bestTrial": best}

    return _paged(request, "experiments", rows, view)


def experiment_row(request: Request, experiment: Document) -> Row:
    """Return an experiment with its best trial's metrics."""
    found = request.views.best_trial(experiment, request.master.experiments.trials(experiment["id"]))
    metrics = request.views.metric_groups(request.master.experiments.trial(found[0])) if found else {}
    return Row(experiment, metrics, experiment["config"]["hyperparameters"] or {}, {}, {})


# -- runs ------------------------------------------------------------------------------------------------------------


def runs_of(request: Request, project_id: int | None, text: str | None) -> list[Row]:
    """Return the runs of a project, or of all, that match a filter expression.

    Raises:
        Refusal: The project doesn't exist, or the expression is not valid.
    """
    master = request.master
    if project_id is not None:
        master.workspaces.project(project_id)
    rows = [
        Row(
            {**trial, "experiment": experiment},
            request.views.metric_groups(trial),
            experiment["config"]["hyperparameters"] or {},
            trial["hparams"] or {},
            trial.get("metadata") or {},
        )
        for experiment in master.store.list("experiment", project_id)
        for trial in master.experiments.trials(experiment["id"])
    ]
    if text is None:
        return rows
    condition, archived = read_filter(text, {"LOCATION_TYPE_RUN": _run_columns(request)})
    return [row for row in rows if (archived or not is_archived(row.item)) and condition(row)]


def is_archived(run: Document) -> bool:
    """Return whether a run or its experiment is archived."""
    return bool(run.get("archived") or run["experiment"]["archived"])


def _run_columns(request: Request) -> dict[str, tuple[str, Key]]:
    views, master = request.views, request.master

    def searcher(name: str) -> Key:
        return lambda run: run["experiment"]["config"]["searcher"][name]

    return {
        "id": ("int", lambda run: run["id"]),
        "experimentDescription": ("text", lambda run: run["experiment"]["description"]),
        "experimentName": ("text", lambda run: run["experiment"]["name"]),
        "tags": ("text", lambda run: _labels(run["experiment"])),
        "searcherType": ("text", searcher("name")),
        "searcherMetric": ("text", searcher("metric")),
        "startTime": ("time", lambda run: run["startTime"]),
        "endTime": ("time", lambda run: run["endTime"]),
        "duration": ("float", _seconds),
        "state": ("state", lambda run: run["state"]),
        "experimentProgress": ("int", lambda run: round((run["experiment"]["progress"] or 0.0) * 100)),
        "user": ("int", lambda run: run["experiment"]["userId"]),
        "forkedFrom": ("int", lambda run: run["experiment"]["parentId"]),
        "resourcePool": ("text", lambda run: run["experiment"]["config"]["resources"]["resource_pool"]),
        "projectId": ("int", lambda run: run["experiment"]["projectId"]),
        "checkpointSize": ("int", lambda run: views.checkpoint_sums(run)[1]),
        "checkpointCount": ("int", lambda run: views.checkpoint_sums(run)[0]),
        "searcherMetricsVal": ("float", views.searcher_value),
        "externalExperimentId": ("text", lambda run: run["experiment"].get("externalId")),
        "externalRunId": ("text", lambda run: run.get("externalId")),
        "experimentId": ("int", lambda run: run["experimentId"]),
        "localId": ("text", lambda run: local_id(master, run)),
        "isExpMultitrial": ("bool", lambda run: run["experiment"]["config"]["searcher"]["name"] != "single"),
        "parentArchived": ("bool", lambda run: views.experiment(run["experiment"], full=False)["parentArchived"]),
    }


def local_id(master: Master, run: Document) -> str:
    """Return a run's name in its project: the project's key and a number, given when it is first asked for."""
    project_id = run["experiment"]["projectId"]
    with master.store.write():
        project = master.workspaces.project(project_id)
        numbers = project.get("localIds") or {}
        if str(run["id"]) not in numbers:
            for experiment in master.store.list("experiment", project_id):
                for trial in master.experiments.trials(experiment["id"]):
                    numbers.setdefault(str(trial["id"]), max(numbers.values(), default=0) + 1)
            master.store.update("project", project_id, localIds=numbers)
    return f"{project['key']}-{numbers[str(run['id'])]}"


@route("POST", "/api/v1/runs")
def search_runs(request: Request) -> dict[str, Any]:
    """List runs: the trials, each with its experiment."""
    rows = runs_of(request, request.get("projectId"), request.get("filter"))
    columns = _run_columns(request)
    keys = {name: key for name, (_, key) in columns.items() if name != "tags"}
    keys["experimentProgress"] = lambda run: run["experiment"]["progress"] or 0.0
    keys["user"] = lambda run: request.master.user(run["experiment"]["userId"])["username"]
    keys["archived"] = is_archived
    sorting(request.get("sort"), keys, space=False)(rows)
    return _paged(
        request, "runs", rows, lambda run: request.views.run(run, local_id(request.master, run), is_archived(run))
    )
