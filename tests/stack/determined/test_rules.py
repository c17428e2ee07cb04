"""What the master says to requests about users, workspaces, projects, models, templates and the cluster itself.

Each line is a rule of the release's source; the steps of one table build on each other. A text of the reply that is
quoted is part of its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.api.routing import clipped_bounds, strict_bounds
from pdk_stack.determined.core.accounts import client_hash
from tests.stack.determined.conftest import Ask, as_admin, new_master

#: A step: method and path, body, status, and a part of the reply: its text, or the fields of its first object.
Step = tuple[str, Any, int, Any]

GROUP = {"agentUid": 1, "agentGid": 2, "agentUser": "u", "agentGroup": "g"}
USERS: list[Step] = [
    ("POST users", {}, 400, "must specify user to create"),
    ("POST users", {"user": {"username": " x "}}, 400, "value has minimum length."),
    ("POST users", {"user": {"username": "us\u00e9r"}}, 400, "cannot contain non-ASCII characters."),
    ("POST users", {"user": {"username": "ADMIN"}}, 400, "Non-admin user cannot be renamed 'admin'"),
    ("POST users", {"user": {"username": "Determined"}}, 400, "User cannot be renamed 'determined'"),
    (
        "POST users",
        {"user": {"username": "rr", "remote": True}, "password": "x"},
        400,
        "cannot set password",
    ),
    ("POST users", {"user": {"username": " ann "}}, 200, {"username": "ann", "active": False, "agentUserGroup": None}),
    ("POST users", {"user": {"username": "ann"}}, 409, "user already exists"),
    ("POST users", {"user": {"username": "Ann", "displayName": "Zed"}}, 200, {"username": "Ann"}),
    ("GET users/{ann}", None, 200, {"username": "ann"}),
    ("GET users/999", None, 404, "user not found"),
    ("GET users/ANN/by-username", None, 404, "user not found"),
    ("PATCH users/{ann}", {"displayName": "zED"}, 400, "found a similar username or display name"),
    ("PATCH users/{ann}", {"displayName": "Ann"}, 400, "can not change display name to Ann"),
    ("PATCH users/{ann}", {"username": "Ann"}, 409, "already exists"),
    ("PATCH users/{ann}", {"agentUserGroup": {"agentUid": 1}}, 400, "cannot be empty"),
    ("PATCH users/{ann}", {"agentUserGroup": GROUP}, 200, {"agentUserGroup": GROUP}),
    ("PATCH users/{ann}", {"agentUserGroup": GROUP}, 200, {"agentUserGroup": GROUP}),
    ("PATCH users/{ann}", {"agentUserGroup": {}}, 200, {"agentUserGroup": None}),
    ("PATCH users/{ann}", {"remote": True, "username": "bob"}, 400, "Cannot set username for remote users"),
    ("PATCH users/{ann}", {"remote": True, "password": "b"}, 400, "Cannot set password for remote users"),
    ("PATCH users", {"userIds": ["{ann}", 999], "activate": True}, 200, [{"error": "", "id": "{ann}"}]),
    ("GET users/{ann}", None, 200, {"active": True}),
    ("POST auth/login", {"password": "x"}, 400, "missing argument: username"),
    ("POST auth/login", {"username": "ann", "password": ""}, 200, "token"),
    ("POST auth/login", {"username": "ANN"}, 401, "invalid credentials"),
    ("POST users/{ann}/password", "Pass-1", 200, {"username": "ann"}),
    ("POST auth/login", {"username": "ann", "password": "Pass-1"}, 200, "token"),
    ("POST auth/login", {"username": "ann", "password": client_hash("Pass-1"), "isHashed": True}, 200, "token"),
    ("PATCH users/{ann}", {"active": False}, 200, {"active": False}),
    ("POST auth/login", {"username": "ann", "password": "Pass-1"}, 403, "user is not active"),
    ("POST users/setting", {"settings": [{"value": "1"}, {"key": "a", "value": "2"}]}, 200, ""),
    ("POST users/setting", {"settings": [{"key": "a"}]}, 200, ""),
    ("GET users/setting", None, 200, [{"storagePath": "", "key": "", "value": "1"}]),
    ("POST users/activity", {"entityType": "ENTITY_TYPE_PROJECT", "entityId": 1}, 200, ""),
    ("GET user/projects/activity?limit=5", None, 200, [{"name": "Uncategorized"}]),
    ("GET user/projects/activity?limit=501", None, 400, "limit is required and must be <= 500"),
]

WORKSPACES: list[Step] = [
    ("POST workspaces", {"name": "  "}, 400, "name must contain at least non-whitespace letter"),
    ("POST workspaces", {"name": "\u00e9" * 41}, 400, "must be at most 53 character long"),
    ("POST workspaces", {"name": "w", "checkpointStorageConfig": {"type": "tape"}}, 400, "unexpected type: tape"),
    ("POST workspaces", {"name": "w", "defaultComputePool": "any"}, 200, {"pinned": True, "defaultComputePool": "any"}),
    ("POST workspaces", {"name": "W"}, 200, {"name": "W"}),
    ("POST workspaces", {"name": "w"}, 409, "avoid names equal to other workspaces (case-insensitive)"),
    ("PATCH workspaces/{w}", {"name": "W"}, 409, "avoid names equal to other workspaces (case-insensitive)"),
    ("PATCH workspaces/{w}", {"defaultComputeResourcePool": "any"}, 400, "unable to bind a resource pool"),
    ("PATCH workspaces/{w}", {"defaultComputeResourcePool": ""}, 200, {"defaultComputePool": ""}),
    ("PATCH workspaces/1", {"name": "x"}, 400, "workspace (1) is immutable and cannot add new projects"),
    ("POST workspaces/{w}/pin", {}, 400, "error pinning workspace"),
    ("POST workspaces/{w}/unpin", {}, 200, ""),
    ("GET workspaces?pinned=false&name=w", None, 200, [{"name": "w"}]),
    ("POST workspaces/{w}/unpin", {}, 400, "error un-pinning workspace"),
    ("GET workspaces?sortBy=SORT_BY_NAME&name=w", None, 200, [{"name": "W"}, {"name": "w"}]),
    ("GET workspaces?name=_", None, 200, [{"name": "w"}, {"name": "W"}]),
    ("GET workspaces?name=w&offset=3", None, 400, "offset out of bounds"),
    ("GET workspaces?name=w&limit=-1", None, 400, "limit out of bounds"),
    ("POST workspaces/1/projects", {"name": "p"}, 400, "is immutable and cannot add new projects"),
    ("POST workspaces/{w}/projects", {"name": "p", "key": "TOOLONG"}, 400, "cannot be longer than 5 characters"),
    ("POST workspaces/{w}/projects", {"name": "p", "key": "a-b"}, 400, "only contain alphanumeric characters: A-B"),
    ("POST workspaces/{w}/projects", {"name": "p", "key": "ab1"}, 200, {"key": "AB1", "workspaceName": ""}),
    ("POST workspaces/{w}/projects", {"name": "q", "key": "AB1"}, 409, "project key AB1 is already in use"),
    ("POST workspaces/{w}/projects", {"name": "p"}, 409, "project name p is already in use"),
    ("POST workspaces/{w}/projects", {"name": "P"}, 200, {"name": "P"}),
    ("POST workspaces/{w}/projects", {"name": ""}, 400, "must be 1 to 80 characters long"),
    ("GET projects/key/ab1", None, 200, {"name": "p", "workspaceName": "w"}),
    ("GET projects/key/none", None, 404, "project 'none' not found"),
    ("POST projects/{p}/notes", {"name": "n", "contents": "c"}, 200, [{"name": "n", "contents": "c"}]),
    ("PATCH projects/{p}", {"name": "P"}, 409, "error updating project P"),
    ("PATCH projects/{p}", {"key": "x!"}, 400, "only contain alphanumeric characters: X!"),
    ("POST projects/{p}/move", {"destinationWorkspaceId": 1}, 400, "workspace (1) is immutable"),
    ("POST projects/1/move", {"destinationWorkspaceId": "{w}"}, 400, "error moving project (1): not found"),
    ("POST projects/1/archive", {}, 400, "error archiving project (1): not found"),
    ("DELETE projects/1", None, 400, "project (1) does not exist or not deletable by this user"),
    ("POST projects/{p}/archive", {}, 200, ""),
    ("POST projects/{p}/archive", {}, 200, ""),
    ("PATCH projects/{p}", {"name": "x"}, 400, "is archived and cannot have attributes updated"),
    ("POST projects/{p}/move", {"destinationWorkspaceId": "{W}"}, 400, "error moving project"),
    ("GET workspaces/{w}/projects?archived=true", None, 200, [{"name": "p"}]),
    ("POST workspaces/{w}/archive", {}, 200, ""),
    ("GET projects/{P}", None, 200, {"archived": True}),
    ("POST projects/{p}/unarchive", {}, 400, "This project belongs to an archived workspace."),
    ("POST workspaces/{w}/projects", {"name": "r"}, 400, "is archived and cannot add new projects"),
    ("PUT templates/t", {"config": {}, "workspaceId": "{w}"}, 404, "not found"),
    ("DELETE workspaces/1", None, 400, "does not exist or not deletable by this user"),
    ("DELETE workspaces/{w}", None, 200, '"completed":false'),
    ("DELETE workspaces/{W}", None, 200, '"completed":true'),
]

MODELS: list[Step] = [
    ("POST models", {"name": " "}, 400, "model names cannot be blank"),
    ("POST models", {"name": "a  b"}, 400, "model names cannot have excessive spacing"),
    ("POST models", {"name": "a\\b"}, 400, "model names cannot have slashes"),
    ("POST models", {"name": "12"}, 400, "model names cannot be only numbers"),
    ("POST models", {"name": "m", "workspaceName": "none"}, 404, "failed to get workspace none"),
    ("POST models", {"name": "m", "labels": ["x"]}, 200, {"name": "m", "workspaceId": 1, "labels": ["x"]}),
    ("POST models", {"name": "M", "labels": ["y"]}, 200, {"name": "M"}),
    ("POST models", {"name": "m"}, 409, "avoid names equal to other models (case-sensitive)"),
    ("GET models?labels=x&labels=y", None, 200, [{"name": "m"}, {"name": "M"}]),
    ("GET models/none", None, 404, 'model \\"none\\" not found'),
    ("GET models/999", None, 404, 'model \\"999\\" not found'),
    ("GET models/m/versions/9", None, 404, 'version 9 for model \\"m\\" not found'),
    ("PATCH models/m", {"name": ""}, 400, "model names cannot be blank"),
    ("PATCH models/m", {"labels": ["a", "a", "b"]}, 200, {"labels": ["a", "b"]}),
    ("POST workspaces", {"name": "for models"}, 200, {"name": "for models"}),
    ("PATCH models/m", {"workspaceName": "none"}, 404, "failed to get workspace none"),
    ("PATCH models/m", {"workspaceId": 1}, 400, "failed to get workspace with id 1: expected 2 arguments, got 1"),
    ("PATCH models/m", {"workspaceName": "for models"}, 200, {"name": "m"}),
    ("GET models?workspaceNames=for%20models", None, 200, [{"name": "m"}]),
    ("DELETE workspaces/{for models}", None, 400, "contains models; move or delete models first"),
    ("POST models/m/archive", {}, 200, ""),
    ("PATCH models/m", {"notes": "n"}, 400, "is archived and cannot have attributes updated"),
    ("POST models/m/versions", {"checkpointUuid": "x"}, 400, "is archived and cannot register new versions"),
    ("GET models?archived=false", None, 200, [{"name": "M"}]),
    ("DELETE models/m", None, 200, ""),
    ("DELETE models/M", None, 200, ""),
]

TOKENS: list[Step] = [
    ("POST tokens", {"userId": 1, "lifespan": "soon"}, 400, "failed to parse lifespan soon: time: invalid duration"),
    ("POST tokens", {"userId": 1, "lifespan": "-1h"}, 400, "with a positive value"),
    ("POST tokens", {"userId": 1, "lifespan": "721h"}, 400, "token Lifespan must be less than max token lifespan"),
    ("POST tokens", {"userId": 999}, 404, "user not found"),
    ("POST tokens", {"userId": 1, "lifespan": "-1", "description": "d"}, 200, '"tokenId":1'),
    ("GET tokens", None, 200, [{"id": 1, "userId": 1, "description": "d", "revoked": False}]),
    ("GET tokens?username=determined", None, 200, '"tokenInfo":[]'),
    ("PATCH tokens/9", {}, 404, "Token with id: {9} not found"),
    ("PATCH tokens/1", {"description": "e"}, 200, {"description": "e", "revoked": False}),
    ("PATCH tokens/1", {"setRevoked": True}, 200, {"revoked": True}),
    ("GET tokens", None, 200, '"tokenInfo":[]'),
    ("GET tokens?showInactive=true", None, 200, [{"id": 1, "revoked": True}]),
    ("POST groups", {"name": "g", "addUsers": [1]}, 200, {"groupId": 1, "name": "g"}),
    ("POST groups", {"name": "g"}, 409, "Error creating group g: row already exists"),
    ("POST groups", {"name": "xDeterminedPersonalGroup"}, 400, "group name cannot contain"),
    ("POST groups/search", {}, 400, "limit is required and must be <= 500"),
    ("POST groups/search", {"name": "g", "limit": 9}, 200, '"numMembers":1'),
    ("PUT groups/1", {"name": "h", "addUsers": [2], "removeUsers": [1]}, 200, {"name": "h"}),
    ("PUT groups/1", {"addUsers": [999]}, 404, "not found"),
    ("PATCH users/assignments", {"userIds": [1], "addGroups": [9]}, 404, "group does not exist or is a personal group"),
    ("PATCH users/assignments", {"userIds": [1], "addGroups": [1]}, 200, ""),
    ("POST groups/search", {"userId": 1, "limit": 9}, 200, '"numMembers":2'),
    ("GET groups/9", None, 404, "Error getting group 9: not found"),
    ("DELETE groups/9", None, 404, "Error deleting group 9: not found"),
    ("DELETE groups/1", None, 200, ""),
]

CLUSTER: list[Step] = [
    ("GET master/config", None, 200, '"resource_pools"'),
    ("PATCH master/config", {"config": {"log": {"level": "LOG_LEVEL_INFO"}}, "fieldMask": "log.level"}, 200, ""),
    ("PATCH master/config", {"config": {}, "fieldMask": "log.color"}, 400, "unsupported or invalid field: log.color"),
    ("PUT master/cluster_message", {"message": "x" * 251}, 400, "must be at most 250 characters; got 251"),
    ("PUT master/cluster_message", {"message": "m", "duration": "1 day"}, 400, "Go-formatted duration string"),
    ("PUT master/cluster_message", {"message": "m", "duration": "1h"}, 400, "end time must be after current time"),
    ("PUT master/cluster_message", {"message": "m", "startTime": "2999-01-01T00:00:00Z"}, 200, ""),
    ("GET master/cluster_message", None, 200, {"message": "m", "startTime": "2999-01-01T00:00:00.000000Z"}),
    ("PUT master/cluster_message", {"message": "m"}, 200, ""),
    ("GET master", None, 200, '"clusterMessage"'),
    ("DELETE master/cluster_message", None, 200, ""),
    ("GET master/cluster_message", None, 200, '"clusterMessage":null'),
    ("GET agents?limit=-1", None, 400, "limit out of bounds"),
    ("GET agents/none", None, 200, '"agent":null'),
    ("POST agents/none/enable", {}, 404, "agent 'none' not found"),
    ("GET resource-pools/none/workspace-bindings", None, 400, "pool with name none doesn't exist"),
    ("POST resource-pools/default/workspace-bindings", {}, 400, "cannot be bound to any workspace"),
    ("POST templates/t", {"name": "t", "config": {"max_restarts": 1}}, 200, {"name": "t", "workspaceId": 1}),
    ("POST templates/t", {"name": "t"}, 409, "failed to create template t"),
    ("PUT templates/u", {"name": "u"}, 200, {"config": None, "workspaceId": 0}),
    ("GET templates/u", None, 200, {"config": {}, "workspaceId": 1}),
    ("PATCH templates/t", {"description": "d"}, 200, {"config": {"description": "d"}}),
    ("PATCH template/rename", {"oldName": "t", "newName": "u"}, 409, "already exists"),
    ("PATCH template/rename", {"oldName": "t", "newName": "v"}, 200, {"name": "v"}),
    ("GET templates?limit=-2", None, 200, '"templates":[]'),
    ("GET templates?offset=9", None, 200, '"templates":[]'),
    ("DELETE templates/t", None, 404, "template 't' not found"),
]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Ask a new master as its administrator."""
    process = new_master(tmp_path_factory.mktemp("rules")).start()
    yield as_admin(process)
    process.stop()


TABLES = {"users": USERS, "tokens": TOKENS, "workspaces": WORKSPACES, "models": MODELS, "cluster": CLUSTER}


@pytest.mark.parametrize("table", TABLES)
def test_the_master_answers_by_its_rules(ask: Ask, table: str) -> None:
    ids: dict[str, Any] = {}
    for call, body, status, expected in TABLES[table]:
        method, _, path = call.partition(" ")
        found, reply = ask(method, path.format(**ids), _filled(body, ids))
        assert found == status, (call, body, reply)
        first: Any = next(iter(reply.values()), None) if isinstance(reply, dict) else None
        if method == "POST" and status == 200 and isinstance(first, dict) and "id" in first:
            ids[str(first.get("name") or first.get("username"))] = first["id"]
        if isinstance(expected, str):
            assert expected in json.dumps(reply, separators=(",", ":"), ensure_ascii=False), (call, reply)
        elif isinstance(expected, dict):
            assert {**first, **_filled(expected, ids)} == first, (call, reply)
        else:
            kept = [{name: each[name] for name in wanted} for each, wanted in zip(first, expected, strict=False)]
            assert kept == _filled(expected, ids), (call, reply)


def _filled(value: Any, ids: dict[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        return ids[value[1:-1]]
    if isinstance(value, list):
        return [_filled(each, ids) for each in value]
    return {name: _filled(each, ids) for name, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    ("bounds", "total", "offset", "limit", "expected"),
    [
        (strict_bounds, 5, 0, 0, (0, 5)),
        (strict_bounds, 5, -2, 0, (3, 5)),
        (strict_bounds, 5, 5, 1, (5, 5)),
        (strict_bounds, 5, 6, 0, None),
        (strict_bounds, 5, -6, 0, None),
        (strict_bounds, 5, 0, -1, None),
        (clipped_bounds, 500, 0, 0, (0, 100)),
        (clipped_bounds, 5, -2, 1, (3, 4)),
        (clipped_bounds, 5, -9, 1, (5, 5)),
        (clipped_bounds, 5, 9, 1, (5, 5)),
        (clipped_bounds, 500, 1, -1, (1, 500)),
        (clipped_bounds, 5, 1, -2, (1, 1)),
    ],
)
def test_where_a_page_starts_and_ends(
    bounds: Callable[..., tuple[int, int]], total: int, offset: int, limit: int, expected: tuple[int, int] | None
) -> None:
    if expected is None:
        with pytest.raises(Refusal):
            bounds(total, offset, limit)
    else:
        assert bounds(total, offset, limit) == expected
