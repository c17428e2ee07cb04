"""Who may do what with the objects of others: the rules and the words of the master's basic authorization."""

from __future__ import annotations

from typing import Any

import pytest
from determined.common.api import authentication, bindings, errors

from tests.stack.determined.conftest import ADMIN_PASSWORD, connect
from tests.support.processes import ServiceProcess

UUID = "0f8d7e9a-0000-4000-8000-00000000000a"
GROUP = {"agentUid": 1, "agentGid": 1, "agentUser": "a", "agentGroup": "a"}
STORAGE = {"checkpointStorageConfig": {"type": "directory", "container_path": "/tmp"}}
UPDATE = "only admin privileged users can update users"
PROJECT = "can't {}: non admin users need to own the project or workspace"
MOVE = "can't move projects that someone else owns"
MODEL = "non-admin users may not delete other users' {} access denied"
PASSWORD = "only admin privileged users can change other user's passwords"
AGENT_GROUP = "only admin privileged users can set workspace agent user groups"
WORKSPACE = "only admins may {} other user's workspaces"

#: What a user who owns nothing may not do: method, path, body, and the refusal. ``{names}`` stand for ids.
REFUSED: list[tuple[str, str, Any, str]] = [
    ("get", "master/config", None, "user does not have permission"),
    ("post", "agents/embedded-agent/disable", {}, "code = PermissionDenied desc = user does not have permission"),
    ("post", "agents/nobody/slots/0/enable", {}, "code = PermissionDenied desc = user does not have permission"),
    ("post", "users", {"user": {"username": "mallory"}}, "only admin privileged users can create users"),
    ("patch", "users/{stranger}", {"active": False}, UPDATE),
    ("patch", "users/{stranger}", {"admin": True}, UPDATE),
    ("patch", "users/{stranger}", {"agentUserGroup": GROUP}, UPDATE),
    ("patch", "users/{stranger}", {"remote": True}, "only admin privileged users can update other users"),
    ("patch", "users/{owner}", {"username": "stolen"}, "only admin privileged users can update other users"),
    ("patch", "users/{owner}", {"displayName": "x"}, "only admin privileged users can set another user's display name"),
    ("patch", "users/{owner}", {"password": "Xy-pass-1"}, PASSWORD),
    ("post", "users/{owner}/password", "Xy-pass-1", PASSWORD),
    ("post", "workspaces", {"name": "w", "agentUserGroup": GROUP}, AGENT_GROUP),
    ("patch", "workspaces/{workspace}", {"agentUserGroup": GROUP}, AGENT_GROUP),
    ("patch", "workspaces/{workspace}", {"name": "mine"}, "only admins may set other user's workspaces names"),
    ("patch", "workspaces/{workspace}", STORAGE, WORKSPACE.format("set checkpoint storage config on")),
    ("post", "workspaces/{workspace}/archive", {}, WORKSPACE.format("archive")),
    ("post", "workspaces/{workspace}/unarchive", {}, WORKSPACE.format("unarchive")),
    ("delete", "workspaces/{workspace}", None, WORKSPACE.format("delete")),
    ("patch", "projects/{project}", {"name": "mine"}, PROJECT.format("set project name")),
    ("patch", "projects/{project}", {"description": "mine"}, PROJECT.format("set project name")),
    ("post", "projects/{project}/archive", {}, PROJECT.format("archive project")),
    ("post", "projects/{project}/unarchive", {}, PROJECT.format("unarchive project")),
    ("post", "projects/{project}/move", {"destinationWorkspaceId": "{elsewhere}"}, MOVE),
    ("delete", "projects/{project}", None, PROJECT.format("delete project")),
    # Owning a project isn't enough to change its name.
    ("patch", "projects/{guest}", {"name": "mine"}, PROJECT.format("set project name")),
    ("delete", "models/owned/versions/1", None, MODEL.format("model versions")),
    ("delete", "models/owned", None, MODEL.format("models")),
    ("delete", "experiments/{experiment}", None, "non admin users may not delete other user's experiments"),
]

#: What everyone may do with everyone's objects, in this order.
ALLOWED: list[tuple[str, str, Any]] = [
    ("get", "master/logs?limit=1", None),
    ("get", "users/{owner}", None),
    ("patch", "users/{owner}", {"displayName": ""}),
    ("patch", "users/{stranger}", {"displayName": "{nick}"}),
    ("patch", "workspaces/{workspace}", {"name": "owned"}),
    ("patch", "workspaces/{workspace}", {"defaultComputePool": "default"}),
    ("post", "workspaces/{workspace}/pin", {}),
    ("post", "workspaces/{workspace}/unpin", {}),
    ("patch", "projects/{project}", {"name": "owned"}),
    ("post", "projects/{project}/notes", {"name": "n", "contents": "c"}),
    ("put", "projects/{project}/notes", {"notes": []}),
    ("post", "projects/{guest}/archive", {}),
    ("post", "projects/{guest}/unarchive", {}),
    ("post", "projects/{guest}/move", {"destinationWorkspaceId": "{elsewhere}"}),
    ("delete", "projects/{guest}", None),
    ("patch", "models/owned", {"description": "d"}),
    ("post", "models/owned/archive", {}),
    ("post", "models/owned/unarchive", {}),
    ("post", "models/owned/move", {"destinationWorkspaceId": 1}),
    ("patch", "models/owned/versions/1", {"comment": "c"}),
    ("post", "checkpoints/{uuid}/metadata", {"checkpoint": {"metadata": {"a": 1}}}),
    ("put", "templates/owned", {"config": {"max_restarts": 2}}),
    ("delete", "templates/owned", None),
    ("patch", "experiments/{experiment}", {"notes": "n"}),
    ("put", "experiments/{experiment}/labels/good", None),
    ("post", "experiments/{experiment}/activate", {}),
    ("post", "experiments/{experiment}/pause", {}),
    ("post", "trials/{trial}/kill", {}),
    ("post", "experiments/{experiment}/kill", {}),
    ("post", "experiments/{experiment}/archive", {}),
    ("post", "experiments/{experiment}/unarchive", {}),
    ("post", "experiments/{experiment}/move", {"destinationProjectId": "{project}"}),
    ("delete", "experiments/{experiment}/tensorboard-files", None),
]

#: What only owners, and administrators, may do in the end.
OWNERS = [
    ("delete", "models/owned/versions/1"),
    ("delete", "models/owned"),
    ("delete", "experiments/{experiment}"),
    ("delete", "projects/{project}"),
    ("delete", "workspaces/{workspace}"),
    ("delete", "workspaces/{elsewhere}"),
]


def call(session: Any, names: dict[str, Any], method: str, path: str, body: Any = None) -> None:
    """Make a call with the client's session."""
    if isinstance(body, dict):
        ids = {f"{{{name}}}": found for name, found in names.items()}
        body = {key: ids.get(value, value) if isinstance(value, str) else value for key, value in body.items()}
    more = {} if method in ("get", "delete") else {"json": body}
    getattr(session, method)(f"/api/v1/{path.format(**names)}", **more)


@pytest.mark.parametrize("deleter", ["owner", "admin"])
def test_the_objects_of_others(master: ServiceProcess, deleter: str) -> None:
    from determined.experimental import Determined

    address, client = master.ready["determined"], connect(master)
    admin, owner = Determined(address, "admin", ADMIN_PASSWORD), client._session
    user = admin.create_user(f"stranger-of-{deleter}", admin=False, password="Str-pass-1")
    stranger = authentication.login(address, user.username, "Str-pass-1")
    names = {"owner": client.whoami().user_id, "stranger": user.user_id, "uuid": f"{UUID[:-1]}{len(deleter)}"}
    names["nick"] = f"Nick of {user.username}"
    _create(client, owner, stranger, names)
    for method, path, body, words in REFUSED:
        with pytest.raises(errors.ForbiddenException) as refused:
            call(stranger, names, method, path, body)
        assert words in str(refused.value), (method, path)
    for method, path, body in ALLOWED:
        call(stranger, names, method, path, body)
    for method, path in OWNERS:
        call(owner if deleter == "owner" else admin._session, names, method, path)
    user.deactivate()


def _create(client: Any, owner: Any, stranger: Any, names: dict[str, Any]) -> None:
    """Create one object of each kind for the owner, and the stranger's project in the owner's workspace."""
    workspace = client.create_workspace("owned")
    elsewhere = client.create_workspace("elsewhere")
    names.update(workspace=workspace.id, project=workspace.create_project("owned").id, elsewhere=elsewhere.id)
    made = stranger.post(f"/api/v1/workspaces/{workspace.id}/projects", json={"name": "guest"})
    names["guest"] = made.json()["project"]["id"]
    # More slots than there are: the trial exists and never starts.
    resources = "{slots_per_trial: 99}"
    config = f"{{name: owned, entrypoint: 'true', searcher: {{name: single, metric: loss}}, resources: {resources}}}"
    request = bindings.v1CreateExperimentRequest(config=config)
    experiment = bindings.post_CreateExperiment(owner, body=request).experiment
    (trial,) = bindings.get_GetExperimentTrials(owner, experimentId=experiment.id).trials
    names.update(experiment=experiment.id, trial=trial.id)
    reported = {"uuid": names["uuid"], "taskId": trial.taskId, "metadata": {"steps_completed": 5}, "resources": {}}
    owner.post("/api/v1/checkpoints", json=reported)
    client.create_model("owned").register_version(names["uuid"])
    owner.put("/api/v1/templates/owned", json={"config": {"max_restarts": 1}})
