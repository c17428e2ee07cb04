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
from pdk_stack.determined.errors import failed_precondition, invalid, not_found, plain
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
    project_id, workspaces = request.number("projectId"), request.master.workspaces
    if project_id:
        workspaces.project(project_id)
    hidden: set[int] = set()
    if request.flag("archived") is False and not project_id:
        # What lies in something archived counts as archived.
        spaces = {each["id"] for each in workspaces.all() if each["archived"]}
        hidden = {each["id"] for each in workspaces.projects() if each["archived"] or each["workspaceId"] in spaces}
    return [
        each
        for each in described(request, request.master.store.list("experiment"))
        if (not project_id or each["projectId"] == project_id)
        and each["projectId"] not in hidden
        and _id_filter(request, each["id"])
    ]


#: Parameters of a list that need nothing but the ids to tell what is on a page.
PLAIN = {"limit", "offset", "order_by", "sort_by", "show_trial_data"}


def _is_plain(request: Request) -> bool:
    """Whether a list is sorted by id and has no filter."""
    given = {snake(name) for name in request.query}
    return given <= PLAIN and request.text("sortBy") in ("", "SORT_BY_UNSPECIFIED", "SORT_BY_ID")


def _plain_list(request: Request, best: bool) -> dict[str, Any]:
    """A page of all experiments; only those on it are read, however many there are."""
    store, views = request.master.store, request.views
    ids = [{"id": key} for key in store.ids("experiment")]
    page = listed(request, "experiments", ids, lambda each: store.get("experiment", each["id"]), {}, clipped=True)
    # One that was deleted in the meantime is left out.
    found = [views.experiment(each, full=False, best=best) for each in page["experiments"] if each is not None]
    return {**page, "experiments": found}


@route("GET", "/api/v1/experiments")
def list_experiments(request: Request) -> dict[str, Any]:
    best = bool(request.flag("showTrialData"))
    if _is_plain(request):
        return _plain_list(request, best)
    views, found, states = request.views, _matching(request), set(request.all("states"))
    trials_of = request.master.experiments.trials
    if states:
        # ACTIVE includes all its substates.
        if "STATE_ACTIVE" in states:
            states |= {"STATE_QUEUED", "STATE_PULLING", "STATE_STARTING", "STATE_RUNNING"}
        found = [each for each in found if views.experiment_state(each, trials_of(each["id"])) in states]
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
    """Change an experiment, also an archived one; the reply shows the configuration from before."""
    master, views = request.master, request.views
    with master.experiments.lock:
        before = master.experiments.experiment(key)
        changes = request.fields("name", "description", "notes")
        if "name" in changes and changes["name"] != before["name"] and not changes["name"].strip():
            raise invalid("`name` must not be an empty or whitespace string")
        if request.get("labels") is not None:
            # The release skips what isn't text.
            changes["labels"] = list(dict.fromkeys(each for each in request.get("labels") if isinstance(each, str)))
        config = {**before["config"], **{name: changes[name] for name in CONFIGURED if name in changes}}
        changed = master.store.update("experiment", key, config=config, **changes)
        changed = _patch_config(request, changed)
    if changed["config"]["resources"] != before["config"]["resources"]:
        master.control.set_resources(key)
    if changed["config"]["checkpoint_storage"] != before["config"]["checkpoint_storage"] and _is_over(changed):
        master.removal.collect_later(key)
    shown = views.experiment(changed)
    return {"experiment": {**shown, "config": request.views.config(before)}}


#: Attributes that an experiment's configuration contains too.
CONFIGURED = ("name", "description", "labels")
#: Configuration entries that can change later.
RESOURCES = ("max_slots", "priority", "weight")
SAVED = ("save_experiment_best", "save_trial_best", "save_trial_latest")


def _is_over(experiment: Document) -> bool:
    return experiment["state"] in TERMINAL


def _patch_config(request: Request, experiment: Document) -> Document:
    """Change resources and the checkpoint policy.

    Raises:
        Refusal: Resources of an ended experiment: the release looks among the experiments that it runs.
    """
    config, key = dict(experiment["config"]), experiment["id"]
    resources, storage = request.get("resources"), request.get("checkpointStorage")
    if resources is not None:
        if _is_over(experiment) or experiment.get("unmanaged"):
            raise not_found(f"experiment '{key}' not found")
        sent = {snake(name): value for name, value in resources.items()}
        config["resources"] = {**config["resources"], **{name: sent[name] for name in RESOURCES if name in sent}}
    if storage is not None:
        sent = {snake(name): value for name, value in storage.items()}
        # These three have no presence: what isn't sent is 0.
        config["checkpoint_storage"] = {**config["checkpoint_storage"], **{name: sent.get(name, 0) for name in SAVED}}
    if config == experiment["config"]:
        return experiment
    return request.master.store.update("experiment", key, config=config)


@route("PUT", "/api/v1/experiments/{key}/labels/{label}")
def add_label(request: Request, key: int, label: str) -> dict[str, Any]:
    master = request.master
    with master.experiments.lock:
        experiment = master.experiments.experiment(key)
        labels = list(dict.fromkeys([*experiment["labels"], label]))
        master.store.update("experiment", key, labels=labels, config={**experiment["config"], "labels": labels})
    return {"labels": labels}


@route("DELETE", "/api/v1/experiments/{key}/labels/{label}")
def remove_label(request: Request, key: int, label: str) -> dict[str, Any]:
    """Refuse as the release does: its query fails for every experiment. Labels change with the other attributes."""
    raise plain("ERROR: FOR UPDATE cannot be applied to the nullable side of an outer join (SQLSTATE 0A000)")


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
        Refusal: The experiment, or what it is in, is archived.
    """
    with master.experiments.lock:
        experiment = master.experiments.experiment(key)
        project = master.workspaces.project(experiment["projectId"])
        workspace = master.workspaces.get(project["workspaceId"])
        if experiment["archived"] or project["archived"] or workspace["archived"]:
            raise failed_precondition("Experiment is archived.")
        changed = {**experiment, "projectId": project_id}
        master.store.put("experiment", experiment["id"], changed, parent=project_id)


@route("POST", "/api/v1/experiments/{key}/move")
def move(request: Request, key: int) -> dict[str, Any]:
    master = request.master
    experiment = master.experiments.experiment(key)
    if experiment["archived"]:
        raise plain(f"experiment ({key}) is archived and cannot be moved")
    source = master.workspaces.project(experiment["projectId"])
    if source["archived"]:
        raise plain(f"project ({source['id']}) is archived and cannot have experiments moved from it")
    target = master.workspaces.project(int(request.get("destinationProjectId") or 0))
    if target["archived"]:
        raise plain(f"project ({target['id']}) is archived and cannot add new experiments")
    move_experiment(master, key, target["id"])
    return {}
