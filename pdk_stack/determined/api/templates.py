"""Configuration templates, and the search preview."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.expconf import reader
from pdk_stack.determined.core.masking import mask
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.search.preview import preview
from pdk_stack.determined.errors import already_exists
from pdk_stack.determined.store.documents import Document


def _view(template: Document) -> dict[str, Any]:
    return {"name": template["name"], "config": template["config"], "workspaceId": template["workspaceId"]}


@route("PUT", "/api/v1/templates/{name}")
def put_template(request: Request, name: str) -> dict[str, Any]:
    known = request.master.store.get("template", name)
    workspace_id = int(request.get("workspaceId") or (known or {}).get("workspaceId") or 1)
    request.master.workspaces.get(workspace_id)
    template = {"name": name, "config": request.get("config") or {}, "workspaceId": workspace_id}
    request.master.store.put("template", name, template)
    return {"template": _view(template)}


@route("GET", "/api/v1/templates")
def list_templates(request: Request) -> dict[str, Any]:
    name = request.text("name").lower()
    found = [each for each in request.master.store.list("template") if name in each["name"].lower()]
    return listed(request, "templates", found, _view, {}, lambda each: each["name"])


@route("GET", "/api/v1/templates/{name}")
def get_template(request: Request, name: str) -> dict[str, Any]:
    return {"template": _view(request.master.store.need("template", name))}


@route("POST", "/api/v1/templates/{name}")
def post_template(request: Request, name: str) -> dict[str, Any]:
    if request.master.store.get("template", name) is not None:
        raise already_exists(f"template '{name}' already exists")
    return put_template(request, name)


@route("PATCH", "/api/v1/templates/{name}")
def patch_template(request: Request, name: str) -> dict[str, Any]:
    template = request.master.store.need("template", name)
    # The body is the configuration itself.
    config = request.body.get("config", request.body) if isinstance(request.body, dict) else {}
    template["config"] = config
    request.master.store.put("template", name, template)
    return {"template": _view(template)}


@route("PATCH", "/api/v1/templates/{name}/name")
def rename_template(request: Request, name: str) -> dict[str, Any]:
    template, new_name = request.master.store.need("template", name), str(request.need("newName"))
    if request.master.store.get("template", new_name) is not None:
        raise already_exists(f"template '{new_name}' already exists")
    with request.master.store.write():
        request.master.store.delete("template", name)
        template["name"] = new_name
        request.master.store.put("template", new_name, template)
    return {"template": _view(template)}


@route("DELETE", "/api/v1/templates/{name}")
def delete_template(request: Request, name: str) -> dict[str, Any]:
    request.master.store.need("template", name)
    request.master.store.delete("template", name)
    return {}


@route("POST", "/api/v1/preview-hp-search")
def preview_search(request: Request) -> dict[str, Any]:
    submitted = request.get("config") or {}
    config = reader.complete(submitted, storage=request.master.storage, pool=POOL)
    return {
        "summary": {
            "config": mask(config)["searcher"],
            "trials": preview(config, int(request.get("seed") or 0)),
        }
    }
