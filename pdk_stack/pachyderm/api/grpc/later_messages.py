"""Messages of Pachyderm 2.8 to 2.10 that the client library's descriptors (2.7.0) lack, or know without some fields.

Field numbers come from ``src/pfs/pfs.proto`` and ``src/pps/pps.proto`` at v2.10.0. Only numbers go over the wire, so
the messages can have a package of their own.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, symbol_database
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_TEXT, _FLAG = _Field.TYPE_STRING, _Field.TYPE_BOOL
_PROJECT, _COMMIT = ".pfs_v2.Project", ".pfs_v2.Commit"
_PIPELINE = ".pps_v2.Pipeline"

# Fields by message name, each as (number, type); a star before the type marks a repeated field.
_MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "CreatePipelineV2Request": {
        "create_pipeline_request_json": (1, _TEXT),
        "dry_run": (2, _FLAG),
        "update": (3, _FLAG),
        "reprocess": (4, _FLAG),
    },
    "CreatePipelineV2Response": {"effective_create_pipeline_request_json": (1, _TEXT)},
    "RerunPipelineRequest": {"pipeline": (1, _PIPELINE), "reprocess": (15, _FLAG)},
    "DeletePipelineRequest": {
        "pipeline": (1, _PIPELINE),
        "all": (2, _FLAG),
        "force": (3, _FLAG),
        "keep_repo": (4, _FLAG),
        "must_exist": (5, _FLAG),
    },
    "StopPipelineRequest": {"pipeline": (1, _PIPELINE), "must_exist": (2, _FLAG)},
    "PipelineInfo": {"effective_spec_json": (14, _TEXT)},
    "GetClusterDefaultsRequest": {},
    "GetClusterDefaultsResponse": {"cluster_defaults_json": (2, _TEXT)},
    "SetClusterDefaultsRequest": {
        "regenerate": (2, _FLAG),
        "reprocess": (3, _FLAG),
        "dry_run": (4, _FLAG),
        "cluster_defaults_json": (5, _TEXT),
    },
    "SetClusterDefaultsResponse": {"affected_pipelines": (2, f"*{_PIPELINE}")},
    "GetProjectDefaultsRequest": {"project": (1, _PROJECT)},
    "SetProjectDefaultsRequest": {
        "project": (1, _PROJECT),
        "regenerate": (2, _FLAG),
        "reprocess": (3, _FLAG),
        "dry_run": (4, _FLAG),
        "project_defaults_json": (5, _TEXT),
    },
    "SetProjectDefaultsResponse": {"affected_pipelines": (1, f"*{_PIPELINE}")},
    "GetProjectDefaultsResponse": {"project_defaults_json": (1, _TEXT)},
    "DeleteRepoResponse": {"deleted": (1, _FLAG)},
    "SquashCommitRequest": {"commit": (1, _COMMIT), "recursive": (2, _FLAG)},
    "DropCommitRequest": {"commit": (1, _COMMIT), "recursive": (2, _FLAG)},
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
                added.type, added.type_name = _Field.TYPE_MESSAGE, kind.lstrip("*")
                added.label = _Field.LABEL_REPEATED if kind.startswith("*") else _Field.LABEL_OPTIONAL
            else:
                added.type = kind
    database = symbol_database.Default()
    pool = database.pool
    pool.Add(file)
    return {name: database.GetPrototype(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in _MESSAGES}


MESSAGES = _describe()
