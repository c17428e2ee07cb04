"""Pipelines and datums beyond the walkthrough, through the unmodified client."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from python_pachyderm.proto.v2.pps import pps_pb2

from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, Name, create, files, log_line, pfs, put, wait


def test_an_update_keeps_what_is_unchanged_unless_it_reprocesses(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("copy")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "cp /pfs/data/* /pfs/out/")
    wait(client, pipeline, put(client, repo, a="1", b="2"))
    for reprocess, expected in ((False, (0, 2)), (True, (2, 0))):
        create(client, pipeline, pfs(repo), "cp /pfs/data/* /pfs/out/", update=True, reprocess=reprocess)
        job = next(client.list_job(pipeline))
        job = wait(client, pipeline, job.job.id)
        assert job.state == pps_pb2.JOB_SUCCESS
        assert (job.data_processed, job.data_skipped) == expected
    info = next(iter(client.inspect_pipeline(pipeline, details=True)))
    assert info.version == 3
    assert [each.version for each in client.inspect_pipeline(pipeline, history=-1)] == [3, 2, 1]


def test_a_failed_job_leaves_the_data_of_the_last_good_one(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("picky")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "grep -q good /pfs/data/* && cp /pfs/data/* /pfs/out/", datum_tries=1)
    put(client, repo, a="good")
    bad = put(client, repo, b="bad")
    assert wait(client, pipeline, bad).state == pps_pb2.JOB_FAILURE
    again = put(client, repo, b="good too")
    job = wait(client, pipeline, again)
    assert job.state == pps_pb2.JOB_SUCCESS
    assert (job.data_processed, job.data_skipped) == (1, 1)
    assert files(client, pipeline, again) == {"/a": "good", "/b": "good too"}


def test_accepted_codes_time_limits_and_missing_programs(client: Client, name: Name) -> None:
    repo = name("data")
    client.create_repo(repo)
    accepts, slow, lost, late = name("accepts"), name("slow"), name("lost"), name("late")
    create(client, accepts, pfs(repo), "exit 7", transform={"accept_return_code": [7]})
    create(client, slow, pfs(repo), "sleep 60", datum_tries=1, datum_timeout="1s")
    create(client, lost, pfs(repo), "", datum_tries=1, transform={"cmd": ["no-such-program"]})
    create(client, late, pfs(repo), "sleep 60", datum_tries=1, job_timeout="1s")
    commit = put(client, repo, x="1")
    assert wait(client, accepts, commit).state == pps_pb2.JOB_SUCCESS
    assert wait(client, slow, commit).state == pps_pb2.JOB_FAILURE
    assert any("timed out after 1s" in line.message for line in client.get_job_logs(slow, commit))
    assert wait(client, lost, commit).state == pps_pb2.JOB_FAILURE
    assert any("no-such-program" in line.message for line in client.get_job_logs(lost, commit))
    killed = wait(client, late, commit)
    assert (killed.state, killed.reason) == (pps_pb2.JOB_KILLED, " jobtimed out")


def test_output_names_that_pachyderm_refuses(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("naming")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "echo x > '/pfs/out/cat (1).jpg'", datum_tries=1)
    commit = put(client, repo, a="1")
    assert wait(client, pipeline, commit).state == pps_pb2.JOB_FAILURE
    lines = [line.message for line in client.get_job_logs(pipeline, commit)]
    assert any("path (/cat (1).jpg) invalid: globbing character (() not allowed in path" in each for each in lines)


def test_several_workers_at_once(client: Client, name: Name, tmp_path: Path) -> None:
    repo, pipeline = name("data"), name("many")
    client.create_repo(repo)
    create(
        client,
        pipeline,
        pfs(repo),
        # Each waits for the other three: one after another they would never end.
        f"touch {tmp_path}/$$; until test $(ls {tmp_path} | wc -l) = 4; do sleep 0.05; done; cp /pfs/data/* /pfs/out/",
        parallelism_spec={"constant": 4},
        job_timeout="60s",
    )
    commit = put(client, repo, a="1", b="2", c="3", d="4")
    job = wait(client, pipeline, commit)
    assert job.state == pps_pb2.JOB_SUCCESS and job.data_processed == 4
    workers = {line.worker_id for line in client.get_job_logs(pipeline, commit)}
    assert len(workers) == 4


def test_links_in_the_output_are_resolved(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("linker")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo, "/"), "ln -s /pfs/data/a /pfs/out/one; ln -s /pfs/data /pfs/out/all")
    commit = put(client, repo, a="1", b="2")
    assert wait(client, pipeline, commit).state == pps_pb2.JOB_SUCCESS
    assert files(client, pipeline, commit) == {"/all/a": "1", "/all/b": "2", "/one": "1"}


def test_a_relative_link_in_the_output_fails_its_datum(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("linker")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo, "/"), "cd /pfs/out; touch one; ln -s one two", datum_tries=1)
    commit = put(client, repo, a="1")
    assert wait(client, pipeline, commit).state == pps_pb2.JOB_FAILURE
    lines = [line.message for line in client.get_job_logs(pipeline, commit)]
    assert any("relative link in output: /two -> one" in each for each in lines)


def test_stop_and_start(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("pausing")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "sleep 30")
    commit = put(client, repo, a="1")
    for line in client.get_job_logs(pipeline, commit, follow=True):
        if "beginning to run user code" in line.message:
            break
    client.stop_pipeline(pipeline)
    job = wait(client, pipeline, commit)
    assert job.state == pps_pb2.JOB_KILLED and "stopped" in job.reason
    info = next(iter(client.inspect_pipeline(pipeline)))
    assert info.stopped and info.state == pps_pb2.PIPELINE_PAUSED
    before = len(list(client.list_job(pipeline)))
    put(client, repo, b="1")
    assert len(list(client.list_job(pipeline))) == before
    # An update does not start it.
    create(client, pipeline, pfs(repo), "sleep 30", update=True)
    (info,) = client.inspect_pipeline(pipeline)
    assert (info.version, info.stopped, info.state) == (2, True, pps_pb2.PIPELINE_PAUSED)
    assert len(list(client.list_job(pipeline, history=-1))) == before
    client.start_pipeline(pipeline)
    job = next(client.list_job(pipeline))
    client.stop_job(job.job.id, pipeline)
    ended = wait(client, pipeline, job.job.id)
    assert (ended.state, ended.reason) == (pps_pb2.JOB_KILLED, "job stopped")


def test_a_job_that_waits_for_its_predecessor_can_be_stopped(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("queue")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "sleep 600")
    running = put(client, repo, a="1")
    log_line(client, pipeline, running, "beginning to run user code")
    waiting = put(client, repo, b="1")
    client.stop_job(waiting, pipeline)
    assert wait(client, pipeline, waiting).state == pps_pb2.JOB_KILLED
    assert next(client.inspect_job(running, pipeline)).state == pps_pb2.JOB_RUNNING
    client.stop_job(running, pipeline)
    assert list(client.fsck()) == []


def test_standby_while_there_is_nothing_to_do(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("sleeper")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "sleep 2", autoscaling=True)
    commit = put(client, repo, a="1")
    seen = set()
    while next(client.inspect_job(commit, pipeline)).state not in (pps_pb2.JOB_SUCCESS,):
        seen.add(next(iter(client.inspect_pipeline(pipeline))).state)
        time.sleep(0.1)
    assert pps_pb2.PIPELINE_RUNNING in seen
    deadline = time.monotonic() + 10
    while next(iter(client.inspect_pipeline(pipeline))).state != pps_pb2.PIPELINE_STANDBY:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_secrets_as_files(client: Client, name: Name) -> None:
    repo, pipeline, secret = name("data"), name("mounted"), name("secret")
    client.create_repo(repo)
    client.create_secret(secret, {"password": "s3same"})
    create(
        client,
        pipeline,
        pfs(repo),
        "cp /var/run/lab/deep/password /pfs/out/seen",
        transform={"secrets": [{"name": secret, "mount_path": "/var/run/lab/deep"}]},
    )
    commit = put(client, repo, a="1")
    assert wait(client, pipeline, commit).state == pps_pb2.JOB_SUCCESS
    assert files(client, pipeline, commit) == {"/seen": "s3same"}
    assert not Path("/var/run/lab").exists()


@pytest.mark.parametrize("namespace", [True, False], ids=["namespace", "variable"])
def test_where_user_code_finds_its_data(
    own_server: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespace: bool
) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "code.sh").write_text(
        'root=${PDK_PFS_ROOT:-/pfs}; cat $data/x > $root/out/seen; echo "$PWD $LAB_FLAG" > $root/out/env\n'
    )
    images, environment = tmp_path / "images.json", tmp_path / "env.json"
    images.write_text(f'{{"pdk-lab-train": {{"workdir": "{tmp_path}/image", "path": ["/usr/bin"]}}}}')
    environment.write_text('{"LAB_FLAG": "up"}')
    if not namespace:
        monkeypatch.setenv("PDK_NO_MOUNT_NAMESPACE", "1")
    server = own_server(images_file=str(images), worker_env_file=str(environment))
    client = server.client()
    client.create_repo("data")
    create(
        client,
        "train",
        pfs("data", "/"),
        "",
        transform={"image": "registry.local:5000/lab/pdk-lab-train:0.1", "cmd": ["sh", "code.sh"]},
    )
    commit = put(client, "data", x="1")
    assert wait(client, "train", commit).state == pps_pb2.JOB_SUCCESS
    assert files(client, "train", commit) == {"/env": f"{tmp_path}/image up\n", "/seen": "1"}
    assert os.listdir(server.state / "work") == []


def test_refused_specs(client: Client, name: Name) -> None:
    repo = name("data")
    client.create_repo(repo)
    for source, more, words in (
        (pfs("no-such-repo"), {}, "repo default/no-such-repo not found"),
        (pfs(repo, ""), {}, "input must specify a glob"),
        ({"pfs": {"repo": repo, "name": "out", "glob": "/"}}, {}, "input cannot be named out"),
        ({"cross": [pfs(repo), pfs(repo)]}, {}, 'name "data" was used more than once'),
        (pfs(repo), {"pod_patch": "{"}, "invalid effective spec .*: malformed PodPatch"),
        (pfs(repo), {"determined": {"workspaces": ["w"]}}, "create det pipeline side effects: .*not activated"),
        (pfs(repo), {"reprocess_spec": "never"}, 'ReprocessSpec must be one of .*"until_success.* or .*"every_job'),
        (pfs(repo), {"named": "a b"}, "only alphanumeric characters, underscores, and dashes"),
        (pfs(repo), {"named": repo}, "same name already exists"),
    ):
        with pytest.raises(grpc.RpcError, match=words):
            create(client, more.pop("named", name("bad")), source, "true", **more)
    assert name("bad") not in [each.pipeline.name for each in client.list_pipeline()]
