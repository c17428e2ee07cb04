"""Rules of pachd 2.8.10 about commits and transactions, with its codes and words."""

from __future__ import annotations

from typing import Any

from google.protobuf import timestamp_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.transaction import transaction_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.rules import add, branch, call, commit, file, modify, paths, refusal, repo
from tests.stack.pachyderm.steps import Client, Name, put


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
