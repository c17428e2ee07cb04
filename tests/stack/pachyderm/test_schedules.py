"""Cron inputs and triggers through the unmodified client."""

from __future__ import annotations

import time

import grpc
import pytest
import python_pachyderm

from tests.stack.pachyderm.steps import Client, Name, create, files, pfs, put, wait


def test_cron_inputs_tick(client: Client, name: Name) -> None:
    pipeline = name("clock")
    create(client, pipeline, {"cron": {"name": "tick", "spec": "@every 1s"}}, "ls /pfs/tick > /pfs/out/seen")
    deadline = time.monotonic() + 30
    while len(list(client.list_file((f"{pipeline}_tick", "master"), "/"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client.run_cron(pipeline)
    client.delete_pipeline(pipeline)
    assert f"{pipeline}_tick" not in [each.repo.name for each in client.list_repo()]


def test_triggers(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("sometimes")
    client.create_repo(repo)
    client.create_branch(repo, "master")
    trigger = python_pachyderm.service.pfs_proto.Trigger(branch="master", commits=2)
    client.create_branch(repo, "batch", trigger=trigger)
    create(client, pipeline, pfs(repo, "/", branch="batch"), "cp /pfs/data/* /pfs/out/")
    put(client, repo, a="1")
    put(client, repo, b="2")
    put(client, repo, c="3")
    head = next(client.inspect_commit((repo, "batch")))
    assert [each.file.path for each in client.list_file((repo, "batch"), "/")] == ["/a", "/b"]
    assert head.commit.id != next(client.inspect_commit((repo, "master"))).commit.id


def test_triggers_by_the_clock(client: Client, name: Name) -> None:
    repo = name("data")
    client.create_repo(repo)
    put(client, repo, a="1")
    trigger = python_pachyderm.service.pfs_proto.Trigger(branch="master", cron_spec="@every 1s")
    client.create_branch(repo, "hourly", trigger=trigger)
    deadline = time.monotonic() + 30
    while not list(client.list_file((repo, "hourly"), "/")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert client.inspect_branch(repo, "hourly").head.id == client.inspect_branch(repo, "master").head.id
    with pytest.raises(grpc.RpcError, match="invalid trigger cron spec: "):
        trigger.cron_spec = "now and then"
        client.create_branch(repo, "never", trigger=trigger)


def test_triggers_in_a_pipelines_input(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("seldom")
    client.create_repo(repo)
    # A trigger's branch must exist.
    client.create_branch(repo, "master")
    create(client, pipeline, pfs(repo, "/", trigger={"size": "10B"}), "cp /pfs/data/* /pfs/out/")
    before = len(list(client.list_job(pipeline)))
    put(client, repo, a="12345")
    assert len(list(client.list_job(pipeline))) == before
    put(client, repo, b="67890")
    assert len(list(client.list_job(pipeline))) == before + 1
    job = wait(client, pipeline, next(client.list_job(pipeline)).job.id)
    assert files(client, pipeline, job.job.id) == {"/a": "12345", "/b": "67890"}
    # An update changes the trigger of the branch that came with the pipeline.
    create(client, pipeline, pfs(repo, "/", trigger={"size": "1B"}), "cp /pfs/data/* /pfs/out/", update=True)
    assert client.inspect_branch(repo, f"{pipeline}-trigger-1").trigger.size == "1B"
