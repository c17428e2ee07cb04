"""Pipeline specs in one form, to compare a wanted spec with the running pipeline.

An update replaces the whole spec: a field that the new spec omits returns to Pachyderm's default. So both specs are
converted to one form, with the defaults filled in and without the values that the server adds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format
from python_pachyderm.proto.v2.pps import pps_pb2

# Options of the request and values that the server generates; they are not part of a pipeline.
NOT_COMPARED = ("update", "reprocess", "salt", "spec_commit", "details_json", "dry_run")
# ``setPipelineDefaults`` in Pachyderm's src/server/pps/server/api_server.go.
DEFAULTS = {"output_branch": "master", "datum_tries": 3, "reprocess_spec": "until_success"}
DEFAULT_IMAGE, DEFAULT_PROJECT, DEFAULT_BRANCH = "ubuntu:20.04", "default", "master"


def running_spec(info: pps_pb2.PipelineInfo) -> pps_pb2.CreatePipelineRequest:
    """The request that gives the pipeline that runs.

    Args:
        info: As ``InspectPipeline`` gives it, with details.
    """
    # Field 13 is the spec as its author wrote it, from Pachyderm 2.8 on; before, the details are all there is.
    written = info.details_json
    if written:
        try:
            content = json.loads(written)
        except ValueError:
            content = None
        if isinstance(content, dict) and {"pipeline", "transform"} <= set(content):
            request: pps_pb2.CreatePipelineRequest = json_format.ParseDict(
                content, pps_pb2.CreatePipelineRequest(), ignore_unknown_fields=True
            )
            return request
    request = pps_pb2.CreatePipelineRequest(pipeline=info.pipeline)
    known = {field.name for field in request.DESCRIPTOR.fields} - set(NOT_COMPARED)
    for field, value in info.details.ListFields():
        if field.name not in known:
            continue
        if field.label == field.LABEL_REPEATED:
            getattr(request, field.name).extend(value)
        elif field.message_type is not None:
            getattr(request, field.name).CopyFrom(value)
        else:
            setattr(request, field.name, value)
    return request


def _inputs(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The ``pfs`` and ``cron`` inputs in a pipeline's input."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in ("pfs", "cron") and isinstance(each, dict):
                yield key, each
            else:
                yield from _inputs(each)
    elif isinstance(value, list):
        for each in value:
            yield from _inputs(each)


def normal_form(request: pps_pb2.CreatePipelineRequest) -> dict[str, Any]:
    """A spec as plain data with snake_case keys, Pachyderm's defaults filled in, comparable with ``==``."""
    spec: dict[str, Any] = json_format.MessageToDict(request, preserving_proto_field_name=True)
    for name in NOT_COMPARED:
        spec.pop(name, None)
    project = spec.get("pipeline", {}).setdefault("project", {}).setdefault("name", DEFAULT_PROJECT)
    spec.setdefault("transform", {}).setdefault("image", DEFAULT_IMAGE)
    for kind, leaf in _inputs(spec.get("input")):
        leaf.setdefault("project", project)
        # A commit or the time of the first tick is the server's; the spec does not name it.
        leaf.pop("commit", None)
        if kind == "pfs":
            leaf.setdefault("branch", DEFAULT_BRANCH)
            leaf.setdefault("repo_type", "user")
            leaf.setdefault("name", leaf.get("repo", ""))
    # 64-bit integers are texts in protobuf's JSON.
    spec = {key: int(value) if key == "datum_tries" else value for key, value in spec.items()}
    if isinstance(spec.get("pod_patch"), str):
        with contextlib.suppress(ValueError):
            spec["pod_patch"] = json.loads(spec["pod_patch"])
    return {**DEFAULTS, **spec}
