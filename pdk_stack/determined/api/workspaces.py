"""Workspaces and projects."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import Views
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.errors import invalid
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now

KEYS: Keys = {"SORT_BY_NAME": lambda each: each["name"].lower()}


def number(text: str, name: str = "id") -> int:
    """A number in a path.

    Raises:
        ApiError: It is none.
    """
    if not text.lstrip("-").isdigit():
        raise invalid(f"type mismatch, parameter: {name}, error: {text!r} is not an integer")
    return int(text)


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
    views = Views(request.master, request.me)
    found = _wanted(request, request.master.workspaces.all())
    pinned = request.flag("pinned")
    if pinned is not None:
        found = [each for each in found if (str(request.me["id"]) in each["pinnedBy"]) == pinned]
    return listed(request, "workspaces", found, views.workspace, KEYS)


@route("POST", "/api/v1/workspaces")
def create_workspace(request: Request) -> dict[str, Any]:
    more = {
        key: request.get(key)
        for key in ("checkpointStorageConfig", "defaultComputePool", "defaultAuxPool")
        if request.get(key)
    }
    made = request.master.workspaces.create(str(request.get("name") or ""), request.me, **more)
    return {"workspace": Views(request.master, request.me).workspace(made), "namespaceBindings": {}}


@route("GET", "/api/v1/workspaces/{key}")
def get_workspace(request: Request, key: str) -> dict[str, Any]:
    found = request.master.workspaces.get(number(key))
    return {"workspace": Views(request.master, request.me).workspace(found)}


@route("PATCH", "/api/v1/workspaces/{key}")
def patch_workspace(request: Request, key: str) -> dict[str, Any]:
    fields = ("name", "checkpointStorageConfig", "defaultComputePool", "defaultAuxPool")
    changes = {name: request.get(name) for name in fields if request.get(name) is not None}
    changed = request.master.workspaces.update(number(key), **changes)
    return {"workspace": Views(request.master, request.me).workspace(changed), "namespaceBindings": {}}


@route("DELETE", "/api/v1/workspaces/{key}")
def delete_workspace(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.delete(number(key))
    return {"completed": True}


@route("POST", "/api/v1/workspaces/{key}/archive")
def archive_workspace(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.update(number(key), archived=True)
    return {}


@route("POST", "/api/v1/workspaces/{key}/unarchive")
def unarchive_workspace(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.update(number(key), archived=False)
    return {}


@route("POST", "/api/v1/workspaces/{key}/pin")
def pin_workspace(request: Request, key: str) -> dict[str, Any]:
    workspaces = request.master.workspaces
    pins = {**workspaces.get(number(key))["pinnedBy"], str(request.me["id"]): now()}
    workspaces.update(number(key), pinnedBy=pins)
    return {}


@route("POST", "/api/v1/workspaces/{key}/unpin")
def unpin_workspace(request: Request, key: str) -> dict[str, Any]:
    workspaces = request.master.workspaces
    pins = dict(workspaces.get(number(key))["pinnedBy"])
    pins.pop(str(request.me["id"]), None)
    workspaces.update(number(key), pinnedBy=pins)
    return {}


@route("GET", "/api/v1/workspaces/{key}/available-resource-pools")
def workspace_pools(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.get(number(key))
    shown, pagination = request.page([POOL])
    return {"resourcePools": shown, "pagination": pagination}


@route("GET", "/api/v1/workspaces/{key}/projects")
def list_projects(request: Request, key: str) -> dict[str, Any]:
    views, workspace_id = Views(request.master, request.me), number(key)
    if workspace_id:
        request.master.workspaces.get(workspace_id)
    found = _wanted(request, request.master.workspaces.projects(workspace_id or None))
    return listed(request, "projects", found, views.project, KEYS)


@route("POST", "/api/v1/workspaces/{key}/projects")
def create_project(request: Request, key: str) -> dict[str, Any]:
    made = request.master.workspaces.create_project(
        number(key),
        str(request.get("name") or ""),
        request.me,
        description=str(request.get("description") or ""),
    )
    return {"project": Views(request.master, request.me).project(made)}


@route("GET", "/api/v1/projects/{key}")
def get_project(request: Request, key: str) -> dict[str, Any]:
    return {"project": Views(request.master, request.me).project(request.master.workspaces.project(number(key)))}


@route("PATCH", "/api/v1/projects/{key}")
def patch_project(request: Request, key: str) -> dict[str, Any]:
    changes = {name: request.get(name) for name in ("name", "description") if request.get(name) is not None}
    changed = request.master.workspaces.update_project(number(key), **changes)
    return {"project": Views(request.master, request.me).project(changed)}


@route("DELETE", "/api/v1/projects/{key}")
def delete_project(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.delete_project(number(key))
    return {"completed": True}


@route("POST", "/api/v1/projects/{key}/archive")
def archive_project(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.update_project(number(key), archived=True)
    return {}


@route("POST", "/api/v1/projects/{key}/unarchive")
def unarchive_project(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.update_project(number(key), archived=False)
    return {}


@route("POST", "/api/v1/projects/{key}/move")
def move_project(request: Request, key: str) -> dict[str, Any]:
    request.master.workspaces.move_project(number(key), int(request.need("destinationWorkspaceId")))
    return {}


@route("POST", "/api/v1/projects/{key}/notes")
def add_note(request: Request, key: str) -> dict[str, Any]:
    project = request.master.workspaces.project(number(key))
    note = request.need("note")
    notes = [*project["notes"], {"name": note.get("name") or "", "contents": note.get("contents") or ""}]
    request.master.store.update("project", project["id"], notes=notes)
    return {"notes": notes}


@route("PUT", "/api/v1/projects/{key}/notes")
def put_notes(request: Request, key: str) -> dict[str, Any]:
    project = request.master.workspaces.project(number(key))
    notes = [{"name": n.get("name") or "", "contents": n.get("contents") or ""} for n in request.get("notes") or []]
    request.master.store.update("project", project["id"], notes=notes)
    return {"notes": notes}
