"""PFS calls about file sets, and the cache that can refer to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.uploads import receive
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import filesets
from pdk_stack.pachyderm.core.pfs.cache import Cache
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.store.blobs import insert_locations


class FileSetCalls:
    """Calls about file sets and the cache."""

    engine: Engine
    cache: Cache

    def CreateFileSet(self, requests: Iterator[Any], call: Call) -> pfs_pb2.CreateFileSetResponse:
        with self.engine.upload() as upload:
            receive(self.engine, requests, upload)
            upload.seal()
            with self.engine.database.write() as connection:
                insert_locations(connection, upload.pack.locations)
                key = filesets.create(connection, upload.changes)
        return pfs_pb2.CreateFileSetResponse(file_set_id=key)

    def GetFileSet(self, request: pfs_pb2.GetFileSetRequest, call: Call) -> pfs_pb2.CreateFileSetResponse:
        ref = pfs_convert.given_commit(request)
        with self.engine.database.write() as connection:
            commit = get_commit(connection, ref)
            return pfs_pb2.CreateFileSetResponse(file_set_id=filesets.of_commit(connection, commit))

    def AddFileSet(self, request: pfs_pb2.AddFileSetRequest, call: Call) -> None:
        ref = pfs_convert.given_commit(request)
        call.may_write(ref.repo)
        with self.engine.change() as change:
            filesets.add_to_commit(change, ref, request.file_set_id)

    def RenewFileSet(self, request: pfs_pb2.RenewFileSetRequest, call: Call) -> None:
        with self.engine.database.write() as connection:
            filesets.renew(connection, request.file_set_id, request.ttl_seconds)

    def ComposeFileSet(self, request: pfs_pb2.ComposeFileSetRequest, call: Call) -> pfs_pb2.CreateFileSetResponse:
        with self.engine.database.write() as connection:
            key = filesets.compose(connection, list(request.file_set_ids), request.ttl_seconds)
        return pfs_pb2.CreateFileSetResponse(file_set_id=key)

    def PutCache(self, request: pfs_pb2.PutCacheRequest, call: Call) -> None:
        for each in request.file_set_ids:
            filesets.check_id(each)
        self.cache.put(request.key, request.value.SerializeToString(), request.tag)

    def GetCache(self, request: pfs_pb2.GetCacheRequest, call: Call) -> pfs_pb2.GetCacheResponse:
        answer = pfs_pb2.GetCacheResponse()
        answer.value.ParseFromString(self.cache.get(request.key))
        return answer

    def ClearCache(self, request: pfs_pb2.ClearCacheRequest, call: Call) -> None:
        self.cache.clear(request.tag_prefix)

    def ShardFileSet(self, request: pfs_pb2.ShardFileSetRequest, call: Call) -> pfs_pb2.ShardFileSetResponse:
        with self.engine.read() as connection:
            found = filesets.shards(connection, request.file_set_id)
        return pfs_pb2.ShardFileSetResponse(
            shards=[pfs_pb2.PathRange(lower=lower, upper=upper) for lower, upper in found]
        )
