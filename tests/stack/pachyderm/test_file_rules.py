"""Rules of pachd 2.8.10 about files, with its codes and words."""

from __future__ import annotations

import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.rules import NONE, add, call, commit, file, modify, paths, refusal, repo
from tests.stack.pachyderm.steps import Client, Name, put


@pytest.mark.parametrize(
    ("changes", "error", "seen"),
    [
        (
            [add("/n"), add("/n/below")],
            "file / directory path collision (/n/below)",
            [("/n", ""), ("/n/", ""), ("/n/below", "")],
        ),
        (
            [add("/f", datum="b"), add("/f", datum="a")],
            "duplicate path output by different datums (/f from a and /f from b)",
            [("/f", "a"), ("/f", "b")],
        ),
    ],
)
def test_files_that_contradict_each_other(
    client: Client, name: Name, changes: list[pfs_pb2.ModifyFileRequest], error: str, seen: list[tuple[str, str]]
) -> None:
    data = name("data")
    client.create_repo(data)
    modify(client, commit(data), *changes)
    assert call(client, "InspectCommit", commit=commit(data)).error == error
    found = call(client, "GlobFile", commit=commit(data), pattern="**")
    assert [(each.file.path, each.file.datum.removeprefix("default")) for each in found] == seen
    assert (
        "Use GetFileTAR instead"
        in refusal(
            lambda: client._req(
                Service.PFS, "GetFile", req=pfs_pb2.GetFileRequest(file=file(data, changes[0].add_file.path))
            )
        )[1]
    )


def test_where_a_write_goes(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    id = put(client, data, a="1")
    assert refusal(lambda: modify(client, commit(data, "", NONE), add("/x")))[0] == "INVALID_ARGUMENT"
    nameless = pfs_pb2.Commit(repo=repo(data), branch=pfs_pb2.Branch(repo=repo(data)))
    nameless.id = NONE
    assert refusal(lambda: modify(client, nameless, add("/x")))[0] == "NOT_FOUND"
    nameless.id = id
    assert refusal(lambda: modify(client, nameless, add("/x")))[1] == f"commit default/{data}@{id} has already finished"
    # With a branch beside an unknown ID, the write makes a commit there.
    modify(client, commit(data, "new", NONE), add("/x"))
    assert paths(client, data, "new") == ["/x"]
    assert refusal(lambda: modify(client, commit(data), pfs_pb2.ModifyFileRequest()))[1] == "unrecognized message type"
    assert refusal(lambda: modify(client, commit(data), pfs_pb2.ModifyFileRequest(set_commit=commit(data))))[1] == (
        "cannot set commit"
    )


def test_copies(client: Client, name: Name) -> None:
    data, to = name("data"), name("to")
    for each in (data, to):
        client.create_repo(each)
    put(client, data, **{"d/a": "1", "d/b": "2"})
    put(client, to, **{"d/old": "0"})

    def copied(path: str, dst: str, at: str = "master") -> list[str]:
        copy = pfs_pb2.CopyFile(dst=dst, src=file(data, path, at))
        modify(client, commit(to, "copy"), pfs_pb2.ModifyFileRequest(copy_file=copy))
        found = paths(client, to, "copy")
        client.delete_branch(to, "copy")
        return found

    assert copied("/d", "/e") == ["/e/", "/e/a", "/e/b"]
    assert copied("/d", "/") == ["/a", "/b"]
    assert copied("/no", "/e") == copied("/d/*", "/e") == []
    # The target's name isn't checked.
    assert copied("/d/a", "/x*") == ["/x*"]
    client.start_commit(data, "open")
    modify(client, commit(data, "open"), add("/new"))
    assert copied("/new", "/n", "open") == ["/n"]
    # Files beside the copied ones stay.
    copy = pfs_pb2.CopyFile(dst="/d", src=file(data, "/d"))
    modify(client, commit(to), pfs_pb2.ModifyFileRequest(copy_file=copy))
    assert paths(client, to) == ["/d/", "/d/a", "/d/b", "/d/old"]


def test_lists_take_paths_and_reads_take_globs(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    put(client, data, **{"d/a": "1", "b": "2"})
    for path, listed in (("/d*", []), ("/b/", ["/b"]), ("d", ["/d/a"]), ("/d/..", ["/b", "/d/"]), ("/no", [])):
        assert [each.file.path for each in call(client, "ListFile", file=file(data, path))] == listed, path
    assert refusal(lambda: call(client, "InspectFile", file=file(data, "/d*")))[0] == "NOT_FOUND"
    found = client._req(Service.PFS, "GetFile", req=pfs_pb2.GetFileRequest(file=file(data, "/d/*")))
    assert b"".join(each.value for each in found) == b"1"
    assert refusal(lambda: call(client, "GetFile", file=file(data, "/b"), offset=-1))[0] == "INVALID_ARGUMENT"
    assert refusal(lambda: call(client, "ListFile", file=file(data, "/"), reverse=True, number=-1))[0] == (
        "INVALID_ARGUMENT"
    )
