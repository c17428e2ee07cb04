"""Workspaces and projects."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import WORKSPACE_SETTINGS
from pdk_stack.determined.core.master import POOL
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
    more = {name: value for name, value in request.fields(*WORKSPACE_SETTINGS).items() if value}
    made = request.master.workspaces.create(str(request.get("name") or ""), request.me, **more)
    return {"workspace": request.views.workspace(made), "namespaceBindings": {}}


@route("GET", "/api/v1/workspaces/{key}")
def get_workspace(request: Request, key: int) -> dict[str, Any]:
    found = request.master.workspaces.get(key)
    return {"workspace": request.views.workspace(found)}


@route("PATCH", "/api/v1/workspaces/{key}")
def patch_workspace(request: Request, key: int) -> dict[str, Any]:
    changed = request.master.workspaces.update(key, **request.fields("name", *WORKSPACE_SETTINGS))
    return {"workspace": request.views.workspace(changed), "namespaceBindings": {}}


@route("DELETE", "/api/v1/workspaces/{key}")
def delete_workspace(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.delete(key)
    return {"completed": True}


def _archive(verb: str, archived: bool) -> None:
    """Register the calls that archive or unarchive a workspace or a project."""

    @route("POST", f"/api/v1/workspaces/{{key}}/{verb}")
    def workspace(request: Request, key: int) -> dict[str, Any]:
        request.master.workspaces.update(key, archived=archived)
        return {}

    @route("POST", f"/api/v1/projects/{{key}}/{verb}")
    def project(request: Request, key: int) -> dict[str, Any]:
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
    changed = request.master.workspaces.update_project(key, **request.fields("name", "description"))
    return {"project": request.views.project(changed)}


@route("DELETE", "/api/v1/projects/{key}")
def delete_project(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.delete_project(key)
    return {"completed": True}


@route("POST", "/api/v1/projects/{key}/move")
def move_project(request: Request, key: int) -> dict[str, Any]:
    request.master.workspaces.move_project(key, int(request.need("destinationWorkspaceId")))
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
