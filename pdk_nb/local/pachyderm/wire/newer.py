"""Calls of Pachyderm 2.8 to 2.10 that the client library's descriptors (2.7.0) do not have.

Their messages are described here, with the field numbers of ``src/pfs/pfs.proto`` and ``src/pps/pps.proto`` at
v2.10.0. Only numbers go over the wire, so the messages live in a package of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, json_format, symbol_database
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.local.pachyderm.faults import Fault
from pdk_nb.local.pachyderm.names import DEFAULT_PROJECT
from pdk_nb.local.pachyderm.pfs import commit_sets, repos
from pdk_nb.local.pachyderm.pfs.lookup import get_commit
from pdk_nb.local.pachyderm.pps import pipelines
from pdk_nb.local.pachyderm.pps.specs import complete
from pdk_nb.local.pachyderm.wire import convert
from pdk_nb.local.pachyderm.wire.dispatch import Call, Gate, unary

_Field = descriptor_pb2.FieldDescriptorProto
_TEXT, _FLAG = _Field.TYPE_STRING, _Field.TYPE_BOOL
_PROJECT, _COMMIT, _INFO = ".pfs_v2.Project", ".pfs_v2.Commit", ".pfs_v2.ProjectInfo"
_PIPELINE = ".pps_v2.Pipeline"

# Message by name: field by name, as (number, type).
_MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "CreatePipelineV2Request": {
        "create_pipeline_request_json": (1, _TEXT),
        "dry_run": (2, _FLAG),
        "update": (3, _FLAG),
        "reprocess": (4, _FLAG),
    },
    "CreatePipelineV2Response": {"effective_create_pipeline_request_json": (1, _TEXT)},
    "RerunPipelineRequest": {"pipeline": (1, _PIPELINE), "reprocess": (15, _FLAG)},
    "GetClusterDefaultsRequest": {},
    "GetClusterDefaultsResponse": {"cluster_defaults_json": (2, _TEXT)},
    "GetProjectDefaultsRequest": {"project": (1, _PROJECT)},
    "GetProjectDefaultsResponse": {"project_defaults_json": (1, _TEXT)},
    "InspectProjectV2Request": {"project": (1, _PROJECT)},
    "InspectProjectV2Response": {"info": (1, _INFO), "defaults_json": (2, _TEXT)},
    "SquashCommitRequest": {"commit": (1, _COMMIT), "recursive": (2, _FLAG)},
    "DropCommitRequest": {"commit": (1, _COMMIT), "recursive": (2, _FLAG)},
    "Nothing": {},
}


def _describe() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="pdk_lab/newer_pachyderm.proto", package="pdk_lab.newer_pachyderm", syntax="proto3"
    )
    file.dependency.extend([pfs_pb2.DESCRIPTOR.name, pps_pb2.DESCRIPTOR.name])
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            added = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
            if isinstance(kind, str):
                added.type, added.type_name = _Field.TYPE_MESSAGE, kind
            else:
                added.type = kind
    database = symbol_database.Default()
    pool = database.pool
    pool.Add(file)
    return {name: database.GetPrototype(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in _MESSAGES}


MESSAGES = _describe()


class NewerCalls:
    """The calls.

    Args:
        pps: The PPS calls, whose pipelines these create.
    """

    def __init__(self, pps: Any) -> None:
        self._pps = pps
        self._engine = pps.context.engine

    def CreatePipelineV2(self, request: Any, call: Call) -> Any:
        text = request.create_pipeline_request_json
        try:
            content = json.loads(text)
            spec = json_format.ParseDict(content, pps_pb2.CreatePipelineRequest())
        except (ValueError, json_format.ParseError) as error:
            raise Fault(f"malformed pipeline spec: {error}") from error
        spec.update, spec.reprocess, spec.dry_run = request.update, request.reprocess, request.dry_run
        self._pps.CreatePipeline(spec, call)
        effective = complete(spec)
        for name in ("update", "reprocess", "dry_run"):
            effective.ClearField(name)
        return MESSAGES["CreatePipelineV2Response"](
            effective_create_pipeline_request_json=json.dumps(json_format.MessageToDict(effective))
        )

    def RerunPipeline(self, request: Any, call: Call) -> Any:
        with self._engine.change() as change:
            name = request.pipeline
            found = pipelines.get_pipeline(change.connection, name.project.name, name.name)
            spec = pipelines.request_of(found)
            spec.update, spec.reprocess = True, request.reprocess
            pipelines.create(change, spec, found.user_spec)
        return MESSAGES["Nothing"]()

    def GetClusterDefaults(self, request: Any, call: Call) -> Any:
        return MESSAGES["GetClusterDefaultsResponse"](cluster_defaults_json='{"createPipelineRequest": {}}')

    def GetProjectDefaults(self, request: Any, call: Call) -> Any:
        with self._engine.read() as connection:
            repos.get_project(connection, request.project.name or DEFAULT_PROJECT)
        return MESSAGES["GetProjectDefaultsResponse"](project_defaults_json='{"createPipelineRequest": {}}')

    def InspectProjectV2(self, request: Any, call: Call) -> Any:
        with self._engine.read() as connection:
            found = repos.get_project(connection, request.project.name or DEFAULT_PROJECT)
        return MESSAGES["InspectProjectV2Response"](
            info=convert.project_info(found), defaults_json='{"createPipelineRequest": {}}'
        )

    def SquashCommit(self, request: Any, call: Call) -> Any:
        with self._engine.change() as change:
            commit = get_commit(change.connection, convert.read_commit(request.commit))
            commit_sets.remove_commit(change, commit, recursive=request.recursive, drop=False)
        return MESSAGES["Nothing"]()

    def DropCommit(self, request: Any, call: Call) -> Any:
        with self._engine.change() as change:
            commit = get_commit(change.connection, convert.read_commit(request.commit))
            commit_sets.remove_commit(change, commit, recursive=request.recursive, drop=True)
        return MESSAGES["Nothing"]()


# Call by service: request and response.
CALLS: dict[str, dict[str, tuple[str, str]]] = {
    "pps_v2.API": {
        "CreatePipelineV2": ("CreatePipelineV2Request", "CreatePipelineV2Response"),
        "RerunPipeline": ("RerunPipelineRequest", "Nothing"),
        "GetClusterDefaults": ("GetClusterDefaultsRequest", "GetClusterDefaultsResponse"),
        "GetProjectDefaults": ("GetProjectDefaultsRequest", "GetProjectDefaultsResponse"),
    },
    "pfs_v2.API": {
        "InspectProjectV2": ("InspectProjectV2Request", "InspectProjectV2Response"),
        "SquashCommit": ("SquashCommitRequest", "Nothing"),
        "DropCommit": ("DropCommitRequest", "Nothing"),
    },
}


def newer_handlers(calls: NewerCalls, gate: Gate) -> list[grpc.GenericRpcHandler]:
    """Handlers for all calls of this module."""
    found = []
    for service, methods in CALLS.items():
        table = {}
        for name, (request, response) in methods.items():
            behaviour: Callable[..., Any] = unary(f"/{service}/{name}", gate, getattr(calls, name))
            table[name] = grpc.unary_unary_rpc_method_handler(
                behaviour,
                request_deserializer=MESSAGES[request].FromString,
                response_serializer=MESSAGES[response].SerializeToString,
            )
        found.append(grpc.method_handlers_generic_handler(service, table))
    return found
