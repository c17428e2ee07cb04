"""Requests that end pachd 2.8.10 itself: refused, with words that name the danger and the way out."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.service import Service, pps_proto

from tests.stack.pachyderm.steps import Client, Name, put

DANGER = "ends pachd 2.8.10"


def refusal(work: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    return caught.value.code().name, caught.value.details()


def write(client: Client, commit: pfs_pb2.Commit) -> None:
    add = pfs_pb2.ModifyFileRequest(add_file=pfs_pb2.AddFile(path="/x"))
    client._req(Service.PFS, "ModifyFile", req=iter([pfs_pb2.ModifyFileRequest(set_commit=commit), add]))


@pytest.mark.parametrize("named_by", ["id", "branch name as id", "nothing"])
def test_a_write_to_a_commit_without_a_branch(client: Client, name: Name, named_by: str) -> None:
    repo = pfs_pb2.Repo(name=name("data"), type="user")
    client.create_repo(repo.name)
    commit = client.start_commit(repo.name, "master")
    id = {"id": commit.id, "branch name as id": "master", "nothing": ""}[named_by]
    code, words = refusal(lambda: write(client, pfs_pb2.Commit(repo=repo, id=id)))
    assert code == "INVALID_ARGUMENT" and DANGER in words and "set `branch`" in words
    # With a branch, which may be empty, the same commit takes it.
    write(client, pfs_pb2.Commit(repo=repo, id=commit.id, branch=pfs_pb2.Branch(repo=repo)))
    client.finish_commit(commit)
    assert [each.file.path for each in client.list_file(commit, "/")] == ["/x"]


def test_a_pipeline_whose_output_branch_was_deleted(client: Client, name: Name) -> None:
    source, copy = name("data"), name("copy")
    client.create_repo(source)
    put(client, source, a="1")

    def create(update: bool) -> None:
        client.create_pipeline(
            copy,
            pps_proto.Transform(image="no-such-image", cmd=["true"]),
            input=pps_proto.Input(pfs=pps_proto.PFSInput(repo=source, glob="/*")),
            update=update,
        )

    create(False)
    client.delete_branch(copy, "master", force=True)
    for what, work in (
        ("update", lambda: create(True)),
        ("deletion", lambda: client.delete_pipeline(copy)),
        ("forced deletion", lambda: client.delete_pipeline(copy, force=True)),
        ("stop", lambda: client.stop_pipeline(copy)),
    ):
        code, words = refusal(work)
        assert code == "FAILED_PRECONDITION" and DANGER in words, what
        assert f"create the branch default/{copy}@master again" in words
    client.create_branch(copy, "master")
    create(True)
    client.delete_pipeline(copy)
