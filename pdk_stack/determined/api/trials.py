"""Trials with their workloads and metrics; tasks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from pdk_stack.determined.api.cluster_views import device_view
from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.metric_views import checkpoint_workload, metrics_workload, report_view
from pdk_stack.determined.api.routing import Request, Stream, route, snake
from pdk_stack.determined.api.views import optional, picked
from pdk_stack.determined.core.experiments.catalogue import TERMINAL, steps_of
from pdk_stack.determined.core.trials.launch import AGENT_ID
from pdk_stack.determined.core.trials.runs import ActiveRun
from pdk_stack.determined.errors import invalid, not_found, plain
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.store.metrics import number as finite

#: Reports per line of a metrics stream.
PAGE = 1000


@route("GET", "/api/v1/experiments/{key}/trials")
def list_trials(request: Request, key: int) -> dict[str, Any]:
    experiments, views = request.master.experiments, request.views
    metric = experiments.experiment(key)["config"]["searcher"]["metric"]
    shown = [views.trial(trial) for trial in experiments.trials(key)]
    states = set(request.all("states"))
    if states:
        shown = [trial for trial in shown if trial["state"] in states]
    keys: Keys = {
        "SORT_BY_START_TIME": lambda trial: trial["startTime"],
        "SORT_BY_END_TIME": lambda trial: trial["endTime"],
        "SORT_BY_STATE": lambda trial: trial["state"],
        "SORT_BY_BEST_VALIDATION_METRIC": lambda trial: _reported(trial["bestValidation"], metric),
        "SORT_BY_LATEST_VALIDATION_METRIC": lambda trial: _reported(trial["latestValidation"], metric),
        "SORT_BY_BATCHES_PROCESSED": lambda trial: trial["totalBatchesProcessed"],
        "SORT_BY_DURATION": lambda trial: trial["wallClockTime"],
        "SORT_BY_RESTARTS": lambda trial: trial["restarts"],
        "SORT_BY_CHECKPOINT_SIZE": lambda trial: int(trial["totalCheckpointSize"]),
    }
    return listed(request, "trials", shown, lambda trial: trial, keys)


def _reported(workload: dict[str, Any] | None, metric: str) -> float | None:
    return finite(workload["metrics"]["avgMetrics"].get(metric)) if workload else None


@route("GET", "/api/v1/trials/{key}")
def get_trial(request: Request, key: int) -> dict[str, Any]:
    return {"trial": request.views.trial(request.master.experiments.trial(key))}


@route("GET", "/api/v1/trials/by-external-id/{experiment_id}/{trial_id}")
def get_trial_by_external_id(request: Request, experiment_id: str, trial_id: str) -> dict[str, Any]:
    for experiment in request.master.store.list("experiment"):
        if experiment.get("externalId") == experiment_id:
            for trial in request.master.experiments.trials(experiment["id"]):
                if trial.get("externalId") == trial_id:
                    return {"trial": request.views.trial(trial)}
    raise not_found("not found")


@route("POST", "/api/v1/trials/{key}/kill")
def kill_trial(request: Request, key: int) -> dict[str, Any]:
    experiments = request.master.experiments
    experiment = experiments.experiment(experiments.trial(key)["experimentId"])
    if experiment["state"] in TERMINAL:
        # The master looks among the experiments that it runs.
        raise not_found(f"experiment '{experiment['id']}' not found")
    request.master.control.kill_trial(key)
    return {}


#: Which of a trial's workloads to show, by the request's ``filter``.
KINDS = ("training", "checkpoint", "validation")
FILTERS = {
    "FILTER_OPTION_CHECKPOINT": ("checkpoint", "validation"),
    "FILTER_OPTION_VALIDATION": ("validation",),
    "FILTER_OPTION_CHECKPOINT_OR_VALIDATION": ("checkpoint", "validation"),
}
#: The reports whose metrics a sort key means, by the request's ``metricType``; both without it.
SORTED_KINDS = {"METRIC_TYPE_TRAINING": ("training",), "METRIC_TYPE_VALIDATION": ("validation",)}


@route("GET", "/api/v1/trials/{key}/workloads")
def workloads(request: Request, key: int) -> dict[str, Any]:
    """List a trial's reports and checkpoints: by a metric, by steps, or by time.

    Source: ``proto_get_trial_workloads.sql``. The metric type doesn't filter.
    """
    master, batches = request.master, bool(request.flag("includeBatchMetrics"))
    trial = master.experiments.trial(key)
    metric = request.text("sortKey") if request.text("sortKey") != "batches" else ""
    sorted_kinds = SORTED_KINDS.get(request.text("metricType"), KINDS)
    found: list[tuple[float | None, int, str, dict[str, Any]]] = []
    for kind in FILTERS.get(request.text("filter"), KINDS):
        if kind == "checkpoint":
            for checkpoint in master.experiments.checkpoints(trial["id"]):
                if not (request.flag("removeDeletedCheckpoints") and checkpoint["state"] == "STATE_DELETED"):
                    shown = {kind: checkpoint_workload(checkpoint)}
                    found.append((None, steps_of(checkpoint), checkpoint["reportTime"], _workload(shown)))
        else:
            for report in master.metrics.rows(trial["id"], kind):
                value = finite(report.averages.get(metric)) if metric and kind in sorted_kinds else None
                shown = {kind: metrics_workload(report, batches=batches)}
                found.append((value, report.steps, report.end_time, _workload(shown)))
    found.sort(key=lambda each: each[1:3], reverse=request.descending())
    # Reports without the metric come last in either order.
    found.sort(key=lambda each: each[0] or 0.0, reverse=request.descending())
    found.sort(key=lambda each: each[0] is None)
    page, pagination = request.page([each[3] for each in found], clipped=True, unset=-1)
    return {"workloads": page, "pagination": pagination}


def _workload(shown: dict[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(KINDS), **shown}


def _stream(request: Request, group: str) -> Stream:
    keys = sorted(int(key) for key in request.all("trialIds"))
    if not keys:
        raise invalid("must specify at least one trialId")
    for key in keys:
        request.master.experiments.trial(key)

    def pages() -> Iterator[list[dict[str, Any]]]:
        # Reports of no group are of a group without a name, which has none.
        for key in keys if group else ():
            rows = request.master.metrics.rows(key, group)
            while page := [report_view(row, key) for row in itertools.islice(rows, PAGE)]:
                yield [{"metrics": page}]

    return Stream(pages())


@route("GET", "/api/v1/trials/metrics/trial_metrics")
def trial_metrics(request: Request) -> Stream:
    return _stream(request, request.text("group"))


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


#: What only an allocation's own view says.
ENDED = ("exitReason", "statusCode")


def _allocation_view(allocation: Document) -> dict[str, Any]:
    failed = ENDED if allocation["exitReason"] else ()
    return {
        **picked(allocation, "allocationId", "taskId", "state"),
        "slots": len(allocation["slots"]),
        **optional(**picked(allocation, "isReady", "startTime", "endTime", *failed)),
    }


@route("GET", "/api/v1/allocations/{allocation_id}")
def get_allocation(request: Request, allocation_id: str) -> dict[str, Any]:
    if "." not in allocation_id:
        raise invalid(f"allocationID {allocation_id} does not contain at least ','")
    return {"allocation": _allocation_view(request.master.store.need("allocation", allocation_id))}


@route("GET", "/api/v1/tasks/{task_id}")
def get_task(request: Request, task_id: str) -> dict[str, Any]:
    task = request.master.experiments.task(task_id)
    return {
        "task": {
            "taskId": task_id,
            "taskType": "TASK_TYPE_TRIAL",
            "startTime": task["startTime"],
            "allocations": [
                {name: value for name, value in _allocation_view(each).items() if name not in ENDED}
                for each in request.master.store.list("allocation", task_id)
            ],
            **optional(endTime=task["endTime"]),
        }
    }


@route("POST", "/api/v1/tasks/{task_id}/kill")
def kill_task(request: Request, task_id: str) -> dict[str, Any]:
    """Refuse to kill a generic task, of which this master has none."""
    raise plain("sql: no rows in result set (make sure task is of type GENERIC)")


@route("GET", "/api/v1/tasks/{task_id}/config")
def task_config(request: Request, task_id: str) -> dict[str, Any]:
    """Return a generic task's configuration; a trial's task has none of its own."""
    request.master.experiments.task(task_id)
    return {"config": ""}


@route("GET", "/api/v1/tasks")
def list_tasks(request: Request) -> dict[str, Any]:
    shown = {}
    for run, allocation, experiment in _running(request):
        started = {"addresses": [], "nativeResourcesId": ""} if run.ready else None
        resources = {
            "resourcesId": run.allocation_id,
            "resourcesType": "docker-container",
            "allocationId": run.allocation_id,
            "agentDevices": {AGENT_ID: {"devices": [device_view(slot) for slot in sorted(run.slots)]}},
            **optional(containerId=run.allocation_id, started=started),
        }
        shown[run.allocation_id] = {
            **_summary(run, experiment),
            "registeredTime": allocation["startTime"],
            "resources": [resources],
            "schedulerType": "priority",
            "proxyPorts": [],
            **optional(priority=experiment["config"]["resources"]["priority"]),
        }
    return {"allocationIdToSummary": shown}


def _running(request: Request) -> Iterator[tuple[ActiveRun, Document, Document]]:
    """Yield the active runs, each with its allocation and experiment."""
    for run in request.master.experiments.runs.active():
        allocation = request.master.store.get("allocation", run.allocation_id)
        if allocation is not None:
            yield run, allocation, request.master.experiments.experiment(run.experiment_id)


def _summary(run: ActiveRun, experiment: Document) -> dict[str, Any]:
    return {
        "taskId": run.task_id,
        "allocationId": run.allocation_id,
        "name": f"Trial {run.trial_id} (Experiment {run.experiment_id})",
        "resourcePool": experiment["config"]["resources"]["resource_pool"],
        "slotsNeeded": len(run.slots),
    }


@route("GET", "/tasks")
def list_tasks_page(request: Request) -> dict[str, Any]:
    """List the tasks in the older reply format, outside the gateway."""
    return {
        run.allocation_id: {
            **{snake(name): value for name, value in _summary(run, experiment).items()},
            "registered_time": allocation["startTime"],
            "resources": [],
            "scheduler_type": "priority",
            "priority": experiment["config"]["resources"]["priority"],
            "proxy_ports": None,
        }
        for run, allocation, experiment in _running(request)
    }


@route("GET", "/api/v1/tasks/count")
def count_tasks(request: Request) -> dict[str, Any]:
    """Count interactive tasks; this master has none."""
    return {"commands": 0, "notebooks": 0, "shells": 0, "tensorboards": 0}
