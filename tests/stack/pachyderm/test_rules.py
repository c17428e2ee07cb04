"""Rules of pachd 2.8.10 about repos, branches, commits, files and transactions, with its codes and words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import timestamp_pb2
from python_pachyderm.proto.v2.admin import admin_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.task import task_pb2
from python_pachyderm.proto.v2.transaction import transaction_pb2
from python_pachyderm.proto.v2.version.versionpb import version_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, Name, put

NONE = "f" * 12 + "4" + "f" * 19


def call(client: Client, name: str, **fields: Any) -> Any:
    found = client._req(Service.PFS, name, req=getattr(pfs_pb2, f"{name}Request")(**fields))
    return list(found) if isinstance(found, Iterator) else found


def refusal(work: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        found = work()
        if isinstance(found, Iterator):
            list(found)
    return caught.value.code().name, caught.value.details()


def repo(name: str, **more: Any) -> pfs_pb2.Repo:
    return pfs_pb2.Repo(**{"name": name, "type": "user", **more})


def branch(name: str, of: str = "master") -> pfs_pb2.Branch:
    return pfs_pb2.Branch(repo=repo(name), name=of)


def commit(name: str, at: str = "master", id: str = "") -> pfs_pb2.Commit:
    return pfs_pb2.Commit(repo=repo(name), branch=branch(name, at) if at else None, id=id)


def file(name: str, path: str, at: str = "master", **more: Any) -> pfs_pb2.File:
    return pfs_pb2.File(commit=commit(name, at), path=path, **more)


def add(path: str, content: bytes = b"x", datum: str = "") -> pfs_pb2.ModifyFileRequest:
    message = pfs_pb2.ModifyFileRequest(add_file=pfs_pb2.AddFile(path=path, datum=datum))
    message.add_file.raw.value = content
    return message


def modify(client: Client, to: pfs_pb2.Commit, *changes: pfs_pb2.ModifyFileRequest) -> None:
    client._req(Service.PFS, "ModifyFile", req=iter([pfs_pb2.ModifyFileRequest(set_commit=to), *changes]))


def paths(client: Client, name: str, at: str = "master") -> list[str]:
    return [each.file.path for each in call(client, "GlobFile", commit=commit(name, at), pattern="**")]


@pytest.mark.parametrize(
    ("name", "fields", "code", "words"),
    [
        ("CreateProject", {}, "UNKNOWN", "invalid project name: nil project"),
        ("DeleteProject", {}, "UNKNOWN", "invalid project name: nil project"),
        (
            "InspectProject",
            {},
            "INVALID_ARGUMENT",
            "validate request: invalid InspectProjectRequest.Project: value is required",
        ),
        ("CreateRepo", {}, "UNKNOWN", "repo cannot be nil"),
        ("InspectRepo", {}, "UNKNOWN", "repo cannot be nil"),
        ("InspectRepo", {"repo": pfs_pb2.Repo(name="a")}, "UNKNOWN", 'repo type "" is none of user, meta, spec'),
        ("DeleteRepo", {}, "INVALID_ARGUMENT", "no repo specified"),
        ("CreateBranch", {}, "UNKNOWN", "branch cannot be nil"),
        ("InspectBranch", {}, "UNKNOWN", "branch cannot be nil"),
        ("InspectBranch", {"branch": pfs_pb2.Branch(name="a")}, "UNKNOWN", "branch repo cannot be nil"),
        (
            "DeleteBranch",
            {},
            "INVALID_ARGUMENT",
            "validate request: invalid DeleteBranchRequest.Branch: value is required",
        ),
        ("StartCommit", {}, "UNKNOWN", "branch must be specified"),
        ("FinishCommit", {}, "UNKNOWN", "check new file commit: commit cannot be nil"),
        ("InspectCommit", {}, "UNKNOWN", "commit cannot be nil"),
        ("InspectCommit", {"commit": pfs_pb2.Commit(id=NONE)}, "UNKNOWN", "commit must have a repo"),
        (
            "InspectCommit",
            {"commit": pfs_pb2.Commit(repo=repo("a"))},
            "UNKNOWN",
            "cannot resolve commit with no ID or branch",
        ),
        ("ListCommit", {}, "UNKNOWN", "repo cannot be nil"),
        ("SubscribeCommit", {}, "UNKNOWN", "repo cannot be nil"),
        ("InspectCommitSet", {}, "UNKNOWN", "commitset cannot be nil"),
        ("SquashCommitSet", {}, "UNKNOWN", "commitset cannot be nil"),
        (
            "DropCommitSet",
            {},
            "INVALID_ARGUMENT",
            "validate request: invalid DropCommitSetRequest.CommitSet: value is required",
        ),
        ("ClearCommit", {}, "UNKNOWN", "commit cannot be nil"),
        (
            "FindCommits",
            {},
            "INVALID_ARGUMENT",
            "validate recv: invalid FindCommitsRequest.Start: value is required",
        ),
        ("GetFile", {}, "UNKNOWN", "file cannot be nil"),
        ("InspectFile", {"file": pfs_pb2.File(path="/a")}, "UNKNOWN", "commit cannot be nil"),
        ("GlobFile", {}, "UNKNOWN", "commit cannot be nil"),
        ("DiffFile", {}, "UNKNOWN", "file cannot be nil"),
        ("DiffFile", {"new_file": pfs_pb2.File(path="/a")}, "UNKNOWN", "check new file commit: commit cannot be nil"),
        ("Egress", {}, "UNKNOWN", "commit cannot be nil"),
        ("GetCache", {"key": "no"}, "UNKNOWN", "sql: no rows in result set"),
    ],
)
def test_what_a_request_lacks(client: Client, name: str, fields: dict[str, Any], code: str, words: str) -> None:
    assert refusal(lambda: call(client, name, **fields)) == (code, words)


def test_words_of_references(client: Client, name: Name) -> None:
    one, other = name("one"), name("other")
    for each in (one, other):
        client.create_repo(each)
    id = put(client, one, a="1")
    gone = f'branch (id=0, branch=default/{one}@no) not found\nbranch "no" not found in repo default/{one}'
    no_repo = "repo (id=0, project=default, name=no, type=user) not found"
    cases: list[tuple[str, dict[str, Any], str, str]] = [
        ("InspectCommit", {"commit": commit(one, "no")}, "NOT_FOUND", gone),
        (
            "InspectCommit",
            {"commit": commit("no")},
            "NOT_FOUND",
            f"{no_repo}\nbranch (id=0, branch=default/no@master) not found\n"
            'branch "master" not found in repo default/no',
        ),
        (
            "InspectCommit",
            {
                "commit": pfs_pb2.Commit(
                    repo=pfs_pb2.Repo(name="a", type="user", project=pfs_pb2.Project(name="p")), id="x"
                )
            },
            "NOT_FOUND",
            'project "p" not found\nrepo (id=0, project=p, name=a, type=user) not found\n'
            'branch (id=0, branch=p/a@x) not found\nbranch "x" not found in repo p/a',
        ),
        ("InspectCommit", {"commit": commit(other, "", id)}, "NOT_FOUND", f"commit default/{other}@{id} not found"),
        # Only an ID can have an ancestry suffix.
        (
            "InspectCommit",
            {"commit": commit(one, "master^")},
            "NOT_FOUND",
            f'branch (id=0, branch=default/{one}@master^) not found\nbranch "master^" not found in repo default/{one}',
        ),
        (
            "InspectCommit",
            {"commit": commit(one, "", f"{id}^9")},
            "NOT_FOUND",
            f"commit default/{one}@{id}^9 not found",
        ),
        (
            "InspectCommit",
            {"commit": commit(one, "", f"{id}^x")},
            "UNKNOWN",
            f'invalid ancestry syntax "{id}^x", cannot mix ^ and x characters',
        ),
        (
            "InspectCommit",
            {"commit": commit(one, "master", "no")},
            "UNKNOWN",
            f"invalid commit ID given with a branch (default/{one}@master): no\n",
        ),
        ("StartCommit", {"branch": branch("no")}, "NOT_FOUND", "repo default/no not found"),
        (
            "StartCommit",
            {"branch": branch(one), "parent": commit(one, "no")},
            "NOT_FOUND",
            f"parent commit not found: {gone}",
        ),
        ("StartCommit", {"branch": branch(one, NONE)}, "UNKNOWN", "start commit: branch name cannot be a UUID V4"),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "head": commit(one, "no")},
            "NOT_FOUND",
            f"unable to inspect default/{one}@: {gone}",
        ),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "head": commit(other)},
            "UNKNOWN",
            "branch and head commit must belong to the same repo",
        ),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "trigger": pfs_pb2.Trigger(branch="no", commits=1)},
            "NOT_FOUND",
            f"create branch: updating branch trigger: branch (id=0, branch=default/{one}@no) not found",
        ),
        (
            "CreateBranch",
            {"branch": branch(one, "b"), "trigger": pfs_pb2.Trigger(branch="master", cron_spec="daily")},
            "UNKNOWN",
            "invalid trigger cron spec: Expected exactly 5 fields, found 1: daily",
        ),
        (
            "DeleteBranch",
            {"branch": branch(one, "no")},
            "NOT_FOUND",
            f'get branch "default/{one}.user@no": branch (id=0, branch=default/{one}@no) not found',
        ),
        (
            "CreateRepo",
            {"repo": repo("alone", type="spec")},
            "NOT_FOUND",
            "cannot create a system repo without a corresponding 'user' repo: "
            "repo (id=0, project=default, name=alone, type=user) not found",
        ),
        (
            "ListCommit",
            {"repo": repo(other), "to": commit(one)},
            "UNKNOWN",
            f"`from` and `to` commits need to be from repo default/{other}",
        ),
        (
            "ListCommit",
            {"repo": repo(one), "to": commit(one), "reverse": True},
            "UNKNOWN",
            "cannot use 'Reverse' while also using 'From' or 'To'",
        ),
        ("SubscribeCommit", {"repo": repo("no")}, "NOT_FOUND", f"get repo ID: {no_repo}"),
        # The commit is repeated as the request names it: a branch has no ID.
        (
            "InspectFile",
            {"file": file(one, "/no")},
            "NOT_FOUND",
            f"file /no not found in repo default/{one} at commit ",
        ),
    ]
    for call_name, fields, code, words in cases:
        assert refusal(lambda n=call_name, f=fields: call(client, n, **f)) == (code, words)  # type: ignore[misc]
    # Squashing and dropping what isn't there does nothing.
    for call_name in ("SquashCommitSet", "DropCommitSet"):
        call(client, call_name, commit_set=pfs_pb2.CommitSet(id=NONE))
    # A new commit has a new ID each time.
    code, words = refusal(lambda: call(client, "CreateBranch", branch=branch(other, "b"), provenance=[branch("no")]))
    assert code == "NOT_FOUND"
    assert words.startswith(
        f"create empty commit: get commit by commit key: {no_repo}\ncommit (int_id=0, commit_id=default/no.user@"
    )


def test_cycles(client: Client, name: Name) -> None:
    up, down = name("up"), name("down")
    for each in (up, down):
        client.create_repo(each)
    call(client, "CreateBranch", branch=branch(down), provenance=[branch(up), branch(up)])
    assert refusal(lambda: call(client, "CreateBranch", branch=branch(up), provenance=[branch(down)])) == (
        "INTERNAL",
        f"create branch: cycle detected because default/{down}.user@master is already in the subvenance of "
        f"default/{up}.user@master",
    )
    code, words = refusal(lambda: call(client, "DeleteBranch", branch=branch(up)))
    assert code == "UNKNOWN" and f"[default/{down}@master]" in words
    # Given without provenance, a branch loses what it has.
    call(client, "CreateBranch", branch=branch(down), head=commit(down))
    assert not call(client, "InspectBranch", branch=branch(down)).provenance
    call(client, "DeleteBranch", branch=branch(up))


def test_a_branch_that_a_trigger_follows(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    put(client, data, a="1")
    call(client, "CreateBranch", branch=branch(data, "slow"), trigger=pfs_pb2.Trigger(branch="master", commits=2))
    assert refusal(lambda: call(client, "DeleteBranch", branch=branch(data)))[0] == "UNKNOWN"
    call(client, "DeleteBranch", branch=branch(data), force=True)
    assert not call(client, "InspectBranch", branch=branch(data, "slow")).HasField("trigger")


def test_projects_and_the_order_of_lists(client: Client, name: Name) -> None:
    project, names = name("p"), [name(each) for each in "zab"]
    client.create_project(project)
    for each in names:
        client.create_repo(each, project_name=project)
    listed = call(client, "ListRepo", projects=[pfs_pb2.Project(name=project)])
    assert [each.repo.name for each in listed] == names
    assert [each.project.name for each in client.list_project()][-1] == project
    assert call(client, "ListRepo", projects=[pfs_pb2.Project()]) == []
    left = "\n".join(f"repo {project}/{each} still exists" for each in names)
    assert refusal(lambda: client.delete_project(project)) == (
        "FAILED_PRECONDITION",
        f"cannot delete project {project}: {left}",
    )
    # As on a cluster, force doesn't take the repos along.
    code, words = refusal(lambda: client.delete_project(project, force=True))
    assert code == "UNKNOWN" and names[0] in words
    assert len(call(client, "ListRepo", projects=[pfs_pb2.Project(name=project)])) == 3
    long = "p" * 52
    assert refusal(lambda: client.create_project(long))[1] == (
        f'invalid project name: project name "{long}" is 1 characters longer than the 51 max'
    )
    assert refusal(lambda: client.delete_project("no")) == ("NOT_FOUND", 'delete project "no": project "no" not found')


def test_sizes_and_details(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    put(client, data, a="123")
    (listed,) = (each for each in client.list_repo() if each.repo.name == data)
    assert (listed.size_bytes_upper_bound, listed.HasField("details")) == (3, False)
    info = client.inspect_repo(data)
    assert (info.size_bytes_upper_bound, info.details.size_bytes) == (0, 3)
    (first,) = call(client, "ListCommit", repo=repo(data))
    assert first.size_bytes_upper_bound == 3
    found = call(client, "InspectCommit", commit=commit(data))
    assert (found.size_bytes_upper_bound, found.details.size_bytes) == (0, 3)
    assert found.details.HasField("compacting_time") and found.details.HasField("validating_time")
    client.start_commit(data, "master")
    modify(client, commit(data), add("/b", b"4567"))
    found = call(client, "InspectCommit", commit=commit(data))
    assert found.HasField("details") and not found.details.HasField("compacting_time")
    assert call(client, "ListCommit", repo=repo(data))[0].size_bytes_upper_bound == 7


def test_a_commit_with_an_error_keeps_its_files_to_itself(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    put(client, data, good="1")
    client.start_commit(data, "master")
    modify(client, commit(data), add("/bad"))
    call(client, "FinishCommit", commit=commit(data), error="it went wrong")
    assert paths(client, data) == ["/bad", "/good"]
    info = call(client, "InspectCommit", commit=commit(data))
    assert (info.error, info.details.size_bytes) == ("it went wrong", 0)
    put(client, data, later="3")
    assert paths(client, data) == ["/good", "/later"]


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


def test_an_open_commit_on_an_open_one_cannot_be_read(client: Client, name: Name) -> None:
    up, down = name("up"), name("down")
    for each in (up, down):
        client.create_repo(each)
    call(client, "CreateBranch", branch=branch(down), provenance=[branch(up)])
    ids = [put(client, up, a=text) for text in "12"]
    code, words = refusal(lambda: call(client, "ListFile", file=file(down, "/")))
    assert code == "UNKNOWN" and words.startswith(
        f"base commit default/{down}@{ids[0]} for commit default/{down}@{ids[1]} "
    )
    assert [each.size_bytes_upper_bound for each in call(client, "ListCommit", repo=repo(down))][0] == 0
    assert refusal(lambda: call(client, "SquashCommitSet", commit_set=pfs_pb2.CommitSet(id=ids[0])))[1] == (
        f"cannot squash until child commit default/{down}@{ids[1]} is finished"
    )
    assert refusal(lambda: call(client, "FindCommits", start=commit(down), file_path="/a")) == (
        "UNAVAILABLE",
        f"commit default/{down}@ not finished",
    )


def test_clearing_needs_the_id(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    id = client.start_commit(data, "master").id
    modify(client, commit(data), add("/x"))
    call(client, "ClearCommit", commit=commit(data))
    assert paths(client, data) == ["/x"]
    call(client, "ClearCommit", commit=commit(data, "", id))
    assert paths(client, data) == []
    call(client, "FinishCommit", commit=commit(data))
    assert refusal(lambda: call(client, "ClearCommit", commit=commit(data))) == (
        "UNKNOWN",
        "cannot clear finished commit",
    )


def test_finding_listing_and_subscribing(client: Client, name: Name) -> None:
    data = name("data")
    client.create_repo(data)
    ids = [put(client, data, **{key: "1"}) for key in "abc"]

    def found(**fields: Any) -> list[tuple[str, int]]:
        return [
            (each.found_commit.id or f"last {each.last_searched_commit.id}", each.commits_searched)
            for each in call(client, "FindCommits", start=commit(data), **fields)
        ]

    assert found(file_path="/b") == [(ids[1], 1), (f"last {ids[0]}", 3)]
    assert found(file_path="/b", limit=1) == [(ids[1], 1), (f"last {ids[1]}", 2)]
    assert found(file_path="b") == found() == [(f"last {ids[0]}", 3)]

    def listed(**fields: Any) -> list[str]:
        return [each.commit.id for each in call(client, "ListCommit", repo=repo(data), **fields)]

    assert listed(number=-1) == ids[::-1]
    assert listed(**{"from": commit(data, "", ids[0]), "to": commit(data)}) == ids[:0:-1]
    # A `from` that names a branch bounds nothing.
    assert listed(**{"from": commit(data), "to": commit(data)}) == ids[::-1]
    started = call(client, "InspectCommit", commit=commit(data, "", ids[1])).started
    assert listed(started_time=started) == [ids[0]]
    assert listed(started_time=started, reverse=True) == [ids[2]]
    assert listed(started_time=timestamp_pb2.Timestamp(seconds=1)) == []
    request = pfs_pb2.SubscribeCommitRequest(repo=repo(data), **{"from": commit(data, "", ids[1])})
    stream = client._req(Service.PFS, "SubscribeCommit", req=request)
    assert [next(stream).commit.id for _ in range(2)] == [ids[0], ids[2]]
    stream.cancel()


def test_transactions(client: Client, name: Name) -> None:
    one, two = name("one"), name("two")

    def transact(call_name: str, **fields: Any) -> Any:
        return client._req(
            Service.TRANSACTION, call_name, req=getattr(transaction_pb2, f"{call_name}Request")(**fields)
        )

    with client.transaction() as started:
        client.create_repo(one)
        client.create_branch(one, "master")
        assert refusal(lambda: client.create_repo(one)) == (
            "ALREADY_EXISTS",
            f"error running request 3 of 3: repo default/{one} already exists",
        )
        assert refusal(lambda: client.start_commit(one, "master")) == (
            "ALREADY_EXISTS",
            f"error running request 3 of 3: commit default/{one}.user@{started.id} already exists\n"
            f"inconsistent dependencies: cannot create commit from default/{one}@{started.id}; repo ({one}) already "
            "has a commit in this transaction",
        )
        info = transact("InspectTransaction", transaction=started)
        assert (info.version, len(info.requests), len(info.responses)) == (2, 2, 2)
    assert refusal(lambda: transact("InspectTransaction", transaction=started)) == (
        "NOT_FOUND",
        f"transactions {started.id} not found",
    )
    requests = [transaction_pb2.TransactionRequest() for _ in range(2)]
    requests[0].create_repo.repo.CopyFrom(repo(two))
    # Only the first operation of a request counts.
    requests[0].delete_repo.repo.CopyFrom(repo(one))
    requests[1].start_commit.branch.CopyFrom(branch(one, "more"))
    info = transact("BatchTransaction", requests=requests)
    assert [each.HasField("commit") for each in info.responses] == [False, True]
    assert info.version == 0 and {one, two} <= {each.repo.name for each in client.list_repo()}
    unknown = transaction_pb2.TransactionRequest()
    unknown.create_pipeline.pipeline.name = "x"
    for request in (unknown, transaction_pb2.TransactionRequest()):
        assert refusal(lambda r=request: transact("BatchTransaction", requests=[r])) == (  # type: ignore[misc]
            "UNKNOWN",
            "error running request 1 of 1: unrecognized transaction request type",
        )


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
