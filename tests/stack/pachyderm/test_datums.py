"""Which datums an input gives, which are skipped, and what is recorded of them."""

from __future__ import annotations

import json
import re

import grpc
import pytest
import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.platforms import mldm
from tests.stack.pachyderm.steps import Client, Name, create, files, pfs, put, wait


def test_recovered_datums(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("careful")
    client.create_repo(repo)
    create(
        client,
        pipeline,
        pfs(repo),
        "touch /pfs/out/partial; test ! -e /pfs/data/bad",
        datum_tries=1,
        transform={"err_cmd": ["true"]},
    )
    commit = put(client, repo, bad="x", fine="y")
    job = wait(client, pipeline, commit)
    assert job.state == pps_pb2.JOB_SUCCESS
    assert (job.data_processed, job.data_recovered, job.data_failed) == (1, 1, 0)


def test_inputs_join_group_union(client: Client, name: Name) -> None:
    left, right = name("left"), name("right")
    joined, grouped, either = name("joined"), name("grouped"), name("either")
    for repo in (left, right):
        client.create_repo(repo)
    with client.modify_file_client((left, "master")) as modify:
        for path in ("1-a", "2-a", "3-b"):
            modify.put_file_from_bytes(f"/{path}", f"l{path} ".encode())
    put(client, right, **{"a-x": "rax ", "c-y": "rcy "})
    create(
        client,
        joined,
        {
            "join": [
                {"pfs": {"repo": left, "name": "l", "glob": "/*-(*)", "join_on": "$1"}},
                {"pfs": {"repo": right, "name": "r", "glob": "/(*)-*", "join_on": "$1"}},
            ]
        },
        "cat /pfs/l/* /pfs/r/* > /pfs/out/$(basename $l)-$PACH_DATUM_l_JOIN_ON",
    )
    create(
        client,
        grouped,
        {"group": [{"pfs": {"repo": left, "name": "l", "glob": "/*-(*)", "group_by": "$1"}}]},
        "cat /pfs/l/* > /pfs/out/$PACH_DATUM_l_GROUP_BY",
    )
    create(
        client,
        either,
        {
            "union": [
                {"pfs": {"repo": left, "name": "data", "glob": "/*"}},
                {"pfs": {"repo": right, "name": "data", "glob": "/*"}},
            ]
        },
        "cp /pfs/data/* /pfs/out/",
    )
    found = {}
    for pipeline in (joined, grouped, either):
        job = next(client.list_job(pipeline)).job.id
        assert wait(client, pipeline, job).state == pps_pb2.JOB_SUCCESS
        found[pipeline] = files(client, pipeline, job)
    assert found[joined] == {"/1-a-a": "l1-a rax ", "/2-a-a": "l2-a rax "}
    assert found[grouped] == {"/a": "l1-a l2-a ", "/b": "l3-b "}
    assert sorted(found[either]) == ["/1-a", "/2-a", "/3-b", "/a-x", "/c-y"]


def test_two_datums_that_write_one_path(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("clash")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "echo x > /pfs/out/same")
    commit = put(client, repo, a="1", b="2")
    job = wait(client, pipeline, commit)
    assert job.state == pps_pb2.JOB_FAILURE
    assert job.reason.startswith("duplicate path output by different datums (/same from ")


def test_a_pure_rename_is_no_change_for_a_whole_folder(client: Client, name: Name) -> None:
    """A directory's hash is made of its files' hashes, not of their names (``source.go``): as on a real server."""
    repo, whole, each = name("data"), name("whole"), name("each")
    client.create_repo(repo)
    create(client, whole, pfs(repo, "/"), "ls /pfs/data > /pfs/out/names")
    create(client, each, pfs(repo, "/*"), "ls /pfs/data > /pfs/out/$(basename $data)")
    wait(client, each, put(client, repo, **{"cat.1": "x"}))
    with client.modify_file_client((repo, "master")) as modify:
        modify.delete_file("/cat.1")
        modify.put_file_from_bytes("/dog.1", b"x")
    commit = str(next(client.inspect_commit((repo, "master"))).commit.id)
    job = wait(client, whole, commit)
    assert (job.data_processed, job.data_skipped) == (0, 1)
    assert files(client, whole, commit) == {"/names": "cat.1\n"}
    # One datum per file has the path in its id: there the new name is a new datum.
    assert wait(client, each, commit).data_processed == 1


def test_the_record_of_datums(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("recorded")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "cp /pfs/data/* /pfs/out/")
    put(client, repo, a="1", b="2")
    with client.modify_file_client((repo, "master")) as modify:
        modify.delete_file("/a")
    commit = str(next(client.inspect_commit((repo, "master"))).commit.id)
    wait(client, pipeline, commit)
    (datum,) = client.list_datum(pipeline, commit)
    pfs_proto = python_pachyderm.service.pfs_proto
    meta = pfs_proto.Commit(repo=pfs_proto.Repo(name=pipeline, type="meta"), id=commit)
    found = [each.file.path for each in client.walk_file(meta, "/meta")]
    assert found == ["/meta/", f"/meta/{datum.datum.id}/", f"/meta/{datum.datum.id}/meta"]
    content = json.loads(client.get_file(meta, found[-1]).read())
    assert [each["fileInfo"]["file"]["path"] for each in content["inputs"]] == ["/b"]
    assert content["state"] == "PROCESSED" and content["job"]["pipeline"]["name"] == pipeline


def test_pages_of_datums(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("paged")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true")
    commit = put(client, repo, a="1", b="2", c="3")
    wait(client, pipeline, commit)
    everything = [each.datum.id for each in client.list_datum(pipeline, commit)]
    assert len(everything) == 3
    found = [client.inspect_datum(pipeline, commit, each).data[0].file.path for each in everything]
    assert sorted(found) == ["/a", "/b", "/c"] and everything == sorted(everything)
    listed = client.list_datum(input=pps_pb2.Input(pfs=pps_pb2.PFSInput(repo=repo, name="data", glob="/*")))
    assert [each.datum.id for each in listed] == everything


def test_datums_of_a_job_that_waits_for_the_one_before(client: Client, name: Name) -> None:
    """pachd reads them from an open commit, which starts from the commit of the job before (seen on 2.8.10)."""
    repo, pipeline = name("data"), name("queued")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo, "/"), "test -e /pfs/data/later || sleep 600")
    first = put(client, repo, a="1")
    second = put(client, repo, later="2")
    with pytest.raises(grpc.RpcError) as raised:
        list(client.list_datum(pipeline, second))
    assert raised.value.code() == grpc.StatusCode.UNKNOWN
    meta = rf"default/{pipeline}\.meta@"
    assert re.fullmatch(
        rf"next: rpc error: code = Unknown desc = base commit {meta}{first} for commit {meta}{second} unfinished",
        raised.value.details(),
    )
    assert mldm.job_datums(client, "default", pipeline, second) == []
    client.stop_job(first, pipeline)
    assert wait(client, pipeline, second).state == pps_pb2.JOB_SUCCESS
    assert [each.paths for each in mldm.job_datums(client, "default", pipeline, second)] == [("/",)]
