"""PFS calls about files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.codec import AddBytes, DeletePath
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.uploads import receive
from pdk_stack.pachyderm.core.egress import send
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import files, filesets
from pdk_stack.pachyderm.core.pfs.check import check, repair, stale_files
from pdk_stack.pachyderm.core.pfs.files import FileRef
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, get_commit
from pdk_stack.pachyderm.core.pfs.tar import tar_stream
from pdk_stack.pachyderm.core.pfs.types import FILESETS_REPO, META_REPO, Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import Fault, InvalidArgument, Unimplemented, wrapped
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
            raise Fault("first message must be a commit")
        ref = pfs_convert.given_commit(first, "set_commit")
        if not first.set_commit.HasField("branch"):
            raise InvalidArgument(
                f"commit {ref} has no branch: this request ends pachd 2.8.10 (a nil pointer in modifyFile), so it is "
                "refused here; set `branch` with its repo, and leave its name empty to write to the commit with this ID"
            )
        if not ref.id and not first.set_commit.branch.HasField("repo"):
            raise InvalidArgument("branch repo cannot be nil")
        call.may_write(ref.repo)
        with self.engine.upload() as upload:
            receive(self.engine, requests, upload)
            self.engine.modify(ref, upload, keep_invalid=True)

    @contextmanager
    def _opened(self, ref: CommitRef) -> Iterator[tuple[Any, Commit]]:
        with self.engine.blobs.in_use(), self.engine.read() as connection:
            if ref.repo.name == FILESETS_REPO:
                yield connection, filesets.as_commit(connection, ref.id)
            else:
                yield connection, get_commit(connection, ref)

    @contextmanager
    def _file(self, request: Any, field: str = "file") -> Iterator[tuple[Any, FileRef]]:
        """Open the commit of a request's file; yield the connection and the file."""
        ref, message = pfs_convert.given_file(request, field), getattr(request, field)
        with self._opened(ref) as (connection, commit):
            yield connection, FileRef(commit, message.path, message.datum, ref.id)

    def GetFile(self, request: pfs_pb2.GetFileRequest, call: Call) -> Iterator[bytes]:
        if request.URL:
            yield from self._send(request)
            return
        if request.offset < 0:
            raise InvalidArgument(f"offset ({request.offset}) must not be negative")
        with self._file(request) as (connection, wanted):
            found = files.one_file(connection, wanted)
            empty = True
            with self.engine.blobs.reader(connection) as content:
                for chunk in content.read(found.entry.blobs, request.offset, path=found.path):
                    empty = False
                    yield chunk
            if empty:
                # python_pachyderm's reader fails on a stream without messages.
                yield b""

    def GetFileTAR(self, request: pfs_pb2.GetFileRequest, call: Call) -> Iterator[bytes]:
        if request.URL:
            yield from self._send(request)
            return
        with self._file(request) as (connection, wanted):
            found = pfs_convert.read_range(request.path_range).cut(files.matching_trees(connection, wanted))
            modified = wanted.commit.finishing // NANOSECONDS
            with self.engine.blobs.reader(connection) as content:
                yield from tar_stream(
                    found, lambda each: content.read(each.entry.blobs, path=each.path), modified, CHUNK
                )

    def _send(self, request: pfs_pb2.GetFileRequest) -> Iterator[bytes]:
        """Send files to an object store instead of the client."""
        with self._file(request) as (_, wanted):
            send(self.engine, wanted, request.URL, pfs_convert.read_range(request.path_range))
        yield b""

    def Egress(self, request: pfs_pb2.EgressRequest, call: Call) -> pfs_pb2.EgressResponse:
        ref = pfs_convert.given_commit(request)
        target = request.WhichOneof("target")
        if target is None:
            raise Fault("egress failed")
        if target != "object_storage":
            raise Unimplemented("/pfs_v2.API/Egress to a SQL database is not implemented by the embedded Pachyderm")
        with self._opened(ref) as (_, commit):
            sent = send(self.engine, FileRef(commit, "/", given=ref.id), request.object_storage.url)
        return pfs_pb2.EgressResponse(object_storage=pfs_pb2.EgressResponse.ObjectStorageResult(bytes_written=sent))

    def InspectFile(self, request: pfs_pb2.InspectFileRequest, call: Call) -> pfs_pb2.FileInfo:
        with self._file(request) as (connection, wanted):
            return pfs_convert.FileInfos(wanted.commit)(files.inspect_file(connection, wanted))

    def ListFile(self, request: pfs_pb2.ListFileRequest, call: Call) -> Iterator[bytes]:
        return self._listed(request, files.list_file)

    def WalkFile(self, request: pfs_pb2.WalkFileRequest, call: Call) -> Iterator[bytes]:
        return self._listed(request, files.walk_file)

    def _listed(self, request: Any, listing: Callable[..., Iterator[FoundEntry]]) -> Iterator[bytes]:
        page = files.Page(request.paginationMarker.path, request.number, request.reverse)
        with self._file(request) as (connection, wanted):
            yield from map(pfs_convert.FileInfos(wanted.commit).encoded, listing(connection, wanted, page))

    def GlobFile(self, request: pfs_pb2.GlobFileRequest, call: Call) -> Iterator[bytes]:
        with self._opened(pfs_convert.given_commit(request)) as (connection, commit):
            encoded = pfs_convert.FileInfos(commit).encoded
            found = files.glob_file(connection, FileRef(commit, request.pattern))
            yield from map(encoded, pfs_convert.read_range(request.path_range).cut(found))

    def DiffFile(self, request: pfs_pb2.DiffFileRequest, call: Call) -> Iterator[pfs_pb2.DiffFileResponse]:
        # As on a cluster, `shallow` has no effect.
        if not request.HasField("new_file"):
            raise Fault("file cannot be nil")
        with wrapped("check new file commit"):
            ref = pfs_convert.given_commit(request.new_file)
        old_ref = None
        if request.HasField("old_file"):
            with wrapped("check old file commit"):
                old_ref = pfs_convert.given_commit(request.old_file)
        with ExitStack() as stack:
            connection, commit = stack.enter_context(self._opened(ref))
            new = FileRef(commit, request.new_file.path, request.new_file.datum)
            old = None
            if old_ref is not None:
                commit = stack.enter_context(self._opened(old_ref))[1]
                old = FileRef(commit, request.old_file.path, request.old_file.datum)
            for here, _, previous, old_commit in files.diff_file(connection, new, old):
                answer = pfs_pb2.DiffFileResponse()
                if here is not None:
                    answer.new_file.CopyFrom(pfs_convert.FileInfos(new.commit)(here))
                if previous is not None and old_commit is not None:
                    answer.old_file.CopyFrom(pfs_convert.FileInfos(old_commit)(previous))
                yield answer

    def Fsck(self, request: pfs_pb2.FsckRequest, call: Call) -> Iterator[pfs_pb2.FsckResponse]:
        if request.fix:
            with self.engine.database.write() as connection:
                repaired = list(repair(connection))
            yield from (pfs_pb2.FsckResponse(fix=each) for each in repaired)
        with self.engine.blobs.in_use(), self.engine.read() as connection:
            for problem in check(connection, self.engine.blobs):
                yield pfs_pb2.FsckResponse(error=problem)
            for output in self._outputs(connection, request):
                for problem in stale_files(connection, output):
                    yield pfs_pb2.FsckResponse(error=problem)

    def _outputs(self, connection: Any, request: pfs_pb2.FsckRequest) -> Iterator[Commit]:
        """Return the commits whose files are compared with their jobs' datums."""
        if request.HasField("zombie_target"):
            output = get_commit(connection, pfs_convert.given_commit(request, "zombie_target"))
            # The datums are recorded in the meta repo, which only a pipeline has.
            meta = RepoKey(output.repo.project, output.repo.name, META_REPO)
            get_commit(connection, CommitRef(meta, request.zombie_target.branch.name, request.zombie_target.id))
            yield output
        if request.zombie_all:
            rows = connection.execute(
                "SELECT DISTINCT head FROM branches JOIN jobs ON jobs.output = branches.head ORDER BY head"
            ).fetchall()
            yield from (commit_by_pk(connection, row["head"]) for row in rows)
