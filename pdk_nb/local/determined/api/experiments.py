"""Experiments: created, listed, changed, moved through their life."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
from typing import Any

from pdk_nb.local.determined import expconf
from pdk_nb.local.determined.api.routing import Request, route
from pdk_nb.local.determined.api.workspaces import number
from pdk_nb.local.determined.errors import failed_precondition, invalid, not_found
from pdk_nb.local.determined.experiments import TERMINAL
from pdk_nb.local.determined.master import POOL, Master
from pdk_nb.local.determined.store import Document
from pdk_nb.local.determined.views import Views


def _views(request: Request) -> Views:
    return Views(request.master, request.me)


# -- creation --------------------------------------------------------------------------------------------------------


def pack(files: list[dict[str, Any]]) -> bytes:
    """A model definition as ``.tar.gz``.

    Args:
        files: Entries of ``v1File``: path, type (the tar type as a number), base64 content, mtime, mode.

    Raises:
        ApiError: A path leaves the folder, or content is not base64.
    """
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz", compresslevel=1) as archived:
        for each in files:
            path = str(each["path"])
            if path.startswith("/") or ".." in path.split("/"):
                raise invalid(f"model definition: '{path}' leaves the folder")
            entry = tarfile.TarInfo(path)
            try:
                content = base64.b64decode(each.get("content") or "", validate=True)
            except binascii.Error as error:
                raise invalid(f"model definition: '{path}' is not base64: {error}") from error
            entry.type = bytes([int(each.get("type") or 48)])
            entry.mode = int(each.get("mode") or 0o644) & 0o7777
            entry.mtime = int(each.get("mtime") or 0)
            entry.size = len(content) if entry.isreg() else 0
            archived.addfile(entry, io.BytesIO(content) if entry.isreg() else None)
    return sink.getvalue()


def _templates(request: Request) -> tuple[dict[str, Any], ...]:
    name = request.get("template")
    if not name:
        return ()
    found = request.master.store.get("template", str(name))
    if found is None:
        raise not_found(f"template '{name}' not found")
    return (found["config"],)


def _project(request: Request, config: dict[str, Any]) -> Document:
    """The project that an experiment goes to: by number, by the configuration's names, or the first one."""
    workspaces = request.master.workspaces
    if int(request.get("projectId") or 0) > 1:
        return workspaces.project(int(request.get("projectId")))
    workspace_name, project_name = config.get("workspace") or "", config.get("project") or ""
    if not workspace_name and not project_name:
        return workspaces.project(1)
    if not workspace_name or not project_name:
        raise invalid("workspace and project must both be included in config if one is provided")
    workspace = workspaces.by_name(workspace_name)
    project = workspaces.project_by_name(workspace["id"], project_name) if workspace else None
    if workspace is None or project is None:
        raise not_found(f"workspace/project '{workspace_name}/{project_name}' not found")
    if project["archived"] or workspace["archived"]:
        raise failed_precondition(f"workspace/project '{workspace_name}/{project_name}' is archived")
    return project


def _warm_start(request: Request, searcher: dict[str, Any]) -> str | None:
    store = request.master.store
    uuid = searcher.get("source_checkpoint_uuid")
    if uuid:
        checkpoint = store.get("checkpoint", uuid)
        if checkpoint is None:
            raise not_found(f"checkpoint '{uuid}' not found")
        if checkpoint["state"] != "STATE_COMPLETED":
            raise failed_precondition(f"checkpoint '{uuid}' is {checkpoint['state']}")
        return str(uuid)
    source = searcher.get("source_trial_id")
    if not source:
        return None
    trial = request.master.experiments.trial(int(source))
    own = [each for each in store.list("checkpoint", trial["id"]) if each["state"] == "STATE_COMPLETED"]
    if not own:
        raise not_found(f"trial {source} has no checkpoint to start from")
    return str(max(own, key=lambda each: int(each["metadata"].get("steps_completed") or 0))["uuid"])


def _complete(request: Request, parent: Document | None) -> tuple[dict[str, Any], str]:
    """The submitted configuration, completed and checked against this cluster, and its text."""
    text = str(request.get("config") or "")
    submitted = expconf.parse(text) if text.strip() else {}
    if request.get("unmanaged"):
        submitted.setdefault("searcher", {"name": "single", "metric": "unmanaged"})
    if parent is not None:
        submitted = expconf.unmask(submitted, parent["config"])
    config = expconf.complete(submitted, storage=request.master.storage, pool=POOL, merge=_templates(request))
    pool = config["resources"]["resource_pool"]
    if pool != POOL:
        raise not_found(f"invalid resource configuration: resource pool {pool} does not exist; there is: {POOL}")
    return config, text


@route("POST", "/api/v1/experiments")
def create_experiment(request: Request) -> dict[str, Any]:
    experiments, store = request.master.experiments, request.master.store
    parent = experiments.experiment(int(request.get("parentId"))) if request.get("parentId") else None
    unmanaged = bool(request.get("unmanaged"))
    config, text = _complete(request, parent)
    if not unmanaged and not config["entrypoint"]:
        raise invalid("managed experiments require entrypoint")
    project = _project(request, config)
    config["workspace"] = request.master.workspaces.get(project["workspaceId"])["name"]
    config["project"] = project["name"]
    warm_start = _warm_start(request, config["searcher"])
    files = request.get("modelDefinition") or []
    inherited = store.get_blob("model_definition", parent["id"]) if parent is not None and not files else None
    packed = pack(files) if inherited is None else inherited
    warnings = []
    if config["resources"]["slots_per_trial"] > request.master.slots.total:
        warnings.append("LAUNCH_WARNING_CURRENT_SLOTS_EXCEEDED")
    document = {
        "config": config,
        "originalConfig": text,
        "name": config["name"],
        "description": config["description"] or "",
        "labels": sorted(set(config["labels"] or [])),
        "notes": "",
        "userId": request.me["id"],
        "projectId": project["id"],
        "parentId": parent["id"] if parent else None,
        "warmStart": warm_start,
        "unmanaged": unmanaged,
        "modelDefinitionSize": len(packed),
    }
    if request.get("validateOnly"):
        shown = {**document, "id": 0, "state": "PAUSED", "startTime": "1970-01-01T00:00:00Z", "endTime": None}
        shown.update(progress=0.0, archived=False, jobId="")
        return {"experiment": _views(request).experiment(shown), "config": expconf.mask(config), "warnings": warnings}
    made = experiments.create(document, packed, activate=bool(request.get("activate")) or unmanaged)
    views = _views(request)
    return {"experiment": views.experiment(made), "config": views.config(made), "warnings": warnings}


# -- reading ---------------------------------------------------------------------------------------------------------


def _id_filter(request: Request, key: int) -> bool:
    tests = {
        "lt": lambda value: key < value,
        "lte": lambda value: key <= value,
        "gt": lambda value: key > value,
        "gte": lambda value: key >= value,
    }
    for name, test in tests.items():
        found = request.all(f"experimentIdFilter.{name}")
        if found and not test(int(found[0])):
            return False
    wanted = {int(each) for each in request.all("experimentIdFilter.incl")}
    unwanted = {int(each) for each in request.all("experimentIdFilter.notIn")}
    return (not wanted or key in wanted) and key not in unwanted


def _matching(request: Request) -> list[Document]:
    labels = {part for each in request.all("labels") for part in each.split(",") if part}
    name, description = request.text("name").lower(), request.text("description").lower()
    archived, project_id = request.flag("archived"), request.number("projectId")
    users, user_ids = set(request.all("users")), {int(each) for each in request.all("userIds")}
    return [
        each
        for each in request.master.store.list("experiment")
        if labels <= set(each["labels"])
        and name in each["name"].lower()
        and description in each["description"].lower()
        and (archived is None or each["archived"] == archived)
        and (not project_id or each["projectId"] == project_id)
        and (not users or request.master.user(each["userId"])["username"] in users)
        and (not user_ids or each["userId"] in user_ids)
        and _id_filter(request, each["id"])
    ]


@route("GET", "/api/v1/experiments")
def list_experiments(request: Request) -> dict[str, Any]:
    views, found, states = _views(request), _matching(request), set(request.all("states"))
    trials_of = request.master.experiments.trials
    if states:
        # ACTIVE stands for all its finer forms.
        if "STATE_ACTIVE" in states:
            states |= {"STATE_QUEUED", "STATE_PULLING", "STATE_STARTING", "STATE_RUNNING"}
        found = [each for each in found if f"STATE_{views.experiment_state(each, trials_of(each['id']))}" in states]
    keys = {
        "SORT_BY_NAME": lambda each: each["name"].lower(),
        "SORT_BY_DESCRIPTION": lambda each: each["description"].lower(),
        "SORT_BY_START_TIME": lambda each: each["startTime"],
        "SORT_BY_END_TIME": lambda each: each["endTime"] or "9",
        "SORT_BY_STATE": lambda each: each["state"],
        "SORT_BY_NUM_TRIALS": lambda each: len(trials_of(each["id"])),
        "SORT_BY_PROGRESS": lambda each: each["progress"],
        "SORT_BY_USER": lambda each: request.master.user(each["userId"])["username"],
    }
    found.sort(key=keys.get(request.text("sortBy"), lambda each: each["id"]), reverse=request.descending())
    shown, pagination = request.page(found)
    return {"experiments": [views.experiment(each, full=False) for each in shown], "pagination": pagination}


@route("GET", "/api/v1/experiment/labels")
def experiment_labels(request: Request) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for each in _matching(request):
        for label in each["labels"]:
            counts[label] = counts.get(label, 0) + 1
    return {"labels": sorted(counts, key=lambda label: (-counts[label], label))}


def _job_summary(request: Request, experiment: Document) -> dict[str, Any] | None:
    if experiment["state"] not in ("ACTIVE", "PAUSED"):
        return None
    running = any(run.experiment_id == experiment["id"] for run in request.master.experiments.runs.active())
    return {"state": "STATE_SCHEDULED" if running else "STATE_QUEUED", "jobsAhead": 0}


@route("GET", "/api/v1/experiments/{key}")
def get_experiment(request: Request, key: str) -> dict[str, Any]:
    views, experiment = _views(request), request.master.experiments.experiment(number(key))
    return {
        "experiment": views.experiment(experiment),
        "config": views.config(experiment),
        "jobSummary": _job_summary(request, experiment),
    }


@route("GET", "/api/v1/experiments/{key}/model_def")
def model_definition(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.experiment(number(key))
    packed = request.master.store.get_blob("model_definition", number(key)) or b""
    return {"b64Tgz": base64.b64encode(packed).decode()}


# -- changing --------------------------------------------------------------------------------------------------------


@route("PATCH", "/api/v1/experiments/{key}")
def patch_experiment(request: Request, key: str) -> dict[str, Any]:
    master = request.master
    with master.experiments.lock:
        experiment = master.experiments.experiment(number(key))
        if experiment["archived"]:
            raise failed_precondition(f"experiment {key} is archived and cannot have attributes updated")
        changes = {
            name: request.get(name) for name in ("name", "description", "notes") if request.get(name) is not None
        }
        if request.get("labels") is not None:
            changes["labels"] = sorted({str(label) for label in request.get("labels")})
        if "name" in changes and not str(changes["name"]).strip():
            raise invalid("`name` must not be an empty or whitespace string.")
        config = dict(experiment["config"])
        for name in ("name", "description", "labels"):
            if name in changes:
                config[name] = changes[name]
        _patch_resources(request, config)
        policy_changed = config["checkpoint_storage"] != experiment["config"]["checkpoint_storage"]
        changed = master.store.update("experiment", experiment["id"], config=config, **changes)
    if changed["config"]["resources"] != experiment["config"]["resources"]:
        master.experiments.set_resources(changed["id"])
    if policy_changed and changed["state"] in TERMINAL:
        master.removal.collect_later(changed["id"])
    return {"experiment": _views(request).experiment(changed)}


def _patch_resources(request: Request, config: dict[str, Any]) -> None:
    resources = request.get("resources") or {}
    known = {"maxSlots": "max_slots", "priority": "priority", "weight": "weight"}
    wanted = {known[name]: value for name, value in resources.items() if name in known and value is not None}
    if wanted:
        config["resources"] = {**config["resources"], **wanted}
    storage = request.get("checkpointStorage") or {}
    saved = {
        "saveExperimentBest": "save_experiment_best",
        "saveTrialBest": "save_trial_best",
        "saveTrialLatest": "save_trial_latest",
    }
    kept = {saved[name]: int(value) for name, value in storage.items() if name in saved and value is not None}
    if kept:
        config["checkpoint_storage"] = {**config["checkpoint_storage"], **kept}


def _set_labels(request: Request, key: str, change: set[str], add: bool) -> dict[str, Any]:
    master = request.master
    with master.experiments.lock:
        experiment = master.experiments.experiment(number(key))
        have = set(experiment["labels"])
        labels = sorted(have | change if add else have - change)
        config = {**experiment["config"], "labels": labels}
        master.store.update("experiment", experiment["id"], labels=labels, config=config)
    return {"labels": labels}


@route("PUT", "/api/v1/experiments/{key}/labels/{label}")
def add_label(request: Request, key: str, label: str) -> dict[str, Any]:
    return _set_labels(request, key, {label}, True)


@route("DELETE", "/api/v1/experiments/{key}/labels/{label}")
def remove_label(request: Request, key: str, label: str) -> dict[str, Any]:
    return _set_labels(request, key, {label}, False)


@route("POST", "/api/v1/experiments/{key}/activate")
def activate(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.activate(number(key))
    return {}


@route("POST", "/api/v1/experiments/{key}/pause")
def pause(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.pause(number(key))
    return {}


@route("POST", "/api/v1/experiments/{key}/cancel")
def cancel(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.cancel(number(key))
    return {}


@route("POST", "/api/v1/experiments/{key}/kill")
def kill(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.kill(number(key))
    return {}


@route("POST", "/api/v1/experiments/{key}/archive")
def archive(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.archive(number(key), True)
    return {}


@route("POST", "/api/v1/experiments/{key}/unarchive")
def unarchive(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.archive(number(key), False)
    return {}


@route("DELETE", "/api/v1/experiments/{key}")
def delete(request: Request, key: str) -> dict[str, Any]:
    request.master.removal.delete_experiment(number(key))
    return {}


@route("DELETE", "/api/v1/experiments/{key}/tensorboard-files")
def delete_tensorboard(request: Request, key: str) -> dict[str, Any]:
    request.master.removal.delete_tensorboard(number(key))
    return {}


def move_experiment(master: Master, key: int, project_id: int) -> None:
    """Put an experiment into another project.

    Raises:
        ApiError: One of them does not exist or is archived.
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
def move(request: Request, key: str) -> dict[str, Any]:
    move_experiment(request.master, number(key), int(request.need("destinationProjectId")))
    return {}
