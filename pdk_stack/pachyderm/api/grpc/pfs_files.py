"""PFS calls about files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.codec import AddBytes, DeletePath
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.uploads import receive
from pdk_stack.pachyderm.core.egress import send
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import files, filesets
from pdk_stack.pachyderm.core.pfs.check import check, check_blobs, repair, stale_files
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, get_commit
from pdk_stack.pachyderm.core.pfs.tar import tar_stream
from pdk_stack.pachyderm.core.pfs.types import FILESETS_REPO, Commit, CommitRef
from pdk_stack.pachyderm.errors import Fault, Unimplemented
from pdk_stack.pachyderm.store.clock import NANOSECONDS
from pdk_stack.pachyderm.store.tree import FoundEntry

CHUNK = 2 << 20


class FileCalls:
    """Calls about files."""

    engine: Engine

    def ModifyFile(self, requests: Iterator[Any], call: Call) -> None:
        first = next(requests, None)
        if first is None:
            raise Fault("EOF")
        if isinstance(first, AddBytes | DeletePath) or first.WhichOneof("body") != "set_commit":
            raise Fault("first message must be a set commit message")
        ref = pfs_convert.read_commit(first.set_commit)
        call.may_write(ref.repo)
        with self.engine.upload() as upload:
            receive(self.engine, requests, upload)
            self.engine.modify(ref, upload)

    @contextmanager
    def _opened(self, ref: CommitRef) -> Iterator[tuple[Any, Commit]]:
        with self.engine.blobs.in_use(), self.engine.read() as connection:
            if ref.repo.name == FILESETS_REPO:
                yield connection, filesets.as_commit(connection, ref.id)
            else:
                yield connection, get_commit(connection, ref)

    def GetFile(self, request: pfs_pb2.GetFileRequest, call: Call) -> Iterator[bytes]:
        if request.URL:
            yield from self._send(request)
            return
        with self._opened(pfs_convert.read_commit(request.file.commit)) as (connection, commit):
            found = files.one_file(connection, commit, request.file.path)
            empty = True
            with self.engine.blobs.reader(connection) as content:
                for chunk in content.read(found.entry.blobs, request.offset):
                    empty = False
                    yield chunk
            if empty:
                # python_pachyderm's reader fails on a stream without messages.
                yield b""

    def GetFileTAR(self, request: pfs_pb2.GetFileRequest, call: Call) -> Iterator[bytes]:
        if request.URL:
            yield from self._send(request)
            return
        with self._opened(pfs_convert.read_commit(request.file.commit)) as (connection, commit):
            found = files.matching_trees(connection, commit, request.file.path)
            wanted = pfs_convert.read_range(request.path_range).cut(found)
            modified = commit.finishing // NANOSECONDS
            with self.engine.blobs.reader(connection) as content:
                yield from tar_stream(wanted, lambda each: content.read(each.entry.blobs), modified, CHUNK)

    def _send(self, request: pfs_pb2.GetFileRequest) -> Iterator[bytes]:
        """Send files to an object store instead of the client."""
        with self._opened(pfs_convert.read_commit(request.file.commit)) as (_, commit):
            wanted = pfs_convert.read_range(request.path_range)
            send(self.engine, commit, request.file.path, request.URL, wanted)
        yield b""

    def Egress(self, request: pfs_pb2.EgressRequest, call: Call) -> pfs_pb2.EgressResponse:
        if request.WhichOneof("target") != "object_storage":
            raise Unimplemented("/pfs_v2.API/Egress to a SQL database is not implemented by the embedded Pachyderm")
        with self._opened(pfs_convert.read_commit(request.commit)) as (_, commit):
            sent = send(self.engine, commit, "/", request.object_storage.url)
        return pfs_pb2.EgressResponse(object_storage=pfs_pb2.EgressResponse.ObjectStorageResult(bytes_written=sent))

    def CheckStorage(self, request: pfs_pb2.CheckStorageRequest, call: Call) -> pfs_pb2.CheckStorageResponse:
        with self._opened_any() as connection:
            count = check_blobs(
                connection, self.engine.blobs, request.chunk_begin, request.chunk_end, request.read_chunk_data
            )
        return pfs_pb2.CheckStorageResponse(chunk_object_count=count)

    def InspectFile(self, request: pfs_pb2.InspectFileRequest, call: Call) -> pfs_pb2.FileInfo:
        with self._opened(pfs_convert.read_commit(request.file.commit)) as (connection, commit):
            return pfs_convert.FileInfos(commit)(files.inspect_file(connection, commit, request.file.path))

    def ListFile(self, request: pfs_pb2.ListFileRequest, call: Call) -> Iterator[bytes]:
        return self._listed(request, files.list_file)

    def WalkFile(self, request: pfs_pb2.WalkFileRequest, call: Call) -> Iterator[bytes]:
        return self._listed(request, files.walk_file)

    def _listed(self, request: Any, listing: Callable[..., Iterator[FoundEntry]]) -> Iterator[bytes]:
        page = files.Page(request.paginationMarker.path, request.number, request.reverse)
        with self._opened(pfs_convert.read_commit(request.file.commit)) as (connection, commit):
            found = listing(connection, commit, request.file.path, page)
            yield from map(pfs_convert.FileInfos(commit).encoded, found)

    def GlobFile(self, request: pfs_pb2.GlobFileRequest, call: Call) -> Iterator[bytes]:
        with self._opened(pfs_convert.read_commit(request.commit)) as (connection, commit):
            encoded = pfs_convert.FileInfos(commit).encoded
            found = files.glob_file(connection, commit, request.pattern)
            yield from map(encoded, pfs_convert.read_range(request.path_range).cut(found))

    def DiffFile(self, request: pfs_pb2.DiffFileRequest, call: Call) -> Iterator[pfs_pb2.DiffFileResponse]:
        with self._opened(pfs_convert.read_commit(request.new_file.commit)) as (connection, commit):
            old = None
            if request.HasField("old_file"):
                ref = pfs_convert.read_commit(request.old_file.commit)
                old = (get_commit(connection, ref), request.old_file.path)
            for new, _, previous, old_commit in files.diff_file(
                connection, commit, request.new_file.path, old, request.shallow
            ):
                answer = pfs_pb2.DiffFileResponse()
                if new is not None:
                    answer.new_file.CopyFrom(pfs_convert.FileInfos(commit)(new))
                if previous is not None and old_commit is not None:
                    answer.old_file.CopyFrom(pfs_convert.FileInfos(old_commit)(previous))
                yield answer

    def Fsck(self, request: pfs_pb2.FsckRequest, call: Call) -> Iterator[pfs_pb2.FsckResponse]:
        if request.fix:
            with self.engine.database.write() as connection:
                repaired = list(repair(connection))
            yield from (pfs_pb2.FsckResponse(fix=each) for each in repaired)
        with self._opened_any() as connection:
            for problem in check(connection, self.engine.blobs):
                yield pfs_pb2.FsckResponse(error=problem)
            for output in self._outputs(connection, request):
                for problem in stale_files(connection, output):
                    yield pfs_pb2.FsckResponse(error=problem)

    def _outputs(self, connection: Any, request: pfs_pb2.FsckRequest) -> Iterator[Commit]:
        """Return the commits whose files are compared with their jobs' datums."""
        if request.HasField("zombie_target"):
            yield get_commit(connection, pfs_convert.read_commit(request.zombie_target))
        if request.zombie_all:
            rows = connection.execute(
                "SELECT DISTINCT head FROM branches JOIN jobs ON jobs.output = branches.head ORDER BY head"
            ).fetchall()
            yield from (commit_by_pk(connection, row["head"]) for row in rows)

    @contextmanager
    def _opened_any(self) -> Iterator[Any]:
        with self.engine.blobs.in_use(), self.engine.read() as connection:
            yield connection
