"""Pachyderm's pipelines."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import python_pachyderm
from google.protobuf import json_format
from python_pachyderm.proto.v2.enterprise import enterprise_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.platforms.creating import create_or_accept
from pdk_nb.platforms.mldm._errors import api_errors
from pdk_nb.platforms.mldm._repos import Outcome
from pdk_nb.platforms.mldm._specs import normal_form, running_spec
from pdk_shared.errors import NotFound, SpecError

# Without an activation key (``src/server/enterprise/limits`` of Pachyderm 2.8).
PIPELINE_LIMIT = 16
PIPELINE_STATES = {value: name.removeprefix("PIPELINE_") for name, value in pps_pb2.PipelineState.items()}


class PipelineState(NamedTuple):
    """State of a pipeline: ``RUNNING``, ``STANDBY``, ``CRASHING``, ``FAILURE`` …, and why."""

    state: str
    reason: str


def ensure_pipeline(client: python_pachyderm.Client, spec: Mapping[str, Any]) -> Outcome:
    """Create a pipeline, or update it when its spec has changed.

    Args:
        client: A client.
        spec: The spec as Pachyderm's JSON, keys in snake_case or camelCase.

    Raises:
        SpecError: Pachyderm refuses the spec.
    """
    wanted = python_pachyderm.parse_dict_pipeline_spec(dict(spec))
    name, project = wanted.pipeline.name, wanted.pipeline.project.name
    fix = "Correct the spec; `pachctl create pipeline -f` gives the same answer."

    @api_errors(f"pipeline {project}/{name}", "Pachyderm refuses the pipeline", SpecError, fix)
    def put(update: bool) -> None:
        wanted.update = update
        client.create_pipeline_from_request(wanted)

    current, created = create_or_accept(lambda: pipeline_info(client, project, name), lambda: put(False))
    if created:
        return "created"
    if current is not None and normal_form(wanted) == normal_form(running_spec(current)):
        return "unchanged"
    put(True)
    return "updated"


def pipeline_info(client: python_pachyderm.Client, project: str, pipeline: str) -> pps_pb2.PipelineInfo | None:
    """A pipeline with its details; None when there is none."""
    with contextlib.suppress(NotFound), api_errors(f"pipeline {project}/{pipeline}"):
        return next(iter(client.inspect_pipeline(pipeline, details=True, project_name=project)))
    return None


def pipeline_spec(client: python_pachyderm.Client, project: str, pipeline: str) -> dict[str, Any]:
    """The spec of a pipeline as plain data, with the keys of ``pachctl inspect pipeline --raw``; empty without one."""
    info = pipeline_info(client, project, pipeline)
    if info is None:
        return {}
    return dict(json_format.MessageToDict(running_spec(info), preserving_proto_field_name=True))


def pipeline_command(client: python_pachyderm.Client, project: str, pipeline: str) -> str:
    """The shell lines that a pipeline runs; empty when there is no such pipeline."""
    info = pipeline_info(client, project, pipeline)
    return "\n".join(info.details.transform.stdin) if info is not None else ""


def pipeline_input(client: python_pachyderm.Client, project: str, pipeline: str) -> str:
    """The repo whose commits start a pipeline; empty when there is no such pipeline."""
    info = pipeline_info(client, project, pipeline)
    return str(info.details.input.pfs.repo) if info is not None else ""


def limit_room(client: python_pachyderm.Client) -> int | None:
    """How many more pipelines the installation may have; None when it is activated and has no limit.

    Pachyderm counts different names in all projects, and updates are always allowed (``validateEnterpriseChecks`` in
    ``src/server/pps/server/api_server.go`` of 2.8.10).
    """
    with api_errors("the enterprise state"):
        if client.get_enterprise_state().state == enterprise_pb2.ACTIVE:
            return None
        return PIPELINE_LIMIT - len({info.pipeline.name for info in client.list_pipeline(details=False)})


def _list(client: python_pachyderm.Client, project: str, *, details: bool = False) -> list[pps_pb2.PipelineInfo]:
    with api_errors(f"project {project}"):
        return [info for info in client.list_pipeline(details=details) if info.pipeline.project.name == project]


def pipelines(client: python_pachyderm.Client, project: str) -> dict[str, PipelineState]:
    """State and reason of each pipeline of a project, by name."""
    return {
        info.pipeline.name: PipelineState(PIPELINE_STATES.get(info.state, str(info.state)), info.reason)
        for info in _list(client, project)
    }


def images(client: python_pachyderm.Client, project: str) -> dict[str, str]:
    """Image of each pipeline of a project, by the pipeline's name."""
    return {info.pipeline.name: info.details.transform.image for info in _list(client, project, details=True)}
