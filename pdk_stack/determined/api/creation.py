"""Creating experiments: configuration, code, project, and optionally a template, a parent, or a checkpoint."""

from __future__ import annotations

import base64
import binascii
import io
import tarfile
from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.expconf import reader
from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.core.masking import mask, unmask
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.errors import failed_precondition, invalid, not_found
from pdk_stack.determined.store.documents import Document


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
    return (request.master.store.need("template", str(name))["config"],)


def _project(request: Request, config: dict[str, Any]) -> Document:
    """Choose an experiment's project: by id, by the configuration's names, or the default."""
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


def _complete(request: Request, parent: Document | None) -> tuple[dict[str, Any], str]:
    """Complete and check the submitted configuration against this cluster; return it with its text."""
    text = str(request.get("config") or "")
    submitted = reader.parse(text) if text.strip() else {}
    if request.get("unmanaged"):
        submitted.setdefault("searcher", {"name": "single", "metric": "unmanaged"})
    if parent is not None:
        submitted = unmask(submitted, parent["config"])
    config = reader.complete(submitted, storage=request.master.storage, pool=POOL, merge=_templates(request))
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
    views = request.views
    if request.get("validateOnly"):
        shown = {**document, "id": 0, "state": "PAUSED", "startTime": "1970-01-01T00:00:00Z", "endTime": None}
        shown.update(progress=0.0, archived=False, jobId="")
        return {"experiment": views.experiment(shown), "config": mask(config), "warnings": warnings}
    made = experiments.create(document, packed, activate=bool(request.get("activate")) or unmanaged)
    return {"experiment": views.experiment(made), "config": views.config(made), "warnings": warnings}
