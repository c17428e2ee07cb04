"""Creating experiments: configuration, code, project, and optionally a template, a parent, or a checkpoint."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.expconf.completion import complete
from pdk_stack.determined.core.expconf.merging import merged
from pdk_stack.determined.core.expconf.reader import parse
from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.core.masking import unmask
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.search import make_method
from pdk_stack.determined.errors import failed_precondition, invalid, not_found, plain
from pdk_stack.determined.store.documents import Document

#: An experiment without a value: what the master answers when it only validates.
NO_EXPERIMENT: dict[str, Any] = {
    **dict.fromkeys(("id", "numTrials", "userId", "projectId", "projectOwnerId", "workspaceId", "checkpointCount"), 0),
    **dict.fromkeys(("name", "description", "notes", "username", "displayName", "resourcePool", "jobId"), ""),
    **dict.fromkeys(("searcherType", "searcherMetric", "originalConfig", "projectName", "workspaceName"), ""),
    **dict.fromkeys(("startTime", "endTime", "config", "hyperparameters"), None),
    "state": "STATE_UNSPECIFIED",
    "archived": False,
    "parentArchived": False,
    "labels": [],
    "trialIds": [],
    "progress": 0,
    "checkpointSize": "0",
    "modelDefinitionSize": 0,
}


def pack(files: list[dict[str, Any]]) -> bytes:
    """Pack a model definition as ``.tar.gz``.

    Args:
        files: Entries of ``v1File``: path, type (the tar type as a number), base64 content, mtime, mode.

    Raises:
        Refusal: A path points outside the folder, or content is not base64.
    """
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz", compresslevel=1) as archived:
        for each in files:
            path = str(each.get("path") or "")
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


def _template(request: Request) -> tuple[dict[str, Any], ...]:
    name = request.get("template")
    return (request.master.store.need("template", name)["config"],) if name else ()


def _project(request: Request, config: dict[str, Any]) -> Document:
    """Choose an experiment's project: by id, by the configuration's names, or the default."""
    workspaces = request.master.workspaces
    if int(request.get("projectId") or 0) > 1:
        return workspaces.project(int(request.get("projectId")))
    workspace_name, project_name = config.get("workspace") or "", config.get("project") or ""
    if not workspace_name and not project_name:
        return workspaces.project(1)
    if not workspace_name or not project_name:
        raise plain("workspace and project must both be included in config if one is provided")
    workspace = workspaces.by_name(workspace_name)
    if workspace is not None and workspace["archived"]:
        raise plain("workspace is archived and cannot add new experiments")
    project = workspaces.project_by_name(workspace["id"], project_name) if workspace else None
    if workspace is None or project is None:
        raise not_found(f"workspace/project '{workspace_name}/{project_name}' not found")
    if project["archived"]:
        raise plain("project is archived and cannot add new experiments")
    return project


def _is_archived(request: Request, project: Document) -> bool:
    return bool(project["archived"] or request.master.workspaces.get(project["workspaceId"])["archived"])


def _warm_start(request: Request, searcher: dict[str, Any]) -> str | None:
    store = request.master.store
    uuid = searcher.get("source_checkpoint_uuid")
    if uuid:
        checkpoint = store.need("checkpoint", uuid)
        if checkpoint["state"] != "STATE_COMPLETED":
            raise failed_precondition(f"checkpoint '{uuid}' is {checkpoint['state']}")
        return str(uuid)
    source = searcher.get("source_trial_id")
    if not source:
        return None
    trial = request.master.experiments.trial(int(source))
    own = request.master.experiments.checkpoints(trial["id"], "STATE_COMPLETED")
    if not own:
        raise not_found(f"trial {source} has no checkpoint to start from")
    return str(max(own, key=steps_of)["uuid"])


def _configured(request: Request, parent: Document | None) -> tuple[dict[str, Any], Document]:
    """Complete and check the submitted configuration against this cluster; return it with its project."""
    submitted = parse(request.get("config") or "")
    if (submitted.get("resources") or {}).get("slots") is not None:
        raise plain('<config>.resources: additionalProperties "slots" not allowed')
    if parent is not None:
        submitted = unmask(submitted, parent["config"])
    for layer in _template(request):
        submitted = merged(submitted, layer)
    project = _project(request, submitted)
    if not request.get("unmanaged"):
        pool = (submitted.get("resources") or {}).get("resource_pool") or POOL
        if pool != POOL:
            raise invalid(
                "invalid resource configuration: rpc error: code = InvalidArgument desc = resource pool "
                f"{pool} does not exist or is not available to workspace ID {project['workspaceId']}"
            )
        if submitted.get("entrypoint") is None:
            raise plain("managed experiments require entrypoint")
    # What the user leaves open about checkpoints, the workspace decides, and then the cluster.
    storage = request.master.workspaces.get(project["workspaceId"])["checkpointStorageConfig"] or {}
    if storage:
        submitted = merged(submitted, {"checkpoint_storage": storage})
    return complete(submitted, storage=request.master.storage, pool=POOL), project


@route("POST", "/api/v1/experiments")
def create_experiment(request: Request) -> dict[str, Any]:
    experiments, store = request.master.experiments, request.master.store
    parent = experiments.experiment(int(request.get("parentId"))) if request.get("parentId") else None
    if parent is not None and _is_archived(request, request.master.workspaces.project(parent["projectId"])):
        raise plain("forking an experiment in an archived workspace/project")
    unmanaged = bool(request.get("unmanaged"))
    config, project = _configured(request, parent)
    # A fork has its parent's code, also where the request brings some.
    files = request.get("modelDefinition") or []
    packed = pack(files) if parent is None else store.get_blob("model_definition", parent["id"]) or b""
    if request.get("validateOnly"):
        return {"experiment": NO_EXPERIMENT, "config": None, "warnings": []}
    try:
        make_method(config["searcher"], config["hyperparameters"])
    except (ArithmeticError, ValueError) as error:
        raise plain(f"failed to create experiment: {error}") from error
    warnings = []
    if config["resources"]["slots_per_trial"] > request.master.slots.total:
        warnings.append("LAUNCH_WARNING_CURRENT_SLOTS_EXCEEDED")
    document = {
        "config": config,
        "originalConfig": request.get("config") or "",
        "name": config["name"],
        "description": config["description"] or "",
        "labels": config["labels"],
        "notes": "",
        "userId": request.me["id"],
        "projectId": project["id"],
        "parentId": parent["id"] if parent else None,
        "warmStart": _warm_start(request, config["searcher"]),
        "unmanaged": unmanaged,
        "modelDefinitionSize": len(packed),
    }
    views = request.views
    made = experiments.create(document, packed, activate=bool(request.get("activate")) or unmanaged)
    shown = views.experiment(made)
    if made["state"] == "ACTIVE" and not unmanaged:
        # The master answers before its trials start.
        shown["state"] = "STATE_QUEUED"
    return {"experiment": shown, "config": views.config(made), "warnings": warnings}
