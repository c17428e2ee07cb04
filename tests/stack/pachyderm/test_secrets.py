"""Secrets of pipelines: kept here, or on the cluster that a kubeconfig names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock

import grpc
import pytest
import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import pps_proto

from pdk_stack.pachyderm.core.pps.secrets import Secret
from pdk_stack.pachyderm.core.pps.worker import Worker
from pdk_stack.pachyderm.errors import Fault
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


@pytest.mark.parametrize("key", ["/tmp/key", "../key", "..", ".", "a b", ""])
def test_a_key_that_is_no_file_name_is_refused(client: python_pachyderm.Client, name: Name, key: str) -> None:
    secret = name("secret")
    with pytest.raises(grpc.RpcError, match="a valid config key must consist of"):
        client.create_secret(secret, {key: "1"})
    with pytest.raises(grpc.RpcError, match="not found"):
        client.inspect_secret(secret)


def test_a_stored_key_that_is_no_file_name_is_not_written(tmp_path: Path) -> None:
    secret = Secret("s", "Opaque", 0, {str(tmp_path / "key"): b"1"})
    setting = MagicMock(**{"context.secrets.find.return_value": secret})
    transform = pps_pb2.Transform(secrets=[pps_pb2.SecretMount(name="s", mount_path="/secret")])
    setting.pipeline.details = pps_pb2.PipelineInfo.Details(transform=transform)
    worker = Worker(setting, None, 0, tmp_path / "work", threading.Event())
    with pytest.raises(Fault, match="invalid key"):
        worker._secret_mounts()
    assert not (tmp_path / "key").exists()


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
