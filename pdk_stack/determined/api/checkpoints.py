"""Checkpoint calls: report, list, sort, download, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pdk_stack.determined.api.routing import Bytes, Request, route
from pdk_stack.determined.core.checkpoints import storage
from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.core.masking import LOAD_DATA, mask_checkpoint
from pdk_stack.determined.errors import failed_precondition, invalid, not_found
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import normalized


def _uuid_of(text: str) -> str:
    """Accept only a UUID, because a checkpoint's name is also its folder's name."""
    try:
        return str(UUID(text))
    except ValueError:
        raise invalid(f"'{text}' is not a UUID") from None


@route("POST", "/api/v1/checkpoints")
def report_checkpoint(request: Request) -> dict[str, Any]:
    store, uuid = request.master.store, _uuid_of(str(request.need("uuid")))
    task = store.need("task", str(request.need("taskId")))
    resources = {str(path): str(size) for path, size in (request.get("resources") or {}).items()}
    config = request.master.experiments.experiment(task["experimentId"])["config"]["checkpoint_storage"]
    if config["type"] in storage.READABLE:
        size = mask_checkpoint(storage.checkpoint_folder(config, uuid))
        if size is not None:
            resources[LOAD_DATA] = str(size)
    checkpoint = {
        "uuid": uuid,
        "taskId": task["taskId"],
        "trialId": task["trialId"],
        "experimentId": task["experimentId"],
        "allocationId": request.get("allocationId"),
        "reportTime": normalized(request.get("reportTime")),
        "resources": resources,
        "metadata": request.get("metadata") or {},
        "state": request.get("state") or "STATE_COMPLETED",
        "storageId": request.get("storageId"),
    }
    store.put("checkpoint", uuid, checkpoint, parent=task["trialId"])
    return {}


def _listed(request: Request, checkpoints: list[Document], experiment: Document) -> dict[str, Any]:
    searcher = experiment["config"]["searcher"]
    states = set(request.all("states"))
    if states:
        checkpoints = [each for each in checkpoints if each["state"] in states]
    attribute, metric = request.text("sortByAttr"), request.text("sortByMetric")
    order = request.text("orderBy")
    if metric and attribute:
        raise invalid("cannot use both sort_by_attr and sort_by_metric")
    if metric or attribute == "SORT_BY_SEARCHER_METRIC":
        if not metric and order in ("", "ORDER_BY_UNSPECIFIED"):
            # Best first, whether smaller or larger is better.
            order = "ORDER_BY_ASC" if searcher["smaller_is_better"] else "ORDER_BY_DESC"
        rated = [(request.master.removal.metric(each, metric or searcher["metric"]), each) for each in checkpoints]
        have = [(value, each) for value, each in rated if value is not None]
        have.sort(key=lambda entry: entry[0], reverse=order == "ORDER_BY_DESC")
        checkpoints = [each for _, each in have] + [each for value, each in rated if value is None]
    else:
        keys: dict[str, Callable[[Document], Any]] = {
            "SORT_BY_UUID": lambda each: each["uuid"],
            "SORT_BY_BATCH_NUMBER": steps_of,
            "SORT_BY_END_TIME": lambda each: each["reportTime"],
            "SORT_BY_STATE": lambda each: each["state"],
            "SORT_BY_TRIAL_ID": lambda each: each["trialId"],
        }
        default = keys["SORT_BY_END_TIME"]
        checkpoints.sort(key=keys.get(attribute, default), reverse=order == "ORDER_BY_DESC")
    shown, pagination = request.page(checkpoints)
    views = request.views
    return {"checkpoints": [views.checkpoint(each) for each in shown], "pagination": pagination}


@route("GET", "/api/v1/experiments/{key}/checkpoints")
def experiment_checkpoints(request: Request, key: int) -> dict[str, Any]:
    experiment = request.master.experiments.experiment(key)
    found = [
        each
        for trial in request.master.experiments.trials(experiment["id"])
        for each in request.master.experiments.checkpoints(trial["id"])
    ]
    return _listed(request, found, experiment)


@route("GET", "/api/v1/trials/{key}/checkpoints")
def trial_checkpoints(request: Request, key: int) -> dict[str, Any]:
    trial = request.master.experiments.trial(key)
    experiment = request.master.experiments.experiment(trial["experimentId"])
    return _listed(request, request.master.experiments.checkpoints(trial["id"]), experiment)


@route("GET", "/api/v1/checkpoints/{uuid}")
def get_checkpoint(request: Request, uuid: str) -> dict[str, Any]:
    return {"checkpoint": request.views.checkpoint(request.master.store.need("checkpoint", uuid))}


@route("POST", "/api/v1/checkpoints/{uuid}/metadata")
def set_metadata(request: Request, uuid: str) -> dict[str, Any]:
    metadata = request.need("checkpoint").get("metadata") or {}
    changed = request.master.store.update("checkpoint", uuid, metadata=metadata)
    return {"checkpoint": request.views.checkpoint(changed)}


def _delete(request: Request, uuids: list[str], globs: list[str] | None) -> None:
    registered = request.master.removal.registered()
    blocked = [uuid for uuid in uuids if uuid in registered]
    for uuid in uuids:
        request.master.store.need("checkpoint", uuid)
    if blocked:
        raise failed_precondition(
            f"this subset of checkpoints provided are in the model registry and cannot be deleted: {blocked}"
        )
    for uuid in uuids:
        request.master.removal.delete_checkpoint(uuid, globs)


@route("DELETE", "/api/v1/checkpoints")
def delete_checkpoints(request: Request) -> dict[str, Any]:
    _delete(request, [str(each) for each in request.get("checkpointUuids") or []], None)
    return {}


@route("POST", "/api/v1/checkpoints/rm")
def remove_files(request: Request) -> dict[str, Any]:
    """Delete the files of checkpoints that match the globs."""
    globs = [str(each) for each in request.get("checkpointGlobs") or []]
    _delete(request, [str(each) for each in request.get("checkpointUuids") or []], globs or None)
    return {}


@route("PATCH", "/api/v1/checkpoints")
def patch_checkpoints(request: Request) -> dict[str, Any]:
    for each in request.get("checkpoints") or []:
        checkpoint = request.master.store.need("checkpoint", str(each["uuid"]))
        resources = (each.get("resources") or {}).get("resources")
        if resources is None:
            continue
        state = "STATE_PARTIALLY_DELETED" if resources else "STATE_DELETED"
        sizes = {str(path): str(size) for path, size in resources.items()}
        request.master.store.update("checkpoint", checkpoint["uuid"], resources=sizes, state=state)
    return {}


FORMS = ("application/gzip", "application/zip", "application/x-tar")


@route("GET", "/checkpoints/{uuid}")
def download_checkpoint(request: Request, uuid: str) -> Bytes:
    checkpoint = request.master.store.need("checkpoint", uuid)
    if checkpoint["state"] not in ("STATE_COMPLETED", "STATE_PARTIALLY_DELETED"):
        raise not_found(f"checkpoint '{uuid}' is {checkpoint['state']}")
    form = next((form for form in FORMS if form in request.accept), "application/x-tar")
    config = request.master.experiments.experiment(checkpoint["experimentId"])["config"]
    folder = storage.checkpoint_folder(config["checkpoint_storage"], uuid)
    if not folder.is_dir():
        raise not_found(f"the files of checkpoint '{uuid}' are not in {folder}")
    ending = {"application/gzip": "tgz", "application/zip": "zip"}.get(form, "tar")
    return Bytes(storage.archive(folder, form), form, f"{uuid}.{ending}")
