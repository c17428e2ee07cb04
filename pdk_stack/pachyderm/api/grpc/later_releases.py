"""Calls of Pachyderm 2.8 to 2.10 that the client library's descriptors (2.7.0) lack."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert, pps_convert
from pdk_stack.pachyderm.api.grpc.access import AccessControl
from pdk_stack.pachyderm.api.grpc.dispatch import Call, tolerant, unary
from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from pdk_stack.pachyderm.core.pfs import commit_sets, repos
from pdk_stack.pachyderm.core.pfs.lookup import get_commit
from pdk_stack.pachyderm.core.pps import defaults, lifecycle, pipelines
from pdk_stack.pachyderm.errors import Fault, wrapped
from pdk_stack.pachyderm.names import DEFAULT_PROJECT


class LaterCalls:
    """The calls of later releases.

    Args:
        pps: The PPS calls, which create the pipelines.
    """

    def __init__(self, pps: Any) -> None:
        self._pps = pps
        self._engine = pps.context.engine

    def CreatePipelineV2(self, request: Any, call: Call) -> Any:
        spec = self._pps.create_from_json(
            call,
            request.create_pipeline_request_json,
            update=request.update,
            reprocess=request.reprocess,
            dry_run=request.dry_run,
        )
        return MESSAGES["CreatePipelineV2Response"](
            effective_create_pipeline_request_json=json.dumps(json_format.MessageToDict(spec))
        )

    def RerunPipeline(self, request: Any, call: Call) -> Any:
        with self._engine.change() as change:
            name = request.pipeline
            project = f"{name.project.name}/" if name.project.name else ""
            with wrapped(f'inspect pipeline "{project}{name.name}"'):
                found = pipelines.get_pipeline(change.connection, name.project.name, name.name)
            spec = found.request
            if found.effective_spec:
                spec = json_format.Parse(found.effective_spec, pps_pb2.CreatePipelineRequest())
            spec.update, spec.reprocess = True, request.reprocess
            lifecycle.create(change, spec, found.user_spec, found.effective_spec)

    def GetClusterDefaults(self, request: Any, call: Call) -> Any:
        with self._engine.read() as connection:
            return MESSAGES["GetClusterDefaultsResponse"](cluster_defaults_json=defaults.stored(connection, None))

    def GetProjectDefaults(self, request: Any, call: Call) -> Any:
        with self._engine.read() as connection:
            found = repos.get_project(connection, request.project.name or DEFAULT_PROJECT)
            text = defaults.stored(connection, found.name)
        return MESSAGES["GetProjectDefaultsResponse"](project_defaults_json=text)

    def SetClusterDefaults(self, request: Any, call: Call) -> Any:
        return self._set_defaults("SetClusterDefaultsResponse", None, request.cluster_defaults_json, request)

    def SetProjectDefaults(self, request: Any, call: Call) -> Any:
        with self._engine.read() as connection:
            project = repos.get_project(connection, request.project.name or DEFAULT_PROJECT)
        return self._set_defaults("SetProjectDefaultsResponse", project.name, request.project_defaults_json, request)

    def _set_defaults(self, response: str, project: str | None, text: str, request: Any) -> Any:
        with self._engine.change() as change:
            affected = defaults.set_defaults(
                change,
                project,
                text,
                regenerate=request.regenerate,
                reprocess=request.reprocess,
                dry_run=request.dry_run,
            )
        names = [pps_convert.pipeline_name(each.project, each.name) for each in affected]
        return MESSAGES[response](affected_pipelines=names)

    def SquashCommit(self, request: Any, call: Call) -> None:
        self._remove(request, drop=False)

    def DropCommit(self, request: Any, call: Call) -> None:
        self._remove(request, drop=True)

    def _remove(self, request: Any, *, drop: bool) -> None:
        with self._engine.change() as change:
            if not request.HasField("commit"):
                raise Fault("cannot resolve nil commit")
            if not request.commit.HasField("repo"):
                raise Fault("cannot resolve commit with no repo")
            commit = get_commit(change.connection, pfs_convert.read_commit(request.commit))
            commit_sets.remove_commit(change, commit, recursive=request.recursive, drop=drop)


# By service and call: request and response.
CALLS: dict[str, dict[str, tuple[str, str]]] = {
    "pps_v2.API": {
        "CreatePipelineV2": ("CreatePipelineV2Request", "CreatePipelineV2Response"),
        "RerunPipeline": ("RerunPipelineRequest", "Empty"),
        "GetClusterDefaults": ("GetClusterDefaultsRequest", "GetClusterDefaultsResponse"),
        "SetClusterDefaults": ("SetClusterDefaultsRequest", "SetClusterDefaultsResponse"),
        "SetProjectDefaults": ("SetProjectDefaultsRequest", "SetProjectDefaultsResponse"),
        "GetProjectDefaults": ("GetProjectDefaultsRequest", "GetProjectDefaultsResponse"),
    },
    "pfs_v2.API": {
        "SquashCommit": ("SquashCommitRequest", "Empty"),
        "DropCommit": ("DropCommitRequest", "Empty"),
    },
}


def later_handlers(calls: LaterCalls, access: AccessControl) -> list[grpc.GenericRpcHandler]:
    """Build the handlers for all calls of this module."""
    found = []
    for service, methods in CALLS.items():
        table = {}
        for name, (request, response) in methods.items():
            behaviour: Callable[..., Any] = unary(f"/{service}/{name}", access, getattr(calls, name))
            table[name] = grpc.unary_unary_rpc_method_handler(
                behaviour,
                request_deserializer=tolerant(MESSAGES[request].FromString),
                response_serializer=MESSAGES.get(response, empty_pb2.Empty).SerializeToString,
            )
        found.append(grpc.method_handlers_generic_handler(service, table))
    return found
