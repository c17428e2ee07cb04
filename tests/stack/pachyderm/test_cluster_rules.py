"""Rules of pachd 2.8.10 about the cluster as a whole: versions, small services, and delete_all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from python_pachyderm.proto.v2.admin import admin_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.task import task_pb2
from python_pachyderm.proto.v2.version.versionpb import version_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.rules import call, refusal
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client


@pytest.mark.parametrize(
    ("version", "warning"),
    [
        (None, "did not send its version"),
        ((1, 13, 0, ""), "much older than the server"),
        ((2, 9, 0, ""), "much newer than the server"),
        ((2, 8, 1, "rc.1"), "pre-release version"),
        ((2, 8, 1, ""), ""),
        ((0, 0, 0, ""), ""),
    ],
)
def test_version_warnings(client: Client, version: tuple[int, int, int, str] | None, warning: str) -> None:
    request = admin_pb2.InspectClusterRequest()
    if version:
        major, minor, micro, additional = version
        request.client_version.CopyFrom(
            version_pb2.Version(major=major, minor=minor, micro=micro, additional=additional)
        )
    found = list(client._req(Service.ADMIN, "InspectCluster", req=request).version_warnings)
    assert [warning in each for each in found] == ([True] if warning else [])
    if version:
        request.current_project.name = "no"
        found = list(client._req(Service.ADMIN, "InspectCluster", req=request).version_warnings)
        assert found[-1] == (
            'WARNING: Could not inspect project "no": error getting project "no": project "no" not found'
        )


def test_small_services(client: Client) -> None:
    found = client.get_remote_version()
    assert (found.major, found.minor, found.micro, found.additional) == (2, 8, 10, "")
    assert refusal(lambda: call(client, "ListRepo", type="other"))[0] == "UNKNOWN"
    value = pfs_pb2.PutCacheRequest(key="k", tag="tag-1")
    value.value.Pack(pfs_pb2.Repo(name="cached"))
    client._req(Service.PFS, "PutCache", req=value)
    assert call(client, "GetCache", key="k").value == value.value
    call(client, "ClearCache", tag_prefix="tag")
    assert refusal(lambda: call(client, "GetCache", key="k"))[1] == "sql: no rows in result set"
    group = task_pb2.Group(namespace="storage")
    assert list(client._req(Service.PFS, "ListTask", req=task_pb2.ListTaskRequest(group=group))) == []
    assert (
        refusal(lambda: client._req(Service.PFS, "ListTask", req=task_pb2.ListTaskRequest()))[0] == "INVALID_ARGUMENT"
    )


def test_delete_all_goes_on_without_giving_up_the_token(own_server: Callable[..., Server]) -> None:
    server = own_server(token="secret")
    client = server.client()
    client.create_repo("data")
    client.delete_all()
    assert list(client.list_repo()) == []
    for token in ("", "wrong"):
        assert refusal(lambda t=token: server.client(t).list_repo())[0] == "UNAUTHENTICATED"  # type: ignore[misc]
