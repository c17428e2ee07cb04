"""PFS calls about files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf import empty_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_nb.local.pachyderm.engine import Engine
from pdk_nb.local.pachyderm.faults import Fault, NotFound, Unimplemented
from pdk_nb.local.pachyderm.pfs import files
from pdk_nb.local.pachyderm.pfs.check import check
from pdk_nb.local.pachyderm.pfs.commits import tree_of
from pdk_nb.local.pachyderm.pfs.lookup import get_commit
from pdk_nb.local.pachyderm.pfs.tar import tar_stream
from pdk_nb.local.pachyderm.pfs.types import Commit, CommitRef
from pdk_nb.local.pachyderm.wire import convert
from pdk_nb.local.pachyderm.wire.codec import AddBytes, DeletePath
from pdk_nb.local.pachyderm.wire.dispatch import Call

CHUNK = 2 << 20


class FileCalls:
    """Files."""

    engine: Engine

    def ModifyFile(self, requests: Iterator[Any], call: Call) -> empty_pb2.Empty:
        first = next(requests, None)
        if first is None:
            raise Fault("EOF")
        if isinstance(first, AddBytes | DeletePath) or first.WhichOneof("body") != "set_commit":
            raise Fault("first message must be a set commit message")
        ref = convert.read_commit(first.set_commit)
        with self.engine.upload() as upload:
            self._receive(requests, upload)
            self.engine.modify(ref, upload)
        return empty_pb2.Empty()

    def _receive(self, requests: Iterator[Any], upload: Any) -> None:
        for message in requests:
            if isinstance(message, AddBytes):
                upload.add(message.path, message.data, message.datum)
                continue
            if isinstance(message, DeletePath):
                upload.delete(message.path, message.datum)
                continue
            kind = message.WhichOneof("body")
            if kind == "add_file":
                self._add(message.add_file, upload)
            elif kind == "delete_file":
                upload.delete(message.delete_file.path, message.delete_file.datum)
            elif kind == "copy_file":
                copy = message.copy_file
                with self.engine.read() as connection:
                    source = get_commit(connection, convert.read_commit(copy.src.commit))
                    tree = tree_of(connection, source)
                    if source.is_open:
                        raise Fault(f"cannot copy from commit {source}, it has not been finished")
                    if tree.key is None or tree.find(copy.src.path) is None:
                        raise NotFound(f"file {copy.src.path} not found in repo {source.repo} at commit {source.id}")
                upload.copy(copy.dst, copy.datum, copy.append, tree.key, copy.src.path)
            elif kind == "set_commit":
                raise Fault("cannot set commit")

    def _add(self, message: pfs_pb2.AddFile, upload: Any) -> None:
        if message.WhichOneof("source") == "url":
            if message.url.recursive:
                raise Unimplemented("recursive URL sources are not implemented by the embedded Pachyderm")
            upload.add_url(message.path, message.url.URL, message.datum)
        else:
            upload.add(message.path, message.raw.value, message.datum)

    @contextmanager
    def _opened(self, ref: CommitRef) -> Iterator[tuple[Any, Commit]]:
        with self.engine.blobs.in_use(), self.engine.read() as connection:
            yield connection, get_commit(connection, ref)

    def GetFile(self, request: pfs_pb2.GetFileRequest, call: Call) -> Iterator[bytes]:
        if request.URL:
            raise Unimplemented("GetFile with a URL is not implemented by the embedded Pachyderm")
        with self._opened(convert.read_commit(request.file.commit)) as (connection, commit):
            found = files.one_file(connection, commit, request.file.path)
            empty = True
            with self.engine.blobs.reader(connection) as content:
                for chunk in content.read(found.entry.blobs, request.offset):
                    empty = False
                    yield chunk
            if empty:
                # python_pachyderm's reader fails on a stream without any message.
                yield b""

    def GetFileTAR(self, request: pfs_pb2.GetFileRequest, call: Call) -> Iterator[bytes]:
        if request.URL:
            raise Unimplemented("GetFileTAR with a URL is not implemented by the embedded Pachyderm")
        with self._opened(convert.read_commit(request.file.commit)) as (connection, commit):
            found = files.matching_trees(connection, commit, request.file.path)
            lower, upper = request.path_range.lower, request.path_range.upper
            wanted = (each for each in found if (not lower or each.path >= lower) and (not upper or each.path < upper))
            modified = commit.finishing // convert.NANO
            with self.engine.blobs.reader(connection) as content:
                yield from tar_stream(wanted, lambda each: content.read(each.entry.blobs), modified, CHUNK)

    def InspectFile(self, request: pfs_pb2.InspectFileRequest, call: Call) -> pfs_pb2.FileInfo:
        with self._opened(convert.read_commit(request.file.commit)) as (connection, commit):
            return convert.FileInfos(commit)(files.inspect_file(connection, commit, request.file.path))

    def ListFile(self, request: pfs_pb2.ListFileRequest, call: Call) -> Iterator[pfs_pb2.FileInfo]:
        page = files.Page(request.paginationMarker.path, request.number, request.reverse)
        with self._opened(convert.read_commit(request.file.commit)) as (connection, commit):
            yield from map(convert.FileInfos(commit), files.list_file(connection, commit, request.file.path, page))

    def WalkFile(self, request: pfs_pb2.WalkFileRequest, call: Call) -> Iterator[pfs_pb2.FileInfo]:
        page = files.Page(request.paginationMarker.path, request.number, request.reverse)
        with self._opened(convert.read_commit(request.file.commit)) as (connection, commit):
            yield from map(convert.FileInfos(commit), files.walk_file(connection, commit, request.file.path, page))

    def GlobFile(self, request: pfs_pb2.GlobFileRequest, call: Call) -> Iterator[pfs_pb2.FileInfo]:
        with self._opened(convert.read_commit(request.commit)) as (connection, commit):
            lower, upper = request.path_range.lower, request.path_range.upper
            for found in files.glob_file(connection, commit, request.pattern):
                if (not lower or found.path >= lower) and (not upper or found.path < upper):
                    yield convert.FileInfos(commit)(found)

    def DiffFile(self, request: pfs_pb2.DiffFileRequest, call: Call) -> Iterator[pfs_pb2.DiffFileResponse]:
        with self._opened(convert.read_commit(request.new_file.commit)) as (connection, commit):
            old = None
            if request.HasField("old_file"):
                ref = convert.read_commit(request.old_file.commit)
                old = (get_commit(connection, ref), request.old_file.path)
            for new, _, previous, old_commit in files.diff_file(
                connection, commit, request.new_file.path, old, request.shallow
            ):
                answer = pfs_pb2.DiffFileResponse()
                if new is not None:
                    answer.new_file.CopyFrom(convert.FileInfos(commit)(new))
                if previous is not None and old_commit is not None:
                    answer.old_file.CopyFrom(convert.FileInfos(old_commit)(previous))
                yield answer

    def Fsck(self, request: pfs_pb2.FsckRequest, call: Call) -> Iterator[pfs_pb2.FsckResponse]:
        with self._opened_any() as connection:
            for problem in check(connection, self.engine.blobs):
                yield pfs_pb2.FsckResponse(error=problem)

    @contextmanager
    def _opened_any(self) -> Iterator[Any]:
        with self.engine.blobs.in_use(), self.engine.read() as connection:
            yield connection
