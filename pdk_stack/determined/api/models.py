"""The model registry."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, described, labels_of, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.permissions import require_owner
from pdk_stack.determined.errors import already_exists, failed_precondition, invalid, not_found
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now


def _find(request: Request, name: str) -> Document:
    """Find a model by its exact name or its id."""
    models = request.master.store.list("model")
    found = next((model for model in models if model["name"] == name), None)
    if found is None and name.isdigit():
        found = next((model for model in models if model["id"] == int(name)), None)
    if found is None:
        raise not_found(f"model '{name}' not found")
    return found


def find_version(request: Request, name: str, key: int) -> tuple[Document, Document]:
    """Find a model and one of its versions.

    Raises:
        Refusal: The model or the version doesn't exist.
    """
    model = _find(request, name)
    versions = request.master.store.list("model_version", model["id"])
    found = next((each for each in versions if each["version"] == key), None)
    if found is None:
        raise not_found(f"model version '{key}' of model '{name}' not found")
    return model, found


def _common(request: Request) -> dict[str, Any]:
    """Return the fields that a new model and a new version share."""
    return {
        "metadata": request.get("metadata") or {},
        "labels": request.get("labels") or [],
        "notes": request.get("notes") or "",
        "userId": request.me["id"],
        "creationTime": now(),
        "lastUpdatedTime": now(),
    }


def _refuse_taken(request: Request, name: str, own: int = 0) -> None:
    models = request.master.store.list("model")
    if any(model["name"].lower() == name.lower() and model["id"] != own for model in models):
        raise already_exists("avoid names equal to other models (case-insensitive)")


def _change(request: Request, name: str, **changes: Any) -> Document:
    key = _find(request, name)["id"]
    return request.master.store.update("model", key, **changes, lastUpdatedTime=now())


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
        _refuse_taken(request, name)
        key = store.next_id("model")
        model = {
            "id": key,
            "name": name,
            "description": request.get("description") or "",
            "workspaceId": workspace_id,
            "archived": False,
            **_common(request),
            "versions": 0,
        }
        store.put("model", key, model)
    return {"model": request.views.model(model)}


@route("GET", "/api/v1/models")
def list_models(request: Request) -> dict[str, Any]:
    store, views = request.master.store, request.views
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
    # An exact match comes first, because clients take the first one.
    return listed(request, "models", models, views.model, keys, first=lambda model: model["name"].lower() == name)


@route("GET", "/api/v1/model/labels")
def model_labels(request: Request) -> dict[str, Any]:
    shown, pagination = request.page(labels_of(request.master.store.list("model")))
    return {"labels": shown, "pagination": pagination}


@route("GET", "/api/v1/models/{name}")
def get_model(request: Request, name: str) -> dict[str, Any]:
    return {"model": request.views.model(_find(request, name))}


@route("PATCH", "/api/v1/models/{name}")
def patch_model(request: Request, name: str) -> dict[str, Any]:
    store, model = request.master.store, _find(request, name)
    _refuse_archived(model)
    changes = request.fields("name", "description", "metadata", "labels", "notes")
    new_name = changes.get("name")
    if new_name and new_name != model["name"]:
        _refuse_taken(request, new_name, model["id"])
    if request.get("workspaceId"):
        changes["workspaceId"] = request.master.workspaces.get(int(request.get("workspaceId")))["id"]
    model = store.update("model", model["id"], **changes, lastUpdatedTime=now())
    return {"model": request.views.model(model)}


def _refuse_archived(model: Document) -> None:
    if model["archived"]:
        raise failed_precondition(f"model {model['name']} is archived and cannot have attributes updated")


@route("POST", "/api/v1/models/{name}/archive")
def archive_model(request: Request, name: str) -> dict[str, Any]:
    _change(request, name, archived=True)
    return {}


@route("POST", "/api/v1/models/{name}/unarchive")
def unarchive_model(request: Request, name: str) -> dict[str, Any]:
    _change(request, name, archived=False)
    return {}


@route("POST", "/api/v1/models/{name}/move")
def move_model(request: Request, name: str) -> dict[str, Any]:
    target = request.master.workspaces.get(int(request.need("destinationWorkspaceId")))
    _change(request, name, workspaceId=target["id"])
    return {}


@route("DELETE", "/api/v1/models/{name}")
def delete_model(request: Request, name: str) -> dict[str, Any]:
    store, model = request.master.store, _find(request, name)
    require_owner(request.me, "delete model", model["userId"])
    with store.write():
        for version in store.list("model_version", model["id"]):
            store.delete("model_version", version["id"])
        store.delete("model", model["id"])
    return {}


@route("GET", "/api/v1/models/{name}/versions")
def list_versions(request: Request, name: str) -> dict[str, Any]:
    views, model = request.views, _find(request, name)
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
        checkpoint = store.need("checkpoint", uuid)
        if checkpoint["state"] != "STATE_COMPLETED":
            raise failed_precondition(
                f"checkpoint {uuid} is in {checkpoint['state']} state. checkpoints for model versions must be in a "
                "COMPLETED state"
            )
        key = store.next_id("model_version")
        # Version numbers are never reused, even after a version is deleted.
        model = store.update("model", model["id"], versions=model["versions"] + 1, lastUpdatedTime=now())
        version = {
            "id": key,
            "modelId": model["id"],
            "version": model["versions"],
            "checkpointUuid": uuid,
            "name": request.get("name") or "",
            "comment": request.get("comment") or "",
            **_common(request),
        }
        store.put("model_version", key, version, parent=model["id"])
    return {"modelVersion": request.views.model_version(version, model)}


@route("GET", "/api/v1/models/{name}/versions/{key}")
def get_version(request: Request, name: str, key: int) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    return {"modelVersion": request.views.model_version(version, model)}


@route("PATCH", "/api/v1/models/{name}/versions/{key}")
def patch_version(request: Request, name: str, key: int) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    _refuse_archived(model)
    changes = request.fields("name", "comment", "metadata", "labels", "notes")
    version = request.master.store.update("model_version", version["id"], **changes, lastUpdatedTime=now())
    request.master.store.update("model", model["id"], lastUpdatedTime=now())
    return {"modelVersion": request.views.model_version(version, model)}


@route("DELETE", "/api/v1/models/{name}/versions/{key}")
def delete_version(request: Request, name: str, key: int) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    require_owner(request.me, "delete model version", version["userId"], model["userId"])
    request.master.store.delete("model_version", version["id"])
    return {}
