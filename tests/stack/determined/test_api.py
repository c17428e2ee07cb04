"""What the master answers without any trial, through the official client."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from determined.common.api import errors

from tests.stack.determined.conftest import EXPERIMENTS, USER_PASSWORD, tiny
from tests.support.processes import ServiceProcess


def test_wrong_password_is_refused(master: ServiceProcess) -> None:
    from determined.common.api import authentication

    for name, password in (("determined", "wrong"), ("nobody", USER_PASSWORD)):
        with pytest.raises(errors.UnauthenticatedException):
            authentication.login(master.ready["determined"], name, password)


@pytest.mark.parametrize("path", ["/api/v1/experiments", "/api/v1/me", "/checkpoints/x", "/nothing"])
def test_calls_need_a_token(master: ServiceProcess, path: str) -> None:
    assert requests.get(master.ready["determined"] + path, timeout=5).status_code == 401
    headers = {"Authorization": "Bearer nonsense"}
    assert requests.get(master.ready["determined"] + path, timeout=5, headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/info", "/health", "/api/v1/master"])
def test_some_calls_need_none(master: ServiceProcess, path: str) -> None:
    assert requests.get(master.ready["determined"] + path, timeout=5).status_code == 200


def test_unknown_call_is_refused_by_name(client: Any) -> None:
    with pytest.raises(errors.APIException, match="GET /api/v1/notebooks/{id}"):
        client._session.get("/api/v1/notebooks/7")


def test_workspaces_and_projects(client: Any) -> None:
    workspace = client.create_workspace("PDK Demos")
    assert client.get_workspace("pdk demos").id == workspace.id
    with pytest.raises(errors.APIException, match="avoid names equal"):
        client.create_workspace("PDK Demos")
    project = workspace.create_project("pdk-dogs-and-cats", description="d")
    assert workspace.get_project("pdk-dogs-and-cats").id == project.id
    assert [each.name for each in workspace.list_projects()] == ["pdk-dogs-and-cats"]
    assert workspace.list_pools()[0] == "default" or workspace.list_pools()
    with pytest.raises(errors.NotFoundException):
        client.get_workspace("nowhere")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workspace": "No", "project": "Such"}, "workspace/project 'No/Such' not found"),
        ({"workspace": "No"}, "must both be included"),
        ({"resources": {"resource_pool": "gpu"}}, "resource pool gpu does not exist"),
        ({"nonsense": 1}, 'additionalProperties "nonsense" not allowed'),
        ({"max_restarts": "many"}, "max_restarts: expected integer or null, but got string"),
        ({"searcher": {"name": "single"}}, "searcher: metric is a required property"),
        ({"searcher": {"name": "asha", "metric": "x"}}, "one of 'single'"),
        ({"entrypoint": None}, "managed experiments require entrypoint"),
    ],
)
def test_wrong_configurations_are_refused(client: Any, changes: dict[str, Any], message: str) -> None:
    before = len(client.list_experiments())
    with pytest.raises(errors.APIException, match=message):
        client.create_experiment(tiny(**changes), str(EXPERIMENTS / "tiny"))
    assert len(client.list_experiments()) == before


def test_pool_is_described(client: Any) -> None:
    pools = client._session.get("/api/v1/resource-pools").json()["resourcePools"]
    assert [(pool["name"], pool["slotType"], pool["slotsAvailable"]) for pool in pools] == [("default", "TYPE_CPU", 2)]
