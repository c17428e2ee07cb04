"""Workspaces and projects."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import WORKSPACE_SETTINGS
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.permissions import require_admin, require_owner
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now

KEYS: Keys = {"SORT_BY_NAME": lambda each: each["name"].lower()}


def _wanted(request: Request, found: list[Document]) -> list[Document]:
    name, exact, archived = request.text("name"), request.text("nameCaseSensitive"), request.flag("archived")
    users = set(request.all("users"))
    names = {user["id"]: user["username"] for user in request.master.store.list("user")}
    return [
        each
        for each in found
        if (not name or each["name"].lower() == name.lower())
        and (not exact or each["name"] == exact)
        and (archived is None or each["archived"] == archived)
        and (not users or names.get(each["userId"]) in users)
    ]


@route("GET", "/api/v1/workspaces")
def list_workspaces(request: Request) -> dict[str, Any]:
    views = request.views
    found = _wanted(request, request.master.workspaces.all())
    pinned = request.flag("pinned")
    if pinned is not None:
        found = [each for each in found if (str(request.me["id"]) in each["pinnedBy"]) == pinned]
    return listed(request, "workspaces", found, views.workspace, KEYS)


@route("POST", "/api/v1/workspaces")
def create_workspace(request: Request) -> dict[str, Any]:
    if request.get("agentUserGroup") is not None:
        require_admin(request.me, "workspace agentUserGroup")
    more = {name: value for name, value in request.fields(*WORKSPACE_SETTINGS).items() if value}
    made = request.master.workspaces.create(str(request.get("name") or ""), request.me, **more)
    return {"workspace": request.views.workspace(made), "namespaceBindings": {}}


@route("GET", "/api/v1/workspaces/{key}")
def get_workspace(request: Request, key: int) -> dict[str, Any]:
    found = request.master.workspaces.get(key)
    return {"workspace": request.views.workspace(found)}


@route("PATCH", "/api/v1/workspaces/{key}")
def patch_workspace(request: Request, key: int) -> dict[str, Any]:
    workspaces, changes = request.master.workspaces, request.fields("name", *WORKSPACE_SETTINGS)
    workspace = workspaces.get(key)
    # That a workspace is immutable comes first, for everyone.
    if not workspace["immutable"]:
        if changes.get("name", workspace["name"]) != workspace["name"]:
            require_owner(request.me, "name workspace", workspace["userId"])
        if request.get("agentUserGroup") is not None:
            require_admin(request.me, "workspace agentUserGroup")
        if "checkpointStorageConfig" in changes:
            require_owner(request.me, "set workspace storage", workspace["userId"])
    changed = workspaces.update(key, **changes)
    return {"workspace": request.views.workspace(changed), "namespaceBindings": {}}


@route("DELETE", "/api/v1/workspaces/{key}")
def delete_workspace(request: Request, key: int) -> dict[str, Any]:
    require_owner(request.me, "delete workspace", request.master.workspaces.get(key)["userId"])
    request.master.workspaces.delete(key)
    return {"completed": True}


def _owners(request: Request, key: int) -> tuple[int, int]:
    """Return the owners of a project and of its workspace."""
    project = request.master.workspaces.project(key)
    return project["userId"], request.master.workspaces.get(project["workspaceId"])["userId"]


def _archive(verb: str, archived: bool) -> None:
    """Register the calls that archive or unarchive a workspace or a project."""

    @route("POST", f"/api/v1/workspaces/{{key}}/{verb}")
    def workspace(request: Request, key: int) -> dict[str, Any]:
        require_owner(request.me, f"{verb} workspace", request.master.workspaces.get(key)["userId"])
        request.master.workspaces.update(key, archived=archived)
        return {}

    @route("POST", f"/api/v1/projects/{{key}}/{verb}")
    def project(request: Request, key: int) -> dict[str, Any]:
        require_owner(request.me, f"{verb} project", *_owners(request, key))
        request.master.workspaces.update_project(key, archived=archived)
        return {}


_archive("archive", True)
_archive("unarchive", False)


def _pin(request: Request, key: int, pinned_at: str | None) -> dict[str, Any]:
    workspaces, me = request.master.workspaces, str(request.me["id"])
    pins = {user: moment for user, moment in workspaces.get(key)["pinnedBy"].items() if user != me}
    workspaces.update(key, pinnedBy={**pins, me: pinned_at} if pinned_at else pins)
    return {}


@route("POST", "/api/v1/workspaces/{key}/pin")
def pin_workspace(request: Request, key: int) -> dict[str, Any]:
    return _pin(request, key, now())


@route("POST", "/api/v1/workspaces/{key}/unpin")
def unpin_workspace(request: Request, key: int) -> dict[str, Any]:
    return _pin(request, key, None)


@route("GET", "/api/v1/workspaces/{key}/available-resource-pools")
def workspace_pools(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.get(key)
    shown, pagination = request.page([POOL])
    return {"resourcePools": shown, "pagination": pagination}


@route("GET", "/api/v1/workspaces/{key}/projects")
def list_projects(request: Request, key: int) -> dict[str, Any]:
    views, workspace_id = request.views, key
    if workspace_id:
        request.master.workspaces.get(workspace_id)
    found = _wanted(request, request.master.workspaces.projects(workspace_id or None))
    return listed(request, "projects", found, views.project, KEYS)


@route("POST", "/api/v1/workspaces/{key}/projects")
def create_project(request: Request, key: int) -> dict[str, Any]:
    made = request.master.workspaces.create_project(
        key,
        str(request.get("name") or ""),
        request.me,
        description=str(request.get("description") or ""),
    )
    return {"project": request.views.project(made)}


@route("GET", "/api/v1/projects/{key}")
def get_project(request: Request, key: int) -> dict[str, Any]:
    return {"project": request.views.project(request.master.workspaces.project(key))}


@route("PATCH", "/api/v1/projects/{key}")
def patch_project(request: Request, key: int) -> dict[str, Any]:
    workspaces, changes = request.master.workspaces, request.fields("name", "description")
    project = workspaces.project(key)
    # That a project is immutable comes first, for everyone.
    if not project["immutable"] and any(project[name] != value for name, value in changes.items()):
        # The release doesn't read the project's own owner here, only the workspace's.
        require_owner(request.me, "patch project", _owners(request, key)[1])
    changed = workspaces.update_project(key, **changes)
    return {"project": request.views.project(changed)}


@route("DELETE", "/api/v1/projects/{key}")
def delete_project(request: Request, key: int) -> dict[str, Any]:
    require_owner(request.me, "delete project", *_owners(request, key))
    request.master.workspaces.delete_project(key)
    return {"completed": True}


@route("POST", "/api/v1/projects/{key}/move")
def move_project(request: Request, key: int) -> dict[str, Any]:
    workspaces, target = request.master.workspaces, int(request.need("destinationWorkspaceId"))
    project = workspaces.project(key)
    workspaces.get(target)
    require_owner(request.me, "move project", project["userId"])
    workspaces.move_project(key, target)
    return {}


@route("POST", "/api/v1/projects/{key}/notes")
def add_note(request: Request, key: int) -> dict[str, Any]:
    return _write_notes(request, key, [*request.master.workspaces.project(key)["notes"], request.need("note")])


@route("PUT", "/api/v1/projects/{key}/notes")
def put_notes(request: Request, key: int) -> dict[str, Any]:
    return _write_notes(request, key, request.get("notes") or [])


def _write_notes(request: Request, key: int, sent: list[dict[str, Any]]) -> dict[str, Any]:
    notes = [{"name": note.get("name") or "", "contents": note.get("contents") or ""} for note in sent]
    request.master.store.update("project", key, notes=notes)
    return {"notes": notes}
