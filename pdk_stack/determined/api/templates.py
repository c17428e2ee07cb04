"""Configuration templates, and the search preview."""

from __future__ import annotations

from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.api.listing import listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.expconf.completion import search_of
from pdk_stack.determined.core.expconf.reader import sane
from pdk_stack.determined.core.patterns import like
from pdk_stack.determined.core.search.preview import preview
from pdk_stack.determined.errors import already_exists, invalid, not_found, plain
from pdk_stack.determined.store.documents import Document


def _view(template: Document) -> dict[str, Any]:
    return {"name": template["name"], "config": template["config"], "workspaceId": template["workspaceId"]}


def _workspace_of(request: Request) -> int:
    """Return the workspace that a request names, or the first one.

    Raises:
        Refusal: It doesn't exist, or is archived.
    """
    found = request.master.workspaces.get(int(request.get("workspaceId") or 1))
    if found["archived"]:
        raise not_found(f"workspace '{found['id']}' not found")
    return int(found["id"])


def _add(request: Request, name: str) -> Document:
    if not name:
        raise invalid("name is required")
    template = {"name": name, "config": request.get("config") or {}, "workspaceId": _workspace_of(request)}
    request.master.store.put("template", name, template)
    return template


@route("PUT", "/api/v1/templates/{name}")
def put_template(request: Request, name: str) -> dict[str, Any]:
    store = request.master.store
    if store.get("template", name) is None:
        _add(request, name)
        # A new template is shown as it was sent.
        return {
            "template": {
                "name": name,
                "config": request.get("config"),
                "workspaceId": int(request.get("workspaceId") or 0),
            }
        }
    changes = request.fields("config")
    if request.get("workspaceId"):
        changes["workspaceId"] = _workspace_of(request)
    return {"template": _view(store.update("template", name, **changes))}


@route("GET", "/api/v1/templates")
def list_templates(request: Request) -> dict[str, Any]:
    name, workspaces = f"%{request.text('name')}%", {int(each) for each in request.all("workspaceIds")}
    found = [
        each
        for each in request.master.store.list("template")
        if like(each["name"], name) and (not workspaces or each["workspaceId"] in workspaces)
    ]
    return listed(request, "templates", found, _view, {}, lambda each: each["name"], clipped=True)


@route("GET", "/api/v1/templates/{name}")
def get_template(request: Request, name: str) -> dict[str, Any]:
    return {"template": _view(request.master.store.need("template", name))}


@route("POST", "/api/v1/templates/{name}")
def post_template(request: Request, name: str) -> dict[str, Any]:
    if request.master.store.get("template", name) is not None:
        raise already_exists(f"failed to create template {name}: row already exists")
    return {"template": _view(_add(request, name))}


@route("PATCH", "/api/v1/templates/{name}")
def patch_template(request: Request, name: str) -> dict[str, Any]:
    """Replace a template's configuration; the body is the configuration itself."""
    config = request.body if isinstance(request.body, dict) else {}
    return {"template": _view(request.master.store.update("template", name, config=config))}


@route("PATCH", "/api/v1/template/rename")
def rename_template(request: Request) -> dict[str, Any]:
    store, name, new_name = request.master.store, request.get("oldName") or "", request.get("newName") or ""
    with store.write():
        template = store.need("template", name)
        if new_name != name and store.get("template", new_name) is not None:
            raise already_exists(f"failed to update template name: template '{new_name}' already exists")
        store.delete("template", name)
        template["name"] = new_name
        store.put("template", new_name, template)
    return {"template": _view(template)}


@route("DELETE", "/api/v1/templates/{name}")
def delete_template(request: Request, name: str) -> dict[str, Any]:
    request.master.store.need("template", name)
    request.master.store.delete("template", name)
    return {}


@route("POST", "/api/v1/preview-hp-search")
def preview_search(request: Request) -> dict[str, Any]:
    config = sane(request.get("config"))
    if config.get("searcher") is None:
        raise invalid("invalid experiment configuration; missing searcher")
    try:
        search = search_of(config)
    except Refusal as error:
        raise invalid(error.message) from error
    try:
        trials = preview(search)
    except (ArithmeticError, ValueError) as error:
        raise plain(f"invalid searcher configuration: {error}") from error
    if trials is None:
        raise plain("invalid searcher configuration")
    return {"summary": {"config": search["searcher"], "trials": trials}}
