"""Trials with their workloads and metrics; tasks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.metric_views import checkpoint_workload, metrics_workload, report_view
from pdk_stack.determined.api.routing import Request, Stream, route
from pdk_stack.determined.api.views import picked
from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.errors import not_found
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.store.metrics import number as finite

#: Reports per line of a metrics stream.
PAGE = 1000


@route("GET", "/api/v1/experiments/{key}/trials")
def list_trials(request: Request, key: int) -> dict[str, Any]:
    experiments, views = request.master.experiments, request.views
    experiments.experiment(key)
    shown = [views.trial(trial) for trial in experiments.trials(key)]
    states = set(request.all("states"))
    if states:
        shown = [trial for trial in shown if trial["state"] in states]
    keys: Keys = {
        "SORT_BY_START_TIME": lambda trial: trial["startTime"],
        "SORT_BY_END_TIME": lambda trial: trial["endTime"] or "9",
        "SORT_BY_STATE": lambda trial: trial["state"],
        "SORT_BY_BEST_VALIDATION_METRIC": lambda trial: _last_if_none(trial["searcherMetricValue"]),
        "SORT_BY_LATEST_VALIDATION_METRIC": lambda trial: _last_if_none(trial["searcherMetricValue"]),
        "SORT_BY_BATCHES_PROCESSED": lambda trial: trial["totalBatchesProcessed"],
        "SORT_BY_DURATION": lambda trial: trial["wallClockTime"],
        "SORT_BY_RESTARTS": lambda trial: trial["restarts"],
    }
    return listed(request, "trials", shown, lambda trial: trial, keys)


def _last_if_none(value: float | None) -> tuple[bool, float]:
    return (value is None, value or 0.0)


@route("GET", "/api/v1/trials/{key}")
def get_trial(request: Request, key: int) -> dict[str, Any]:
    return {"trial": request.views.trial(request.master.experiments.trial(key))}


@route("POST", "/api/v1/trials/{key}/kill")
def kill_trial(request: Request, key: int) -> dict[str, Any]:
    request.master.control.kill_trial(key)
    return {}


#: Which of a trial's workloads to show, by the request's ``metricType`` and ``filter``.
KINDS = ("training", "validation", "checkpoint")
TYPES = {
    "": KINDS,
    "METRIC_TYPE_UNSPECIFIED": KINDS,
    "METRIC_TYPE_TRAINING": ("training",),
    "METRIC_TYPE_VALIDATION": ("validation",),
}
FILTERS = {
    "FILTER_OPTION_CHECKPOINT": ("checkpoint",),
    "FILTER_OPTION_VALIDATION": ("validation",),
    "FILTER_OPTION_CHECKPOINT_OR_VALIDATION": ("validation", "checkpoint"),
}


@route("GET", "/api/v1/trials/{key}/workloads")
def workloads(request: Request, key: int) -> dict[str, Any]:
    """List a trial's reports and checkpoints by steps."""
    master, batches = request.master, bool(request.flag("includeBatchMetrics"))
    trial = master.experiments.trial(key)
    wanted = [kind for kind in TYPES.get(request.text("metricType"), KINDS[:2]) if kind in _filter(request)]
    found: list[tuple[int, int, dict[str, Any]]] = []
    for kind in wanted:
        if kind == "checkpoint":
            for checkpoint in master.experiments.checkpoints(trial["id"]):
                if not (request.flag("removeDeletedCheckpoints") and checkpoint["state"] == "STATE_DELETED"):
                    found.append((steps_of(checkpoint), 2, {kind: checkpoint_workload(checkpoint)}))
        else:
            for report in master.metrics.rows(trial["id"], kind):
                found.append((report.steps, KINDS.index(kind), {kind: metrics_workload(report, batches=batches)}))
    found.sort(key=lambda each: each[:2], reverse=request.descending())
    shown, pagination = request.page([each[2] for each in found])
    return {"workloads": shown, "pagination": pagination}


def _filter(request: Request) -> tuple[str, ...]:
    return FILTERS.get(request.text("filter"), KINDS)


def _stream(request: Request, group: str | None) -> Stream:
    keys = sorted(int(key) for key in request.all("trialIds"))
    for key in keys:
        request.master.experiments.trial(key)

    def pages() -> Iterator[list[dict[str, Any]]]:
        for key in keys:
            rows = request.master.metrics.rows(key, group)
            while page := [report_view(row, key) for row in itertools.islice(rows, PAGE)]:
                yield [{"metrics": page}]

    return Stream(pages())


@route("GET", "/api/v1/trials/metrics/trial_metrics")
def trial_metrics(request: Request) -> Stream:
    return _stream(request, request.text("group") or None)


@route("GET", "/api/v1/trials/metrics/training_metrics")
def training_metrics(request: Request) -> Stream:
    return _stream(request, "training")


@route("GET", "/api/v1/trials/metrics/validation_metrics")
def validation_metrics(request: Request) -> Stream:
    return _stream(request, "validation")


@route("GET", "/api/v1/experiments/{key}/searcher/best_searcher_validation_metric")
def best_validation(request: Request, key: int) -> dict[str, Any]:
    experiments = request.master.experiments
    experiment = experiments.experiment(key)
    searcher = experiment["config"]["searcher"]
    values = []
    for trial in experiments.trials(experiment["id"]):
        summary = request.master.metrics.summary(trial["id"], searcher["metric"], searcher["smaller_is_better"])
        if summary.best_value is not None:
            values.append(summary.best_value)
    if not values:
        raise not_found(f"best_searcher_validation_metric for experiment '{key}' not found")
    return {"metric": min(values) if searcher["smaller_is_better"] else max(values)}


@route("GET", "/api/v1/experiments/{key}/validation-history")
def validation_history(request: Request, key: int) -> dict[str, Any]:
    """Return the validations that were each the experiment's best at the time."""
    experiments = request.master.experiments
    experiment = experiments.experiment(key)
    searcher = experiment["config"]["searcher"]
    sign = 1.0 if searcher["smaller_is_better"] else -1.0
    reports = [
        (report.end_time, trial["id"], value)
        for trial in experiments.trials(experiment["id"])
        for report in request.master.metrics.rows(trial["id"], "validation")
        if (value := finite(report.averages.get(searcher["metric"]))) is not None
    ]
    history: list[dict[str, Any]] = []
    for end_time, trial_id, value in sorted(reports):
        if not history or sign * value < sign * history[-1]["searcherMetric"]:
            history.append({"trialId": trial_id, "endTime": end_time, "searcherMetric": value})
    return {"validationHistory": history}


# -- tasks -----------------------------------------------------------------------------------------------------------


def _allocation_view(allocation: Document) -> dict[str, Any]:
    names = ("allocationId", "taskId", "state", "isReady", "startTime", "endTime", "exitReason", "statusCode")
    return {**picked(allocation, *names), "slots": len(allocation["slots"])}


@route("GET", "/api/v1/tasks/{task_id}")
def get_task(request: Request, task_id: str) -> dict[str, Any]:
    store = request.master.store
    task = request.master.experiments.task(task_id)
    allocations = store.list("allocation", task_id)
    state = "GENERIC_TASK_STATE_COMPLETED" if task["endTime"] else "GENERIC_TASK_STATE_ACTIVE"
    return {
        "task": {
            "taskId": task_id,
            "taskType": "TASK_TYPE_TRIAL",
            "startTime": task["startTime"],
            "endTime": task["endTime"],
            "allocations": [_allocation_view(each) for each in allocations],
            "taskState": state,
            "parentId": None,
            "config": None,
            "forkedFrom": None,
            "noPause": None,
        }
    }


@route("GET", "/api/v1/tasks")
def list_tasks(request: Request) -> dict[str, Any]:
    store = request.master.store
    summaries = {}
    for run in request.master.experiments.runs.active():
        allocation = store.get("allocation", run.allocation_id)
        if allocation is None:
            continue
        summaries[run.allocation_id] = {
            "taskId": run.task_id,
            "allocationId": run.allocation_id,
            "name": f"Trial {run.trial_id} (Experiment {run.experiment_id})",
            "registeredTime": allocation["startTime"],
            "resourcePool": request.master.experiments.experiment(run.experiment_id)["config"]["resources"][
                "resource_pool"
            ],
            "slotsNeeded": len(run.slots),
            "resources": [],
            "schedulerType": "fair_share",
            "priority": None,
            "proxyPorts": [],
        }
    return {"allocationIdToSummary": summaries}


@route("GET", "/api/v1/tasks/count")
def count_tasks(request: Request) -> dict[str, Any]:
    """Count interactive tasks; this master has none."""
    return {"commands": 0, "notebooks": 0, "shells": 0, "tensorboards": 0}
