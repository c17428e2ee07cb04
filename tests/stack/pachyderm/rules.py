"""Requests as pachd gets them, for tests of its rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.service import Service

from tests.stack.pachyderm.steps import Client

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
