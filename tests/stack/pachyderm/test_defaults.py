"""Defaults for pipeline specs, of the cluster and of projects; as pachctl and newer clients call them."""

from __future__ import annotations

import json
from collections.abc import Callable

import grpc
import pytest

from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from pdk_stack.pachyderm.api.grpc.later_releases import CALLS
from pdk_stack.pachyderm.core.pps.defaults import NEW_CLUSTER
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, put, wait

SPEC = {
    "pipeline": {"name": "p"},
    "input": {"pfs": {"repo": "data", "glob": "/"}},
    "transform": {"cmd": ["sh"], "stdin": ["echo $FLAG > /pfs/out/flag"]},
}


@pytest.fixture
def server(own_server: Callable[..., Server]) -> Server:
    found = own_server()
    found.client().create_repo("data")
    return found


def call(server: Server, name: str, **fields: object) -> object:
    request, response = CALLS["pps_v2.API"][name]
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        method = channel.unary_unary(
            f"/pps_v2.API/{name}", MESSAGES[request].SerializeToString, MESSAGES[response].FromString
        )
        return method(MESSAGES[request](**fields), timeout=30)


def defaults(**request: object) -> str:
    return json.dumps({"createPipelineRequest": request})


def flag(client: Client, pipeline: str) -> str:
    job = next(client.list_job(pipeline)).job.id
    wait(client, pipeline, job)
    return str(client.get_file((pipeline, job), "/flag").read().decode().strip())


def test_specs_are_merged_into_the_defaults(server: Server) -> None:
    client = server.client()
    put(client, "data", a="1")
    # A new cluster asks for resources.
    first = json.loads(call(server, "GetClusterDefaults").cluster_defaults_json)  # type: ignore[attr-defined]
    requests = {"cpu": 1, "memory": "256Mi", "disk": "1Gi"}
    assert first == {"createPipelineRequest": dict.fromkeys(("resourceRequests", "sidecarResourceRequests"), requests)}
    text = defaults(transform={"env": {"FLAG": "cluster"}}, datum_tries=5)
    call(server, "SetClusterDefaults", cluster_defaults_json=text)
    # Kept word for word, across a restart.
    server.stop()
    client = server.start().client()
    assert call(server, "GetClusterDefaults").cluster_defaults_json == text  # type: ignore[attr-defined]
    answer = call(server, "CreatePipelineV2", create_pipeline_request_json=json.dumps(SPEC))
    effective = json.loads(answer.effective_create_pipeline_request_json)  # type: ignore[attr-defined]
    assert effective["datumTries"] == "5" and effective["transform"]["image"] == "ubuntu:20.04"
    assert flag(client, "p") == "cluster"
    # The project's come before the cluster's, the spec's own before both; null takes a default back.
    call(server, "SetProjectDefaults", project_defaults_json=defaults(transform={"env": {"FLAG": "project"}}))
    own = {**SPEC, "pipeline": {"name": "q"}, "datumTries": None}
    answer = call(server, "CreatePipelineV2", create_pipeline_request_json=json.dumps(own))
    assert "datumTries" not in json.loads(answer.effective_create_pipeline_request_json)  # type: ignore[attr-defined]
    assert flag(client, "q") == "project"
    (info,) = client.inspect_pipeline("q", details=True)
    assert json.loads(info.details_json) == own and info.details.datum_tries == 3


def test_changed_defaults_update_the_pipelines_that_they_change(server: Server) -> None:
    client = server.client()
    put(client, "data", a="1")
    call(server, "SetClusterDefaults", cluster_defaults_json="{}")
    fixed = {**SPEC, "pipeline": {"name": "fixed"}}
    fixed["transform"] = {**SPEC["transform"], "env": {"FLAG": "own"}}  # type: ignore[dict-item]
    for spec in (SPEC, fixed):
        call(server, "CreatePipelineV2", create_pipeline_request_json=json.dumps(spec))
    text = defaults(transform={"env": {"FLAG": "new"}})
    tried = call(server, "SetClusterDefaults", cluster_defaults_json=text, regenerate=True, dry_run=True)
    assert [each.name for each in tried.affected_pipelines] == ["p"]  # type: ignore[attr-defined]
    assert call(server, "GetClusterDefaults").cluster_defaults_json == "{}"  # type: ignore[attr-defined]
    done = call(server, "SetClusterDefaults", cluster_defaults_json=text, regenerate=True, reprocess=True)
    assert [each.name for each in done.affected_pipelines] == ["p"]  # type: ignore[attr-defined]
    assert flag(client, "p") == "new"
    assert [each.version for each in client.list_pipeline() if each.pipeline.name == "fixed"] == [1]


def test_defaults_that_cannot_be_read_are_refused(server: Server) -> None:
    for text, words in (
        ("{", "invalid cluster defaults JSON"),
        ('{"other": {}}', "invalid cluster defaults JSON"),
        (defaults(nonsense=1), "invalid cluster defaults JSON"),
        (defaults(datum_tries="many"), "could not merge cluster defaults .* into built-in defaults"),
        (defaults(reprocess_spec="never"), "could not merge cluster defaults .* into built-in defaults"),
    ):
        with pytest.raises(grpc.RpcError, match=words) as caught:
            call(server, "SetClusterDefaults", cluster_defaults_json=text)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError, match=r"could not merge project defaults \[\] into cluster defaults"):
        call(server, "SetProjectDefaults", project_defaults_json="[]")
    with pytest.raises(grpc.RpcError, match='project "no" not found'):
        call(server, "GetProjectDefaults", project={"name": "no"})
    assert call(server, "GetClusterDefaults").cluster_defaults_json == NEW_CLUSTER  # type: ignore[attr-defined]
