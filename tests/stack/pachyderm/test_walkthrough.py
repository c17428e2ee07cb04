"""The lab's own way through Pachyderm, with the unmodified client against a real daemon."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable

import grpc
import pytest
import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import pps_proto

from tests.stack.pachyderm.server import Server

Name = Callable[[str], str]


def spec(project: str, pipeline: str, repo: str, script: str, **more: object) -> object:
    content: dict[str, object] = {
        "pipeline": {"name": pipeline, "project": {"name": project}},
        "input": {"pfs": {"repo": repo, "name": "data", "branch": "master", "glob": "/"}},
        "transform": {"image": "python:3.11", "cmd": ["/bin/sh"], "stdin": [script]},
        **more,
    }
    return python_pachyderm.parse_dict_pipeline_spec(content)


def test_two_pipelines_in_a_project_run_on_each_commit(client: python_pachyderm.Client, name: Name) -> None:
    project, data, train, deploy = name("pets"), "data", "train", "deploy"
    client.create_project(project)
    client.create_repo(data, project_name=project)
    script = "cp -r /pfs/data/. /pfs/out/ && printf %s $PACH_JOB_ID > /pfs/out/id && echo job $data_COMMIT"
    client.create_pipeline_from_request(spec(project, train, data, script))
    client.create_pipeline_from_request(spec(project, deploy, train, "cat /pfs/data/id > /pfs/out/seen"))
    with client.modify_file_client({"repo": data, "branch": "master", "project": project}) as modify:
        modify.put_file_from_bytes("/data1/cat.1.jpg", b"cat" * 1000)
        modify.put_file_from_bytes("/data1/dog.1.jpg", b"dog" * 1000)
    head = client.inspect_commit({"repo": data, "branch": "master", "project": project})
    head = next(iter(head))
    commit_id = head.commit.id
    infos = client.wait_commit(commit_id)
    assert infos[-1].commit.id == commit_id
    assert all(not info.error for info in infos)
    for pipeline in (train, deploy):
        job = next(client.inspect_job(commit_id, pipeline, project_name=project, wait=True))
        assert job.state == pps_pb2.JOB_SUCCESS, job.reason
        assert (job.data_total, job.data_processed, job.data_failed) == (1, 1, 0)
        assert job.output_commit.id == commit_id
    seen = client.get_file({"repo": deploy, "id": commit_id, "branch": "master", "project": project}, "/seen")
    assert seen.read().decode() == commit_id
    # The training code reads the input by the job's id, and the archive in one stream.
    with client.get_file_tar({"repo": data, "id": commit_id, "project": project}, "/") as archive:
        assert isinstance(archive, tarfile.TarFile)
        names = [member.name for member in archive]
    assert [each for each in names if each.endswith(".jpg")]
    lines = [line.message for line in client.get_job_logs(train, commit_id, project_name=project)]
    assert f"job {commit_id}" in lines
    sets = list(client.list_job())
    assert any(each.job_set.id == commit_id and len(each.jobs) == 2 for each in sets)


def test_a_commit_of_an_upstream_repo_is_found_by_the_job_id(client: python_pachyderm.Client, name: Name) -> None:
    first, second, pipeline = name("one"), name("two"), name("both")
    for repo in (first, second):
        client.create_repo(repo)
    client.put_file_bytes((first, "master"), "/a", b"first")
    request = pps_proto.CreatePipelineRequest(
        pipeline=pps_proto.Pipeline(name=pipeline),
        transform=pps_proto.Transform(image="ubuntu", cmd=["sh"], stdin=["cp /pfs/*/* /pfs/out"]),
        input=pps_proto.Input(
            cross=[pps_proto.Input(pfs=pps_proto.PFSInput(repo=repo, glob="/")) for repo in (first, second)]
        ),
    )
    client.create_pipeline_from_request(request)
    client.put_file_bytes((second, "master"), "/b", b"second")
    commit_id = next(client.inspect_commit((second, "master"))).commit.id
    client.wait_commit(commit_id)
    assert client.get_file((first, commit_id), "/a").read() == b"first"
    assert [info.file.path for info in client.list_file((pipeline, "master"), "/")] == ["/a", "/b"]


def test_failure_tries_and_reasons(client: python_pachyderm.Client, name: Name) -> None:
    repo, bad, after = name("data"), name("bad"), name("after")
    client.create_repo(repo)
    client.create_pipeline_from_request(spec("default", bad, repo, "echo trying; test ! -e /pfs/data/x", datum_tries=2))
    client.create_pipeline_from_request(spec("default", after, bad, "true"))
    client.put_file_bytes((repo, "master"), "/x", b"1")
    commit_id = next(client.inspect_commit((repo, "master"))).commit.id
    job = next(client.inspect_job(commit_id, bad, wait=True))
    assert job.state == pps_pb2.JOB_FAILURE
    assert job.reason.startswith("datum ") and job.reason.endswith(" failed")
    lines = [line.message for line in client.get_job_logs(bad, commit_id)]
    assert lines.count("trying") == 2
    down = next(client.inspect_job(commit_id, after, wait=True))
    assert down.state == pps_pb2.JOB_UNRUNNABLE
    assert down.reason == "unrunnable because the following upstream pipelines failed: data"
    assert next(client.inspect_commit((bad, commit_id))).error == job.reason


def test_an_unknown_image_is_said_in_the_pipeline_reason(client: python_pachyderm.Client, name: Name) -> None:
    repo, pipeline = name("data"), name("lost")
    client.create_repo(repo)
    request = spec("default", pipeline, repo, "true")
    request.transform.image = "registry:5000/team/nowhere:1.0"
    client.create_pipeline_from_request(request)
    deadline = time.monotonic() + 20
    while (info := next(iter(client.inspect_pipeline(pipeline)))).state != pps_pb2.PIPELINE_CRASHING:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "registry:5000/team/nowhere:1.0" in info.reason and "python" in info.reason
    job = next(client.list_job(pipeline))
    assert job.state == pps_pb2.JOB_CREATED
    client.delete_pipeline(pipeline)
    assert [each.pipeline.name for each in client.list_pipeline()].count(pipeline) == 0


def test_delete_in_order(client: python_pachyderm.Client, name: Name) -> None:
    repo, pipeline = name("data"), name("copy")
    client.create_repo(repo)
    client.create_pipeline_from_request(spec("default", pipeline, repo, "true"))
    with pytest.raises(grpc.RpcError, match="as subvenance, deleting it would break"):
        client.delete_repo(repo)
    with pytest.raises(grpc.RpcError, match="delete the pipeline instead"):
        client.delete_repo(pipeline, force=True)
    client.delete_pipeline(pipeline)
    client.delete_repo(repo)
    left = {each.repo.name for each in client.list_repo(type="")}
    assert not left & {repo, pipeline}


def test_a_killed_daemon_loses_nothing_and_goes_on(own_server: Callable[..., Server], name: Name) -> None:
    server = own_server()
    client = server.client()
    client.create_repo("data")
    script = "echo started; sleep 3; cp /pfs/data/* /pfs/out/"
    client.create_pipeline_from_request(spec("default", "slow", "data", script))
    client.put_file_bytes(("data", "master"), "/x", b"kept")
    commit_id = next(client.inspect_commit(("data", "master"))).commit.id
    for line in client.get_pipeline_logs("slow", follow=True):
        if line.message == "started" and line.job_id == commit_id:
            break
    server.kill()
    server.start()
    client = server.client()
    job = next(client.inspect_job(commit_id, "slow", wait=True))
    assert job.state == pps_pb2.JOB_SUCCESS
    assert job.restart == 1
    assert client.get_file(("slow", commit_id), "/x").read() == b"kept"
    assert list(client.fsck()) == []
    assert server.stop() == 0


def test_tokens(own_server: Callable[..., Server]) -> None:
    server = own_server(token="sesame")
    client = server.client()
    client.create_repo("data")
    assert client.who_am_i().username == "pach:root"
    for wrong, words in ((None, "no authentication token"), ("other", "corrupted or has expired")):
        stranger = python_pachyderm.Client("127.0.0.1", server.ports["grpc"], auth_token=wrong)
        with pytest.raises(grpc.RpcError, match=words) as caught:
            stranger.create_repo("more")
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert stranger.get_remote_version().major == 2


def test_without_tokens_authentication_is_not_activated(client: python_pachyderm.Client) -> None:
    with pytest.raises(grpc.RpcError, match="the auth service is not activated") as caught:
        client.who_am_i()
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    cluster = client.inspect_cluster()
    assert cluster.id and cluster.deployment_id and cluster.version_warnings_ok
    assert client.health_check().status == 1
    client.delete_all_license()


def test_calls_that_are_not_done_are_named(client: python_pachyderm.Client) -> None:
    with pytest.raises(grpc.RpcError, match="/debug_v2.Debug/GetDumpV2Template is not implemented") as caught:
        next(iter(client.dump()))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_large_and_empty_files_come_back(client: python_pachyderm.Client, name: Name) -> None:
    repo = name("big")
    client.create_repo(repo)
    content = bytes(range(256)) * 4096 * 23
    with client.modify_file_client((repo, "master")) as modify:
        modify.put_file_from_fileobj("/big", io.BytesIO(content))
        modify.put_file_from_bytes("/empty", b"")
    assert client.get_file((repo, "master"), "/big").read() == content
    assert client.get_file((repo, "master"), "/big", offset=len(content) - 5).read() == content[-5:]
    assert client.get_file((repo, "master"), "/empty").read() == b""
