"""Receiving streams of ``ModifyFileRequest`` messages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.codec import AddBytes, DeletePath
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.upload import Upload
from pdk_stack.pachyderm.core.pfs.urls import add_url
from pdk_stack.pachyderm.errors import Fault, NotFound


def receive(engine: Engine, requests: Iterator[Any], upload: Upload) -> None:
    """Receive a client's file modifications.

    Args:
    engine: The store that copies read from.
    requests: ``ModifyFileRequest`` messages, as the codec returns them.
    upload: Collects the modifications.

    Raises:
    NotFound: The source of a copy doesn't exist.
    Fault: A path or a message is invalid.
    """
    for message in requests:
        if isinstance(message, AddBytes):
            upload.add(message.path, message.data, message.datum)
            continue
        if isinstance(message, DeletePath):
            upload.delete(message.path, message.datum)
            continue
        kind = message.WhichOneof("body")
        if kind == "add_file":
            _add(message.add_file, upload)
        elif kind == "delete_file":
            upload.delete(message.delete_file.path, message.delete_file.datum)
        elif kind == "copy_file":
            copy = message.copy_file
            with engine.read() as connection:
                source = get_commit(connection, pfs_convert.read_commit(copy.src.commit))
                tree = tree_of(connection, source)
                if source.is_open:
                    raise Fault(f"cannot copy from commit {source}, it has not been finished")
                if tree.key is None or tree.find(copy.src.path) is None:
                    raise NotFound(f"file {copy.src.path} not found in repo {source.repo} at commit {source.id}")
            upload.copy(copy.dst, copy.datum, copy.append, tree.key, copy.src.path)
        elif kind == "set_commit":
            raise Fault("cannot set commit")


def _add(message: pfs_pb2.AddFile, upload: Upload) -> None:
    if message.WhichOneof("source") == "url":
        add_url(upload, message.path, message.url.URL, message.datum, message.url.recursive)
    else:
        upload.add(message.path, message.raw.value, message.datum)
