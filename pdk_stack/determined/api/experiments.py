"""Experiment calls: list, change, and drive through the life cycle."""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable
from typing import Any

from pdk_stack.determined.api.listing import Keys, described, labels_of, listed
from pdk_stack.determined.api.routing import Request, route, snake
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.core.permissions import require_owner
from pdk_stack.determined.errors import failed_precondition, invalid
from pdk_stack.determined.store.documents import Document

# -- reading ---------------------------------------------------------------------------------------------------------


def _id_filter(request: Request, key: int) -> bool:
    for name, compare in (("lt", operator.lt), ("lte", operator.le), ("gt", operator.gt), ("gte", operator.ge)):
        found = request.all(f"experimentIdFilter.{name}")
        if found and not compare(key, int(found[0])):
            return False
    wanted = {int(each) for each in request.all("experimentIdFilter.incl")}
    unwanted = {int(each) for each in request.all("experimentIdFilter.notIn")}
    return (not wanted or key in wanted) and key not in unwanted


def _matching(request: Request) -> list[Document]:
    project_id = request.number("projectId")
    if project_id:
        request.master.workspaces.project(project_id)
    return [
        each
        for each in described(request, request.master.store.list("experiment"))
        if (not project_id or each["projectId"] == project_id) and _id_filter(request, each["id"])
    ]


@route("GET", "/api/v1/experiments")
def list_experiments(request: Request) -> dict[str, Any]:
    views, found, states = request.views, _matching(request), set(request.all("states"))
    trials_of = request.master.experiments.trials
    if states:
        # ACTIVE includes all its substates.
        if "STATE_ACTIVE" in states:
            states |= {"STATE_QUEUED", "STATE_PULLING", "STATE_STARTING", "STATE_RUNNING"}
        found = [each for each in found if views.experiment_state(each, trials_of(each["id"])) in states]
    best = bool(request.flag("showTrialData"))
    keys: Keys = {
        "SORT_BY_NAME": lambda each: each["name"],
        "SORT_BY_DESCRIPTION": lambda each: each["description"],
        "SORT_BY_START_TIME": lambda each: each["startTime"],
        "SORT_BY_END_TIME": lambda each: each["endTime"],
        "SORT_BY_STATE": lambda each: each["state"],
        "SORT_BY_NUM_TRIALS": lambda each: len(trials_of(each["id"])),
        "SORT_BY_PROGRESS": lambda each: each["progress"] or 0.0,
        "SORT_BY_USER": lambda each: views.experiment(each, full=False)["displayName"],
        "SORT_BY_FORKED_FROM": lambda each: each["parentId"],
        "SORT_BY_RESOURCE_POOL": lambda each: each["config"]["resources"]["resource_pool"],
        "SORT_BY_PROJECT_ID": lambda each: each["projectId"],
        "SORT_BY_CHECKPOINT_SIZE": lambda each: int(views.experiment(each, full=False)["checkpointSize"]),
        "SORT_BY_CHECKPOINT_COUNT": lambda each: views.experiment(each, full=False)["checkpointCount"],
        "SORT_BY_SEARCHER_METRIC_VAL": lambda each: (views.best_trial(each, trials_of(each["id"])) or (0, None))[1],
    }
    return listed(
        request,
        "experiments",
        found,
        lambda each: views.experiment(each, full=False, best=best),
        keys,
        clipped=True,
        nulls_last=True,
    )


@route("GET", "/api/v1/experiment/labels")
def experiment_labels(request: Request) -> dict[str, Any]:
    return {"labels": labels_of(_matching(request))}


def _job_summary(request: Request, experiment: Document) -> dict[str, Any] | None:
    if experiment["state"] not in ("ACTIVE", "PAUSED"):
        return None
    running = any(run.experiment_id == experiment["id"] for run in request.master.experiments.runs.active())
    return {"state": "STATE_SCHEDULED" if running else "STATE_QUEUED", "jobsAhead": 0}


@route("GET", "/api/v1/experiments/{key}")
def get_experiment(request: Request, key: int) -> dict[str, Any]:
    views, experiment = request.views, request.master.experiments.experiment(key)
    return {
        "experiment": views.experiment(experiment),
        "config": views.config(experiment),
        "jobSummary": _job_summary(request, experiment),
    }


@route("GET", "/api/v1/experiments/{key}/model_def")
def model_definition(request: Request, key: int) -> dict[str, Any]:
    request.master.experiments.experiment(key)
    packed = request.master.store.get_blob("model_definition", key) or b""
    return {"b64Tgz": base64.b64encode(packed).decode()}


# -- changing --------------------------------------------------------------------------------------------------------


@route("PATCH", "/api/v1/experiments/{key}")
def patch_experiment(request: Request, key: int) -> dict[str, Any]:
    master = request.master
    with master.experiments.lock:
        experiment = master.experiments.experiment(key)
        if experiment["archived"]:
            raise failed_precondition(f"experiment {key} is archived and cannot have attributes updated")
        changes = request.fields("name", "description", "notes")
        if request.get("labels") is not None:
            changes["labels"] = sorted({str(label) for label in request.get("labels")})
        if "name" in changes and not str(changes["name"]).strip():
            raise invalid("`name` must not be an empty or whitespace string.")
        config = dict(experiment["config"])
        for name in ("name", "description", "labels"):
            if name in changes:
                config[name] = changes[name]
        _patch_config(request, config)
        policy_changed = config["checkpoint_storage"] != experiment["config"]["checkpoint_storage"]
        changed = master.store.update("experiment", experiment["id"], config=config, **changes)
    if changed["config"]["resources"] != experiment["config"]["resources"]:
        master.control.set_resources(changed["id"])
    if policy_changed and changed["state"] in TERMINAL:
        master.removal.collect_later(changed["id"])
    return {"experiment": request.views.experiment(changed)}


#: Configuration fields that can change later, by the request's field.
CHANGEABLE = {
    "resources": ("max_slots", "priority", "weight"),
    "checkpointStorage": ("save_experiment_best", "save_trial_best", "save_trial_latest"),
}


def _patch_config(request: Request, config: dict[str, Any]) -> None:
    for field, names in CHANGEABLE.items():
        sent = {snake(name): value for name, value in (request.get(field) or {}).items()}
        changes = {name: sent[name] for name in names if sent.get(name) is not None}
        wrong = [
            name for name, value in changes.items() if isinstance(value, bool) or not isinstance(value, (int, float))
        ]
        if wrong:
            raise invalid(f"{snake(field)}.{wrong[0]} is not a number")
        if changes:
            config[snake(field)] = {**config[snake(field)], **changes}


def _set_labels(request: Request, key: int, change: set[str], add: bool) -> dict[str, Any]:
    master = request.master
    with master.experiments.lock:
        experiment = master.experiments.experiment(key)
        have = set(experiment["labels"])
        labels = sorted(have | change if add else have - change)
        config = {**experiment["config"], "labels": labels}
        master.store.update("experiment", experiment["id"], labels=labels, config=config)
    return {"labels": labels}


@route("PUT", "/api/v1/experiments/{key}/labels/{label}")
def add_label(request: Request, key: int, label: str) -> dict[str, Any]:
    return _set_labels(request, key, {label}, True)


@route("DELETE", "/api/v1/experiments/{key}/labels/{label}")
def remove_label(request: Request, key: int, label: str) -> dict[str, Any]:
    return _set_labels(request, key, {label}, False)


#: Actions on one experiment or on many at once.
ACTIONS: dict[str, Callable[[Master, int], None]] = {
    "activate": lambda master, key: master.control.activate(key),
    "pause": lambda master, key: master.control.pause(key),
    "cancel": lambda master, key: master.control.cancel(key),
    "kill": lambda master, key: master.control.kill(key),
    "archive": lambda master, key: master.control.archive(key, True),
    "unarchive": lambda master, key: master.control.archive(key, False),
}


def _action_call(name: str, action: Callable[[Master, int], None]) -> None:
    @route("POST", f"/api/v1/experiments/{{key}}/{name}")
    def answer(request: Request, key: int) -> dict[str, Any]:
        action(request.master, key)
        return {}


for _name, _action in ACTIONS.items():
    _action_call(_name, _action)


@route("DELETE", "/api/v1/experiments/{key}")
def delete(request: Request, key: int) -> dict[str, Any]:
    require_owner(request.me, "delete experiment", request.master.experiments.experiment(key)["userId"])
    request.master.removal.delete_experiment(key)
    return {}


@route("DELETE", "/api/v1/experiments/{key}/tensorboard-files")
def delete_tensorboard(request: Request, key: int) -> dict[str, Any]:
    request.master.removal.delete_tensorboard(key)
    return {}


def move_experiment(master: Master, key: int, project_id: int) -> None:
    """Move an experiment to another project.

    Raises:
        Refusal: The experiment or the project doesn't exist or is archived.
    """
    target = master.workspaces.project(project_id)
    if target["archived"]:
        raise failed_precondition(f"project ({target['id']}) is archived and cannot add new experiments")
    with master.experiments.lock:
        experiment = master.experiments.experiment(key)
        if experiment["archived"]:
            raise failed_precondition(f"experiment ({key}) is archived and cannot be moved")
        config = {
            **experiment["config"],
            "workspace": master.workspaces.get(target["workspaceId"])["name"],
            "project": target["name"],
        }
        changed = {**experiment, "projectId": target["id"], "config": config}
        master.store.put("experiment", experiment["id"], changed, parent=target["id"])


@route("POST", "/api/v1/experiments/{key}/move")
def move(request: Request, key: int) -> dict[str, Any]:
    move_experiment(request.master, key, int(request.need("destinationProjectId")))
    return {}
