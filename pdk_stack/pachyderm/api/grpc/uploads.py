"""Receiving streams of ``ModifyFileRequest`` messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.codec import AddBytes, DeletePath
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pfs.trees import tree_of
from pdk_stack.pachyderm.core.pfs.upload import NO_ROOT_FILE, Upload
from pdk_stack.pachyderm.core.pfs.urls import add_url
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import clean_path


def receive(engine: Engine, requests: Iterator[Any], upload: Upload) -> None:
    """Receive a client's file modifications.

    Args:
        engine: The store that copies read from.
        requests: ``ModifyFileRequest`` messages, as the codec returns them.
        upload: Collects the modifications.

    Raises:
        NotFound: The commit of a copy's source doesn't exist.
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
            with engine.read() as connection:
                _copy(connection, message.copy_file, upload)
        elif kind == "set_commit":
            raise Fault("cannot set commit")
        else:
            raise Fault("unrecognized message type")


def _copy(connection: sqlite3.Connection, copy: pfs_pb2.CopyFile, upload: Upload) -> None:
    """Copy a file or a directory; a path without either copies nothing, as on a cluster."""
    source = get_commit(connection, pfs_convert.given_commit(copy.src))
    tree = tree_of(connection, source)
    found = tree.find(clean_path(copy.src.path))
    if tree.key is None or found is None:
        return
    if not found.is_dir and clean_path(copy.dst) == "/":
        raise Fault(NO_ROOT_FILE)
    if not source.is_open:
        upload.copy(copy.dst, copy.datum, copy.append, tree.key, found.path)
        return
    # The nodes of an open commit aren't stored, so the copy names the content instead.
    upload.copy_files(copy.dst, copy.datum, copy.append, found, list(tree.files(found)))


def _add(message: pfs_pb2.AddFile, upload: Upload) -> None:
    if message.WhichOneof("source") == "url":
        add_url(upload, message.path, message.url.URL, message.datum, message.url.recursive)
    else:
        upload.add(message.path, message.raw.value, message.datum)
