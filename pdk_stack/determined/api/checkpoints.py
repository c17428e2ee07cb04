"""Checkpoint calls: report, list, sort, download, delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from pdk_stack.determined.api.routing import Bytes, Request, route
from pdk_stack.determined.core.checkpoints import storage
from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.core.masking import LOAD_DATA, mask_checkpoint
from pdk_stack.determined.errors import UnsupportedMedia, invalid, not_found, plain
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import normalized

UUID_SIZES = (32, 36, 38, 45)


def _uuid_of(text: str) -> str:
    """Return a UUID in its usual form; a checkpoint's name is also its folder's name.

    Raises:
        Refusal: It is none.
    """
    if len(text.encode()) not in UUID_SIZES:
        raise plain(f"invalid UUID length: {len(text.encode())}")
    try:
        return str(UUID(text))
    except ValueError:
        raise plain("invalid UUID format") from None


def _uuids_of(texts: list[str]) -> list[str]:
    """Return many UUIDs.

    Raises:
        Refusal: One is none.
    """
    try:
        return [str(UUID(text)) for text in texts]
    except ValueError:
        wrong = next(text for text in texts if not _is_uuid(text))
        raise invalid(f"converting checkpoint: string {wrong} is not a valid uuid") from None


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _find(request: Request, uuid: str) -> Document:
    """Find a checkpoint.

    Raises:
        Refusal: It doesn't exist, or the text is no UUID.
    """
    return request.master.store.need("checkpoint", _uuid_of(uuid))


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
    return {"checkpoint": request.views.checkpoint(_find(request, uuid))}


@route("POST", "/api/v1/checkpoints/{uuid}/metadata")
def set_metadata(request: Request, uuid: str) -> dict[str, Any]:
    """Replace a checkpoint's metadata; the reply has the old step's metrics."""
    checkpoint = _find(request, uuid)
    shown = request.views.checkpoint(checkpoint)
    metadata = (request.get("checkpoint") or {}).get("metadata") or {}
    request.master.store.update("checkpoint", checkpoint["uuid"], metadata=metadata)
    return {"checkpoint": {**shown, "metadata": metadata}}


def _editable(request: Request, texts: list[str], verb: str) -> list[Document]:
    """Return checkpoints that may be changed.

    Raises:
        Refusal: One doesn't exist or is registered, or a text is no UUID.
    """
    store, uuids = request.master.store, _uuids_of(texts)
    found = {uuid: store.get("checkpoint", uuid) for uuid in uuids}
    missing = sorted(uuid for uuid, checkpoint in found.items() if checkpoint is None)
    if missing:
        raise not_found(f"checkpoints '{', '.join(missing)}' not found")
    names = {model["id"]: model["name"] for model in store.list("model")}
    registered = {
        version["checkpointUuid"]: f"{names.get(version['modelId'])} (model #{version['modelId']}), "
        f"version {version['version']}"
        for version in store.list("model_version")
        if version["checkpointUuid"] in found
    }
    if registered:
        shown = ", ".join(f"{uuid}, registered to {version}" for uuid, version in registered.items())
        raise invalid(f"this subset of checkpoints provided are in the model registry and cannot be {verb}: {shown}.")
    return [checkpoint for checkpoint in found.values() if checkpoint is not None]


@route("DELETE", "/api/v1/checkpoints")
def delete_checkpoints(request: Request) -> dict[str, Any]:
    for checkpoint in _editable(request, request.get("checkpointUuids") or [], "deleted"):
        request.master.removal.delete_checkpoint(checkpoint["uuid"], None)
    return {}


@route("POST", "/api/v1/checkpoints/rm")
def remove_files(request: Request) -> dict[str, Any]:
    """Delete the files of checkpoints that match the globs; without globs, none."""
    globs = request.get("checkpointGlobs") or []
    _uuids_of(request.get("checkpointUuids") or [])
    for glob in globs:
        if not glob:
            raise invalid("cannot have empty string glob")
        if ".." in glob:
            raise invalid(f"glob '{glob}' cannot contain '..'")
    for checkpoint in _editable(request, request.get("checkpointUuids") or [], "deleted"):
        if globs:
            request.master.removal.delete_checkpoint(checkpoint["uuid"], globs)
    return {}


@route("PATCH", "/api/v1/checkpoints")
def patch_checkpoints(request: Request) -> dict[str, Any]:
    sent = request.get("checkpoints") or []
    _editable(request, [each.get("uuid") or "" for each in sent], "patched")
    for each in sent:
        checkpoint = request.master.store.need("checkpoint", str(UUID(each["uuid"])))
        if each.get("resources") is None:
            continue
        sizes = {path: str(size) for path, size in (each["resources"].get("resources") or {}).items()}
        changes: dict[str, Any] = {"resources": sizes} if sizes else {"state": "STATE_DELETED"}
        if sizes and sizes != checkpoint["resources"]:
            changes["state"] = "STATE_PARTIALLY_DELETED"
        request.master.store.update("checkpoint", checkpoint["uuid"], **changes)
    return {}


FORMS = {"application/x-tar": "tar", "application/gzip": "tgz", "application/zip": "zip"}


@route("GET", "/checkpoints/{uuid}")
def download_checkpoint(request: Request, uuid: str) -> Bytes:
    form = "application/x-tar" if request.accept in ("", "*/*", "application/*") else request.accept
    if form not in FORMS:
        raise UnsupportedMedia(f"unsupported media type to download a checkpoint: '{form}'")
    checkpoint = _find(request, uuid)
    if checkpoint["state"] not in ("STATE_COMPLETED", "STATE_PARTIALLY_DELETED"):
        raise not_found(f"checkpoint '{uuid}' is {checkpoint['state']}")
    config = request.master.experiments.experiment(checkpoint["experimentId"])["config"]
    folder = storage.checkpoint_folder(config["checkpoint_storage"], checkpoint["uuid"])
    if not folder.is_dir():
        raise not_found(f"the files of checkpoint '{uuid}' are not in {folder}")
    return Bytes(storage.archive(folder, form), form, f"{checkpoint['uuid']}.{FORMS[form]}")
