"""Secrets of pipelines: kept here, or on the cluster that a kubeconfig names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import pps_proto

from tests.stack.pachyderm.server import Server
from tests.support.processes import ServiceProcess

Name = Callable[[str], str]


def request(pipeline: str, repo: str, secret: str, key: str = "password") -> pps_proto.CreatePipelineRequest:
    return pps_proto.CreatePipelineRequest(
        pipeline=pps_proto.Pipeline(name=pipeline),
        transform=pps_proto.Transform(
            image="ubuntu",
            cmd=["sh"],
            stdin=['printf %s "$LAB_PASSWORD" > /pfs/out/seen'],
            secrets=[pps_proto.SecretMount(name=secret, key=key, env_var="LAB_PASSWORD")],
        ),
        input=pps_proto.Input(pfs=pps_proto.PFSInput(repo=repo, glob="/")),
    )


def check(client: python_pachyderm.Client, name: Name) -> None:
    secret, repo, pipeline = name("secret"), name("data"), name("reader")
    client.create_repo(repo)
    with pytest.raises(grpc.RpcError, match=f"missing Kubernetes secret {secret}"):
        client.create_pipeline_from_request(request(pipeline, repo, secret))
    client.create_secret(secret, {"password": "s3same"})
    with pytest.raises(grpc.RpcError, match=f"Kubernetes secret {secret} missing key other"):
        client.create_pipeline_from_request(request(pipeline, repo, secret, "other"))
    with pytest.raises(grpc.RpcError, match="already exists"):
        client.create_secret(secret, {"password": "again"})
    assert secret in [each.secret.name for each in client.list_secret()]
    assert client.inspect_secret(secret).secret.name == secret
    client.create_pipeline_from_request(request(pipeline, repo, secret))
    client.put_file_bytes((repo, "master"), "/x", b"1")
    commit_id = next(client.inspect_commit((repo, "master"))).commit.id
    job = next(client.inspect_job(commit_id, pipeline, wait=True))
    assert job.state == pps_pb2.JOB_SUCCESS, job.reason
    assert client.get_file((pipeline, commit_id), "/seen").read() == b"s3same"
    client.delete_pipeline(pipeline)
    client.delete_secret(secret)
    with pytest.raises(grpc.RpcError, match="not found"):
        client.inspect_secret(secret)


def test_secrets_kept_here(client: python_pachyderm.Client, name: Name) -> None:
    check(client, name)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ServiceProcess]:
    tokens = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    service = ServiceProcess("kubernetes", tmp_path / "kubernetes", tokens).start()
    yield service
    service.stop()


@pytest.mark.parametrize("whose", ["kubeconfig", "worker-kubeconfig"])
def test_secrets_on_a_cluster(
    cluster: ServiceProcess, own_server: Callable[..., Server], name: Name, whose: str
) -> None:
    server = own_server(kubeconfig=str(Path(cluster.ready["kubeconfig"]).with_name(whose)))
    check(server.client(), name)


def test_a_cluster_that_does_not_answer_is_said(
    cluster: ServiceProcess, own_server: Callable[..., Server], name: Name
) -> None:
    server = own_server(kubeconfig=cluster.ready["kubeconfig"])
    cluster.stop()
    server.client().create_repo("data")
    with pytest.raises(grpc.RpcError, match="the Kubernetes API does not answer"):
        server.client().create_pipeline_from_request(request("p", "data", "s"))
