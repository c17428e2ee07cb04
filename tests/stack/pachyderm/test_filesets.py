"""File sets, and checks of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import grpc
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.service import Service

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import filesets
from pdk_stack.pachyderm.store import garbage
from pdk_stack.pachyderm.store.blobs import insert_locations
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, Name, files, pfs, put, wait
from tests.stack.pachyderm.steps import create as create_pipeline

BytesValue = pfs_pb2.AddFile.DESCRIPTOR.fields_by_name["raw"].message_type._concrete_class


def create(client: Client, **contents: str) -> str:
    def requests() -> Iterator[pfs_pb2.ModifyFileRequest]:
        for path, text in contents.items():
            add = pfs_pb2.AddFile(path=f"/{path}", raw=BytesValue(value=text.encode()))
            yield pfs_pb2.ModifyFileRequest(add_file=add)

    return str(client._req(Service.PFS, "CreateFileSet", req=requests()).file_set_id)


def call(client: Client, name: str, **fields: object) -> object:
    return client._req(Service.PFS, name, req=getattr(pfs_pb2, f"{name}Request")(**fields))


def test_made_read_composed_and_added(client: Client, name: Name) -> None:
    repo = name("data")
    client.create_repo(repo)
    first, second = create(client, a="1", b="2"), create(client, **{"deep/c": "3"})
    assert files(client, "__filesets__", first) == {"/a": "1", "/b": "2"}
    both = call(client, "ComposeFileSet", file_set_ids=[first, second], ttl_seconds=60).file_set_id  # type: ignore[attr-defined]
    assert files(client, "__filesets__", both) == {"/a": "1", "/b": "2", "/deep/c": "3"}
    call(client, "RenewFileSet", file_set_id=both, ttl_seconds=120)
    shards = call(client, "ShardFileSet", file_set_id=both).shards  # type: ignore[attr-defined]
    assert [(each.lower, each.upper) for each in shards] == [("", "")]
    with client.commit(repo, "master") as commit:
        call(client, "AddFileSet", commit=commit, file_set_id=both)
    assert files(client, repo, "master") == {"/a": "1", "/b": "2", "/deep/c": "3"}
    with pytest.raises(grpc.RpcError, match="has already finished"):
        call(client, "AddFileSet", commit=commit, file_set_id=both)
    # What a commit holds, taken over into another repo.
    whole = call(client, "GetFileSet", commit=commit).file_set_id  # type: ignore[attr-defined]
    other = name("other")
    client.create_repo(other)
    with client.commit(other, "master") as copy:
        call(client, "AddFileSet", commit=copy, file_set_id=whole)
    assert files(client, other, "master") == files(client, repo, "master")


def test_refusals(client: Client) -> None:
    none = "0" * 32
    made = create(client, a="1")
    for name, fields, code, words in (
        (
            "RenewFileSet",
            {"file_set_id": none, "ttl_seconds": 1},
            "NOT_FOUND",
            f"tracker does not contain item: (fileset/{none})",
        ),
        ("RenewFileSet", {"file_set_id": made}, "UNKNOWN", "ttl (0) must be at least one second"),
        (
            "RenewFileSet",
            {"file_set_id": made, "ttl_seconds": 10**6},
            "UNKNOWN",
            "ttl (1000000000000000) exceeds max ttl (1800000000000)",
        ),
        (
            "RenewFileSet",
            {"file_set_id": "x", "ttl_seconds": 1},
            "UNKNOWN",
            "parsing fileset.ID: too short to be ID len=1",
        ),
        (
            "ShardFileSet",
            {"file_set_id": "0" * 33},
            "UNKNOWN",
            "parsing fileset.ID: too long to be ID len=33",
        ),
        ("ShardFileSet", {"file_set_id": "x" * 32}, "UNKNOWN", "encoding/hex: invalid byte: U+0078 'x'"),
        ("ShardFileSet", {"file_set_id": none}, "UNKNOWN", "path does not exist"),
        ("ComposeFileSet", {"file_set_ids": [none]}, "UNKNOWN", "the operation would create a dangling reference"),
        ("GetFileSet", {}, "UNKNOWN", "commit cannot be nil"),
        ("AddFileSet", {"file_set_id": none}, "UNKNOWN", "commit cannot be nil"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(client, name, **fields)
        assert (caught.value.code().name, caught.value.details()) == (code, words)
    with pytest.raises(grpc.RpcError, match="__filesets__ is a reserved name"):
        client.create_repo("__filesets__")


def test_they_are_kept_as_long_as_they_live(tmp_path: object) -> None:
    engine = Engine(tmp_path)  # type: ignore[arg-type]
    with engine.upload() as upload:
        upload.add("/a", b"kept for a while")
        upload.seal()
        with engine.database.write() as connection:
            insert_locations(connection, upload.pack.locations)
            key = filesets.create(connection, upload.changes)
    collected = garbage.collect(engine.database, engine.blobs, 1.0)
    assert collected is not None and collected.blobs == 0
    with engine.database.write() as connection:
        connection.execute("UPDATE filesets SET expires = 1")
        assert filesets.drop_expired(connection) == 1
    with engine.read() as connection:
        assert garbage.is_due(connection)
        with pytest.raises(Exception, match="path does not exist"):
            filesets.as_commit(connection, key)
    collected = garbage.collect(engine.database, engine.blobs, 1.0)
    assert collected is not None and collected.blobs == 1
    engine.close()


def test_fsck_finds_and_repairs(own_server: Callable[..., Server]) -> None:
    server = own_server()
    client = server.client()
    client.create_repo("data")
    create_pipeline(client, "copy", pfs("data"), "cp /pfs/data/* /pfs/out/")
    commit = put(client, "data", a="1")
    wait(client, "copy", commit)

    def fsck(**request: object) -> list[tuple[str, str]]:
        found = client._req(Service.PFS, "Fsck", req=pfs_pb2.FsckRequest(**request))
        return [(each.fix, each.error) for each in found]

    assert fsck(zombie_all=True) == []
    server.stop()
    with closing(sqlite3.connect(server.state / "pachyderm.db")) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE datums SET id = 'another'")
        connection.execute("INSERT INTO commit_provenance (commit_pk, upstream) VALUES (998, 999)")
        connection.commit()
    client = server.start().client()
    assert [error for _, error in fsck()] == [
        "row None of table commit_provenance refers to something that is gone"
    ] * 2
    target = pfs_pb2.Commit(repo=pfs_pb2.Repo(name="copy", type="user"), id=commit)
    errors = [error for _, error in fsck(fix=True, zombie_target=target)]
    assert any(error.startswith("stale datum ") and error.endswith(" had file /a") for error in errors)
    assert fsck() == []
