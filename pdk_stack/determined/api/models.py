"""The model registry."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, described, labels_of, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import Views
from pdk_stack.determined.api.workspaces import number
from pdk_stack.determined.errors import already_exists, failed_precondition, invalid, not_found
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now


def _find(request: Request, name: str) -> Document:
    """A model by its exact name, or by its id."""
    models = request.master.store.list("model")
    found = next((model for model in models if model["name"] == name), None)
    if found is None and name.isdigit():
        found = next((model for model in models if model["id"] == int(name)), None)
    if found is None:
        raise not_found(f"model '{name}' not found")
    return found


def find_version(request: Request, name: str, key: str) -> tuple[Document, Document]:
    """A model and one of its versions.

    Raises:
        ApiError: There is none.
    """
    model = _find(request, name)
    versions = request.master.store.list("model_version", model["id"])
    found = next((each for each in versions if each["version"] == number(key)), None)
    if found is None:
        raise not_found(f"model version '{key}' of model '{name}' not found")
    return model, found


def _views(request: Request) -> Views:
    return Views(request.master, request.me)


@route("POST", "/api/v1/models")
def create_model(request: Request) -> dict[str, Any]:
    store, name = request.master.store, str(request.get("name") or "")
    if not name.strip():
        raise invalid("model name must not be empty")
    if name.isdigit():
        raise invalid("model name cannot be only numbers")
    if "/" in name or "\\" in name:
        raise invalid("model names cannot contain slashes")
    workspace_id = int(request.get("workspaceId") or 1)
    if request.get("workspaceName"):
        workspace = request.master.workspaces.by_name(request.get("workspaceName"))
        if workspace is None:
            raise not_found(f"workspace '{request.get('workspaceName')}' not found")
        workspace_id = workspace["id"]
    request.master.workspaces.get(workspace_id)
    with store.write():
        if any(model["name"].lower() == name.lower() for model in store.list("model")):
            raise already_exists("avoid names equal to other models (case-insensitive)")
        key = store.next_id("model")
        model = {
            "id": key,
            "name": name,
            "description": request.get("description") or "",
            "metadata": request.get("metadata") or {},
            "labels": request.get("labels") or [],
            "notes": request.get("notes") or "",
            "workspaceId": workspace_id,
            "archived": False,
            "userId": request.me["id"],
            "creationTime": now(),
            "lastUpdatedTime": now(),
            "versions": 0,
        }
        store.put("model", key, model)
    return {"model": _views(request).model(model)}


@route("GET", "/api/v1/models")
def list_models(request: Request) -> dict[str, Any]:
    store, views = request.master.store, _views(request)
    workspace_ids = {int(each) for each in request.all("workspaceIds")}
    workspace_names = {each.lower() for each in request.all("workspaceNames")}
    spaces = {each["id"]: each["name"].lower() for each in request.master.workspaces.all()}
    wanted_id = request.number("id")
    models = [
        model
        for model in described(request, store.list("model"))
        if (not workspace_ids or model["workspaceId"] in workspace_ids)
        and (not workspace_names or spaces.get(model["workspaceId"]) in workspace_names)
        and (not wanted_id or model["id"] == wanted_id)
    ]
    keys: Keys = {
        "SORT_BY_NAME": lambda model: model["name"],
        "SORT_BY_DESCRIPTION": lambda model: model["description"],
        "SORT_BY_CREATION_TIME": lambda model: model["creationTime"],
        "SORT_BY_LAST_UPDATED_TIME": lambda model: model["lastUpdatedTime"],
        "SORT_BY_NUM_VERSIONS": lambda model: store.count("model_version", model["id"]),
    }
    name = request.text("name").lower()
    # An exact match leads, since clients take the first one.
    return listed(request, "models", models, views.model, keys, first=lambda model: model["name"].lower() == name)


@route("GET", "/api/v1/model/labels")
def model_labels(request: Request) -> dict[str, Any]:
    shown, pagination = request.page(labels_of(request.master.store.list("model")))
    return {"labels": shown, "pagination": pagination}


@route("GET", "/api/v1/models/{name}")
def get_model(request: Request, name: str) -> dict[str, Any]:
    return {"model": _views(request).model(_find(request, name))}


@route("PATCH", "/api/v1/models/{name}")
def patch_model(request: Request, name: str) -> dict[str, Any]:
    store, model = request.master.store, _find(request, name)
    _refuse_archived(model)
    fields = ("name", "description", "metadata", "labels", "notes")
    changes = {field: request.get(field) for field in fields if request.get(field) is not None}
    new_name = changes.get("name")
    if new_name and new_name != model["name"]:
        others = [each for each in store.list("model") if each["id"] != model["id"]]
        if any(each["name"].lower() == new_name.lower() for each in others):
            raise already_exists("avoid names equal to other models (case-insensitive)")
    if request.get("workspaceId"):
        changes["workspaceId"] = request.master.workspaces.get(int(request.get("workspaceId")))["id"]
    model = store.update("model", model["id"], **changes, lastUpdatedTime=now())
    return {"model": _views(request).model(model)}


def _refuse_archived(model: Document) -> None:
    if model["archived"]:
        raise failed_precondition(f"model {model['name']} is archived and cannot have attributes updated")


@route("POST", "/api/v1/models/{name}/archive")
def archive_model(request: Request, name: str) -> dict[str, Any]:
    request.master.store.update("model", _find(request, name)["id"], archived=True, lastUpdatedTime=now())
    return {}


@route("POST", "/api/v1/models/{name}/unarchive")
def unarchive_model(request: Request, name: str) -> dict[str, Any]:
    request.master.store.update("model", _find(request, name)["id"], archived=False, lastUpdatedTime=now())
    return {}


@route("POST", "/api/v1/models/{name}/move")
def move_model(request: Request, name: str) -> dict[str, Any]:
    target = request.master.workspaces.get(int(request.need("destinationWorkspaceId")))
    request.master.store.update("model", _find(request, name)["id"], workspaceId=target["id"], lastUpdatedTime=now())
    return {}


@route("DELETE", "/api/v1/models/{name}")
def delete_model(request: Request, name: str) -> dict[str, Any]:
    store, model = request.master.store, _find(request, name)
    with store.write():
        for version in store.list("model_version", model["id"]):
            store.delete("model_version", version["id"])
        store.delete("model", model["id"])
    return {}


@route("GET", "/api/v1/models/{name}/versions")
def list_versions(request: Request, name: str) -> dict[str, Any]:
    views, model = _views(request), _find(request, name)
    versions = request.master.store.list("model_version", model["id"])
    keys: Keys = {"SORT_BY_CREATION_TIME": lambda version: version["creationTime"]}
    reply = listed(
        request,
        "modelVersions",
        versions,
        lambda each: views.model_version(each, model),
        keys,
        lambda version: version["version"],
    )
    return {"model": views.model(model), **reply}


@route("POST", "/api/v1/models/{name}/versions")
def create_version(request: Request, name: str) -> dict[str, Any]:
    store, uuid = request.master.store, str(request.get("checkpointUuid") or "")
    with store.write():
        model = _find(request, name)
        _refuse_archived(model)
        checkpoint = store.get("checkpoint", uuid)
        if checkpoint is None:
            raise not_found(f"checkpoint '{uuid}' not found")
        if checkpoint["state"] != "STATE_COMPLETED":
            raise failed_precondition(
                f"checkpoint {uuid} is in {checkpoint['state']} state. checkpoints for model versions must be in a "
                "COMPLETED state"
            )
        key = store.next_id("model_version")
        # A number is never given out twice, even when its version was deleted.
        model = store.update("model", model["id"], versions=model["versions"] + 1, lastUpdatedTime=now())
        version = {
            "id": key,
            "modelId": model["id"],
            "version": model["versions"],
            "checkpointUuid": uuid,
            "name": request.get("name") or "",
            "comment": request.get("comment") or "",
            "metadata": request.get("metadata") or {},
            "labels": request.get("labels") or [],
            "notes": request.get("notes") or "",
            "userId": request.me["id"],
            "creationTime": now(),
            "lastUpdatedTime": now(),
        }
        store.put("model_version", key, version, parent=model["id"])
    return {"modelVersion": _views(request).model_version(version, model)}


@route("GET", "/api/v1/models/{name}/versions/{key}")
def get_version(request: Request, name: str, key: str) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    return {"modelVersion": _views(request).model_version(version, model)}


@route("PATCH", "/api/v1/models/{name}/versions/{key}")
def patch_version(request: Request, name: str, key: str) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    _refuse_archived(model)
    fields = ("name", "comment", "metadata", "labels", "notes")
    changes = {field: request.get(field) for field in fields if request.get(field) is not None}
    version = request.master.store.update("model_version", version["id"], **changes, lastUpdatedTime=now())
    request.master.store.update("model", model["id"], lastUpdatedTime=now())
    return {"modelVersion": _views(request).model_version(version, model)}


@route("DELETE", "/api/v1/models/{name}/versions/{key}")
def delete_version(request: Request, name: str, key: str) -> dict[str, Any]:
    _, version = find_version(request, name, key)
    request.master.store.delete("model_version", version["id"])
    return {}
