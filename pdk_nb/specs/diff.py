"""What an update of a pipeline would change: a rendered spec compared with the running pipeline."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.platforms.mldm import normal_form, running_spec

__all__ = ["unified"]


def unified(wanted: Mapping[str, Any], present: pps_pb2.PipelineInfo | None, *, name: str = "rendered") -> str:
    """A unified diff from the running pipeline to a spec; empty when an update would change nothing.

    Args:
        wanted: The spec as Pachyderm's JSON, keys in snake_case or camelCase.
        present: The result of ``InspectPipeline``, with details; None when the pipeline doesn't exist.
        name: Name of the wanted side in the diff.
    """
    request = python_pachyderm.parse_dict_pipeline_spec(dict(wanted))
    new = _lines(normal_form(request))
    old = _lines(normal_form(running_spec(present))) if present is not None else []
    project = request.pipeline.project.name or "default"
    shown = f"{project}/{request.pipeline.name}"
    before = f"cluster: {shown}" + (f" (version {present.version})" if present is not None else " (doesn't exist)")
    return "\n".join(difflib.unified_diff(old, new, before, f"{name}: {shown}", lineterm=""))


def _lines(spec: Mapping[str, Any]) -> list[str]:
    return json.dumps(spec, indent=2, sort_keys=True).splitlines()
