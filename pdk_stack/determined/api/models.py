"""The model registry."""

from __future__ import annotations

import json
from typing import Any

from pdk_stack.determined.api.listing import Keys, described, labels_of, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.permissions import require_owner
from pdk_stack.determined.errors import already_exists, invalid, not_found, plain
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now

#: What the master's queries leave out of the reply to a change (``update_model.sql``, ``update_model_version.sql``).
UNSET_MODEL = {"id": 0, "userId": 0, "username": "", "workspaceId": 0, "numVersions": 0, "archived": False}
UNSET_VERSION = {"lastUpdatedTime": None, "userId": 0, "username": ""}
UNSET_MODEL_OF_VERSION = {"userId": 0, "workspaceId": 0}
CHANGEABLE = ("name", "description", "metadata", "labels", "notes")
CHANGEABLE_VERSION = ("name", "comment", "metadata", "labels", "notes")


def _find(request: Request, name: str) -> Document:
    """Find a model by its exact name, or by its id if the name is a number."""
    by_id = name.isascii() and name.isdigit()
    models = request.master.store.list("model")
    found = next((each for each in models if (each["id"] == int(name) if by_id else each["name"] == name)), None)
    if found is None:
        raise not_found(f"model {_quoted(name)} not found")
    return found


def _quoted(name: str) -> str:
    """Quote a name as the master's language does."""
    return json.dumps(name, ensure_ascii=False)


def find_version(request: Request, name: str, key: int) -> tuple[Document, Document]:
    """Find a model and one of its versions.

    Raises:
        Refusal: The model or the version doesn't exist.
    """
    model = _find(request, name)
    versions = request.master.store.list("model_version", model["id"])
    found = next((each for each in versions if each["version"] == key), None)
    if found is None:
        raise not_found(f"version {key} for model {_quoted(name)} not found")
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


def _check_name(name: str) -> None:
    if not name.replace(" ", ""):
        raise invalid("model names cannot be blank")
    if "  " in name:
        raise invalid("model names cannot have excessive spacing")
    if "/" in name or "\\" in name:
        raise invalid("model names cannot have slashes")
    if name.isascii() and name.isdigit():
        raise invalid("model names cannot be only numbers")


def _refuse_taken(request: Request, name: str, own: int = 0) -> None:
    models = request.master.store.list("model")
    if any(model["name"] == name and model["id"] != own for model in models):
        raise already_exists("avoid names equal to other models (case-sensitive)")


def _workspace(request: Request) -> int | None:
    """Return the workspace that a request names by id or name; None when it names none.

    Raises:
        Refusal: It doesn't exist.
    """
    key, name = request.get("workspaceId"), request.get("workspaceName")
    if key is not None:
        return int(request.master.workspaces.get(int(key))["id"])
    if name is None:
        return None
    found = request.master.workspaces.by_name(name)
    if found is None:
        raise not_found(f"failed to get workspace {name}: not found")
    return int(found["id"])


@route("POST", "/api/v1/models")
def create_model(request: Request) -> dict[str, Any]:
    store, name = request.master.store, request.get("name") or ""
    _check_name(name)
    workspace_id = _workspace(request) or 1
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
        }
        store.put("model", key, model)
    return {"model": {**request.views.model(model), "userId": 0}}


@route("GET", "/api/v1/models")
def list_models(request: Request) -> dict[str, Any]:
    store, views = request.master.store, request.views
    workspace_ids = {int(each) for each in request.all("workspaceIds")}
    spaces = {each["id"]: each["name"] for each in request.master.workspaces.all()}
    names = set(request.all("workspaceNames"))
    if not workspace_ids and names:
        # Names without a workspace leave no filter, as in the master.
        workspace_ids = {key for key, name in spaces.items() if name in names}
    wanted_id = request.number("id")
    models = [
        model
        for model in described(request, store.list("model"), any_label=True)
        if (not workspace_ids or model["workspaceId"] in workspace_ids) and (not wanted_id or model["id"] == wanted_id)
    ]
    keys: Keys = {
        "SORT_BY_NAME": lambda model: model["name"],
        "SORT_BY_DESCRIPTION": lambda model: model["description"],
        "SORT_BY_CREATION_TIME": lambda model: model["creationTime"],
        "SORT_BY_LAST_UPDATED_TIME": lambda model: model["lastUpdatedTime"],
        "SORT_BY_NUM_VERSIONS": lambda model: store.count("model_version", model["id"]),
        "SORT_BY_WORKSPACE": lambda model: spaces.get(model["workspaceId"]),
    }
    return listed(request, "models", models, views.model, keys)


@route("GET", "/api/v1/model/labels")
def model_labels(request: Request) -> dict[str, Any]:
    models, workspace_id = request.master.store.list("model"), request.number("workspaceId")
    return {"labels": labels_of(each for each in models if workspace_id <= 0 or each["workspaceId"] == workspace_id)}


@route("GET", "/api/v1/models/{name}")
def get_model(request: Request, name: str) -> dict[str, Any]:
    return {"model": request.views.model(_find(request, name))}


@route("PATCH", "/api/v1/models/{name}")
def patch_model(request: Request, name: str) -> dict[str, Any]:
    store = request.master.store
    with store.write():
        model = _find(request, name)
        if model["archived"]:
            raise plain(f"model {_quoted(model['name'])} is archived and cannot have attributes updated")
        changes = _changes(request, model, CHANGEABLE)
        if "name" in changes:
            _check_name(changes["name"])
            _refuse_taken(request, changes["name"], model["id"])
        if request.get("workspaceId") is not None:
            # The master's own query lacks an argument here; moving and the workspace's name work.
            raise plain(f"failed to get workspace with id {request.get('workspaceId')}: expected 2 arguments, got 1")
        workspace_id = _workspace(request)
        if workspace_id not in (None, model["workspaceId"]):
            changes["workspaceId"] = workspace_id
        if not changes:
            return {"model": request.views.model(model)}
        model = store.update("model", model["id"], **changes, lastUpdatedTime=now())
    return {"model": {**request.views.model(model), **UNSET_MODEL}}


def _changes(request: Request, document: Document, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields that a request changes; a label counts once, and only if it is text."""
    sent = request.fields(*names)
    if "labels" in sent:
        sent["labels"] = list(dict.fromkeys(each for each in sent["labels"] if isinstance(each, str)))
    return {name: value for name, value in sent.items() if value != document[name]}


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
    model = _find(request, name)
    target = request.master.workspaces.get(int(request.get("destinationWorkspaceId") or 0))
    request.master.store.update("model", model["id"], workspaceId=target["id"])
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
    keys: Keys = {
        "SORT_BY_CREATION_TIME": lambda version: version["creationTime"],
        "SORT_BY_NAME": lambda version: version["name"],
        "SORT_BY_COMMENT": lambda version: version["comment"],
    }
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
        if model["archived"]:
            raise plain(f"model {_quoted(model['name'])} is archived and cannot register new versions")
        checkpoint = store.need("checkpoint", uuid)
        if checkpoint["state"] != "STATE_COMPLETED":
            raise plain(
                f"checkpoint {uuid} is in {checkpoint['state']} state. checkpoints for model versions must be in a "
                "COMPLETED state"
            )
        key, known = store.next_id("model_version"), store.list("model_version", model["id"])
        model = store.update("model", model["id"], lastUpdatedTime=now())
        version = {
            "id": key,
            "modelId": model["id"],
            "version": 1 + max((each["version"] for each in known), default=0),
            "checkpointUuid": uuid,
            "name": request.get("name") or "",
            "comment": request.get("comment") or "",
            **_common(request),
        }
        store.put("model_version", key, version, parent=model["id"])
    shown = request.views.model_version(version, model)
    unset = {**UNSET_MODEL_OF_VERSION, "numVersions": len(known)}
    return {
        "modelVersion": {**shown, "lastUpdatedTime": None, "userId": 0, "model": {**shown["model"], **unset}},
    }


@route("GET", "/api/v1/models/{name}/versions/{key}")
def get_version(request: Request, name: str, key: int) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    return {"modelVersion": request.views.model_version(version, model)}


@route("PATCH", "/api/v1/models/{name}/versions/{key}")
def patch_version(request: Request, name: str, key: int) -> dict[str, Any]:
    store = request.master.store
    with store.write():
        model, version = find_version(request, name, key)
        changes = _changes(request, version, CHANGEABLE_VERSION)
        if not changes:
            return {"modelVersion": request.views.model_version(version, model)}
        version = store.update("model_version", version["id"], **changes, lastUpdatedTime=now())
        model = store.update("model", model["id"], lastUpdatedTime=now())
    shown = request.views.model_version(version, model)
    return {"modelVersion": {**shown, **UNSET_VERSION, "model": {**shown["model"], **UNSET_MODEL_OF_VERSION}}}


@route("DELETE", "/api/v1/models/{name}/versions/{key}")
def delete_version(request: Request, name: str, key: int) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    require_owner(request.me, "delete model version", version["userId"], model["userId"])
    request.master.store.delete("model_version", version["id"])
    return {}
