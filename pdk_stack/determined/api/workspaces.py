"""Workspaces and projects."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed, separated
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.patterns import like
from pdk_stack.determined.core.permissions import require_admin, require_owner
from pdk_stack.determined.errors import failed_precondition, plain
from pdk_stack.determined.store.documents import Document

#: What a workspace's checkpoint storage can be (``expconf.CheckpointStorageConfig``).
STORAGE_TYPES = ("shared_fs", "s3", "gcs", "azure", "directory")
#: Stored fields by the request's field that changes them.
POOLS = {"defaultComputeResourcePool": "defaultComputePool", "defaultAuxResourcePool": "defaultAuxPool"}


def _wanted(request: Request, found: list[Document]) -> list[Document]:
    name, exact, archived = request.text("name"), request.text("nameCaseSensitive"), request.flag("archived")
    users, ids = separated(request.all("users")), {int(each) for each in request.all("userIds")}
    names = {user["id"]: user["username"] for user in request.master.store.list("user")}
    return [
        each
        for each in found
        if (not name or like(each["name"], name))
        and (not exact or like(each["name"], exact, ignore_case=False))
        and (archived is None or each["archived"] == archived)
        and (not users or names.get(each["userId"]) in users)
        and (not ids or each["userId"] in ids)
    ]


@route("GET", "/api/v1/workspaces")
def list_workspaces(request: Request) -> dict[str, Any]:
    views = request.views
    found = _wanted(request, request.master.workspaces.all())
    pinned = request.flag("pinned")
    if pinned is not None:
        found = [each for each in found if (str(request.me["id"]) in each["pinnedBy"]) == pinned]
    keys: Keys = {"SORT_BY_NAME": lambda each: each["name"]}
    return listed(request, "workspaces", found, views.workspace, keys)


def _settings(request: Request, workspace: Document | None) -> dict[str, Any]:
    """Return the storage and the agent user group that a request sets.

    Raises:
        Refusal: The caller may not set them, or they are not valid.
    """
    changes: dict[str, Any] = {}
    group = request.get("agentUserGroup")
    if group is not None:
        require_admin(request.me, "workspace agentUserGroup")
        for one, other in (("agentUid", "agentUser"), ("agentGid", "agentGroup")):
            if (group.get(one) is None) != (group.get(other) is None):
                raise plain(f"{one} and {other} must be set together")
        changes["agentUserGroup"] = {name: value for name, value in group.items() if value is not None} or None
    storage = request.get("checkpointStorageConfig")
    if storage is not None:
        if workspace is not None:
            require_owner(request.me, "set workspace storage", workspace["userId"])
        if storage and storage.get("type") not in STORAGE_TYPES:
            raise plain(f"unexpected type: {storage.get('type', '')}")
        changes["checkpointStorageConfig"] = storage or None
    return changes


@route("POST", "/api/v1/workspaces")
def create_workspace(request: Request) -> dict[str, Any]:
    more = {**request.fields("defaultComputePool", "defaultAuxPool"), **_settings(request, None)}
    made = request.master.workspaces.create(request.get("name") or "", request.me, **more)
    return {"workspace": request.views.workspace(made, new=True), "namespaceBindings": {}}


@route("GET", "/api/v1/workspaces/{key}")
def get_workspace(request: Request, key: int) -> dict[str, Any]:
    found = request.master.workspaces.get(key)
    return {"workspace": request.views.workspace(found, whole=True)}


@route("PATCH", "/api/v1/workspaces/{key}")
def patch_workspace(request: Request, key: int) -> dict[str, Any]:
    # That a workspace can't be changed comes first, for everyone.
    workspace = request.master.workspaces.changeable(key)
    changes = request.fields("name")
    if changes.get("name", workspace["name"]) != workspace["name"]:
        require_owner(request.me, "name workspace", workspace["userId"])
    changes |= _settings(request, workspace)
    for name, stored in POOLS.items():
        pool = request.get(name)
        if pool is not None:
            if pool not in ("", POOL):
                raise failed_precondition(
                    "unable to bind a resource pool that does not exist or is not available to the workspace"
                )
            changes[stored] = pool
    changed = request.master.workspaces.update(key, **changes)
    return {"workspace": request.views.workspace(changed, whole=True), "namespaceBindings": {}}


@route("DELETE", "/api/v1/workspaces/{key}")
def delete_workspace(request: Request, key: int) -> dict[str, Any]:
    workspaces = request.master.workspaces
    require_owner(request.me, "delete workspace", workspaces.get(key)["userId"])
    projects = workspaces.deletable(key)
    for project in projects:
        _delete_project(request, project["id"])
    workspaces.delete(key)
    return {"completed": not projects}


def _delete_project(request: Request, key: int) -> bool:
    """Delete a project with its experiments; return whether it had any."""
    experiments = request.master.store.list("experiment", key)
    for experiment in experiments:
        request.master.removal.delete_experiment(experiment["id"])
    request.master.workspaces.delete_project(key)
    return bool(experiments)


def _owners(request: Request, key: int) -> tuple[int, int]:
    """Return the owners of a project and of its workspace."""
    project = request.master.workspaces.project(key)
    return project["userId"], request.master.workspaces.get(project["workspaceId"])["userId"]


def _archive(verb: str, archived: bool) -> None:
    """Register the calls that archive or unarchive a workspace or a project."""

    @route("POST", f"/api/v1/workspaces/{{key}}/{verb}")
    def workspace(request: Request, key: int) -> dict[str, Any]:
        require_owner(request.me, f"{verb} workspace", request.master.workspaces.get(key)["userId"])
        request.master.workspaces.archive(key, archived)
        return {}

    @route("POST", f"/api/v1/projects/{{key}}/{verb}")
    def project(request: Request, key: int) -> dict[str, Any]:
        require_owner(request.me, f"{verb} project", *_owners(request, key))
        request.master.workspaces.archive_project(key, archived)
        return {}


_archive("archive", True)
_archive("unarchive", False)


@route("POST", "/api/v1/workspaces/{key}/pin")
def pin_workspace(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.pin(key, request.me, True)
    return {}


@route("POST", "/api/v1/workspaces/{key}/unpin")
def unpin_workspace(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.pin(key, request.me, False)
    return {}


@route("GET", "/api/v1/workspaces/{key}/available-resource-pools")
def workspace_pools(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.get(key)
    shown, pagination = request.page([POOL], clipped=True)
    return {"resourcePools": shown, "pagination": pagination}


@route("GET", "/api/v1/workspaces/{key}/projects")
def list_projects(request: Request, key: int) -> dict[str, Any]:
    views, workspace_id = request.views, key
    if workspace_id:
        request.master.workspaces.get(workspace_id)
    found = _wanted(request, request.master.workspaces.projects(workspace_id or None))
    keys: Keys = {
        "SORT_BY_NAME": lambda each: each["name"],
        "SORT_BY_DESCRIPTION": lambda each: each["description"],
        "SORT_BY_LAST_EXPERIMENT_START_TIME": lambda each: views.project(each)["lastExperimentStartedAt"],
    }
    return listed(request, "projects", found, lambda each: views.project(each, named=False), keys)


@route("POST", "/api/v1/workspaces/{key}/projects")
def create_project(request: Request, key: int) -> dict[str, Any]:
    made = request.master.workspaces.create_project(
        key,
        request.get("name") or "",
        request.me,
        description=request.get("description") or "",
        key=request.get("key"),
    )
    return {"project": request.views.project(made, named=False)}


@route("GET", "/api/v1/projects/{key}")
def get_project(request: Request, key: int) -> dict[str, Any]:
    return {"project": request.views.project(request.master.workspaces.project(key))}


@route("GET", "/api/v1/projects/key/{project_key}")
def get_project_by_key(request: Request, project_key: str) -> dict[str, Any]:
    return {"project": request.views.project(request.master.workspaces.project_by_key(project_key))}


@route("PATCH", "/api/v1/projects/{key}")
def patch_project(request: Request, key: int) -> dict[str, Any]:
    workspaces, changes = request.master.workspaces, request.fields("name", "description", "key")
    # That a project can't be changed comes first, for everyone.
    project = workspaces.changeable_project(key)
    if any(project[name] != value for name, value in changes.items()):
        # The release doesn't read the project's own owner here, only the workspace's.
        require_owner(request.me, "patch project", _owners(request, key)[1])
    changed = workspaces.update_project(key, **changes)
    return {"project": request.views.project(changed)}


@route("DELETE", "/api/v1/projects/{key}")
def delete_project(request: Request, key: int) -> dict[str, Any]:
    require_owner(request.me, "delete project", *_owners(request, key))
    request.master.workspaces.refuse_immutable_project(key)
    return {"completed": not _delete_project(request, key)}


@route("POST", "/api/v1/projects/{key}/move")
def move_project(request: Request, key: int) -> dict[str, Any]:
    workspaces, target = request.master.workspaces, int(request.get("destinationWorkspaceId") or 0)
    project = workspaces.project(key)
    workspaces.changeable(target)
    require_owner(request.me, "move project", project["userId"])
    workspaces.move_project(key, target)
    return {}


@route("POST", "/api/v1/projects/{key}/notes")
def add_note(request: Request, key: int) -> dict[str, Any]:
    """Add a note; the body is the note itself."""
    note = request.fields("name", "contents")
    return _write_notes(request, key, [*request.master.workspaces.project(key)["notes"], note])


@route("PUT", "/api/v1/projects/{key}/notes")
def put_notes(request: Request, key: int) -> dict[str, Any]:
    return _write_notes(request, key, request.get("notes") or [])


def _write_notes(request: Request, key: int, sent: list[dict[str, Any]]) -> dict[str, Any]:
    notes = [{"name": note.get("name") or "", "contents": note.get("contents") or ""} for note in sent]
    request.master.store.update("project", key, notes=notes)
    return {"notes": notes}
