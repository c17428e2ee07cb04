"""Defaults for pipeline specs, per cluster and per project (``src/server/pps/server/defaults.go``).

A spec is merged into its project's defaults, then into the cluster's, and then into the built-in ones. Objects merge
field by field, ``null`` removes a default, and any other value replaces it.

Hand-written, because merge patch libraries don't know that a protobuf field has two names.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs import repos
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pps import lifecycle, pipelines
from pdk_stack.pachyderm.core.pps.go_json import compact, parse_message
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline
from pdk_stack.pachyderm.core.pps.specs import (
    DEFAULT_IMAGE,
    DEFAULT_TRIES,
    REPROCESS_UNTIL_SUCCESS,
    validate_merged,
)
from pdk_stack.pachyderm.errors import Fault, InvalidArgument, wrapped
from pdk_stack.pachyderm.names import DEFAULT_PROJECT

FIELD = "createPipelineRequest"
BUILT_IN = {
    "transform": {"image": DEFAULT_IMAGE},
    "outputBranch": "master",
    "datumTries": str(DEFAULT_TRIES),
    "reprocessSpec": REPROCESS_UNTIL_SUCCESS,
}
_REQUESTS = {"cpu": 1, "memory": "256Mi", "disk": "1Gi"}
#: The defaults of a new cluster (``synthesizeClusterDefaults`` in ``src/internal/clusterstate/v2.8.0``).
NEW_CLUSTER = json.dumps(
    {FIELD: {"resourceRequests": _REQUESTS, "sidecarResourceRequests": _REQUESTS}}, separators=(",", ":")
)
_CLUSTER = "cluster_defaults"


@dataclass(frozen=True)
class EffectiveSpec:
    """A spec merged into the defaults.

    Attributes:
        text: The spec as JSON.
        request: The spec.
    """

    text: str
    request: pps_pb2.CreatePipelineRequest


def _key(project: str | None) -> str:
    return _CLUSTER if project is None else f"project_defaults:{project}"


def stored(connection: sqlite3.Connection, project: str | None) -> str:
    """Return the stored defaults of a project, or of the cluster if None, as they were set."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_key(project),)).fetchone()
    if row is not None:
        return str(row["value"])
    return NEW_CLUSTER if project is None else "{}"


def forget(connection: sqlite3.Connection, project: str) -> None:
    """Delete the defaults of a deleted project."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_key(project),))


def canonical(content: Mapping[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Convert a message in JSON to canonical field names, so that two messages can be merged.

    Raises:
        InvalidArgument: The message type lacks one of the fields.
    """
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    found: dict[str, Any] = {}
    for name, value in content.items():
        field = fields.get(name)
        if field is None:
            raise InvalidArgument(f'unexpected field "{name}" in {descriptor.full_name}')
        found[field.json_name] = _canonical_value(value, field)
    return found


def _canonical_value(value: Any, field: FieldDescriptor) -> Any:
    kind = field.message_type
    if kind is None or kind.GetOptions().map_entry or kind.full_name.startswith("google.protobuf."):
        return value
    if isinstance(value, list):
        return [canonical(each, kind) if isinstance(each, Mapping) else each for each in value]
    return canonical(value, kind) if isinstance(value, Mapping) else value


def merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396)."""
    found = dict(base)
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping):
            old = found.get(name)
            found[name] = merge(old if isinstance(old, Mapping) else {}, value)
        else:
            found[name] = value
    return found


def _request(text: str) -> dict[str, Any]:
    """Return the ``createPipelineRequest`` of defaults as JSON with canonical names.

    Raises:
        Fault: The defaults are invalid.
    """
    try:
        content = json.loads(text or "{}")
    except ValueError as error:
        raise Fault(f"could not unmarshal {json.dumps(text)} as JSON") from error
    if not isinstance(content, Mapping):
        raise Fault("expected an object for pps_v2.ClusterDefaults")
    for name in content:
        if name not in (FIELD, "create_pipeline_request"):
            raise Fault(f'unexpected field "{name}" in pps_v2.ClusterDefaults')
    given = content.get(FIELD, content.get("create_pipeline_request")) or {}
    return canonical(given, pps_pb2.CreatePipelineRequest.DESCRIPTOR)


class Defaults:
    """The effective defaults, with optional replacements.

    Args:
        connection: The connection to read from.
        cluster: The cluster's defaults; None means the stored ones.
        projects: Replacements for some projects' defaults; other projects use the stored ones.
    """

    def __init__(
        self, connection: sqlite3.Connection, cluster: str | None = None, projects: Mapping[str, str] | None = None
    ) -> None:
        self._connection = connection
        self._cluster = stored(connection, None) if cluster is None else cluster
        self._projects = projects or {}

    def effective(self, text: str) -> EffectiveSpec:
        """Return a spec with all defaults filled in.

        Args:
            text: The spec as its author wrote it, as JSON.

        Raises:
            InvalidArgument: The spec, or a default that it takes over, is invalid, or its project doesn't exist.
        """
        try:
            with wrapped("could not make effective spec"):
                with wrapped(f"could not parse {text} as Create Pipeline Request message"):
                    given = parse_message(text, pps_pb2.CreatePipelineRequest())
                project = given.pipeline.project.name or DEFAULT_PROJECT
                words = f"could not get defaults for project {project}"
                with wrapped(words), wrapped(words):
                    repos.get_project(self._connection, project)
                return self.merged(project, json.loads(text))
        except Fault as error:
            raise InvalidArgument(error.message) from error

    def merged(self, project: str, spec: Mapping[str, Any]) -> EffectiveSpec:
        """Merge a spec into the defaults of its project.

        Args:
            project: The project.
            spec: The spec, as parsed JSON.

        Raises:
            Fault: The spec or a default is invalid.
        """
        found = merge(BUILT_IN, _request(self._cluster))
        ours = self._projects.get(project)
        found = merge(found, _request(stored(self._connection, project) if ours is None else ours))
        found = merge(found, canonical(spec, pps_pb2.CreatePipelineRequest.DESCRIPTOR))
        text = compact(found)
        request = pps_pb2.CreatePipelineRequest()
        try:
            json_format.ParseDict(found, request)
        except json_format.ParseError as error:
            raise Fault(f"could not unmarshal effective spec {text}: {error}") from error
        with wrapped(f"invalid effective spec {text}"):
            validate_merged(request)
        return EffectiveSpec(text, request)


def set_defaults(
    change: Change, project: str | None, text: str, *, regenerate: bool, reprocess: bool, dry_run: bool
) -> list[Pipeline]:
    """Set the defaults of a project, or of the cluster if None.

    Args:
        change: The change in progress.
        project: The project, or None.
        text: The defaults, as JSON.
        regenerate: Whether to update the affected pipelines.
        reprocess: Whether the updated pipelines reprocess all datums; has no effect without ``regenerate``.
        dry_run: Whether to only return the affected pipelines.

    Returns:
        The affected pipelines.

    Raises:
        InvalidArgument: The defaults are invalid.
    """
    connection = change.connection
    defaults = Defaults(connection, text if project is None else None, {project: text} if project else None)
    _check(connection, defaults, project, text)
    affected = []
    if regenerate:
        wanted = () if project is None else (project,)
        affected = [
            (pipeline, spec)
            for pipeline in pipelines.list_pipelines(connection, wanted)
            if (spec := _changed(pipeline, defaults)) is not None
        ]
    if not dry_run:
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_key(project), text))
        for pipeline, spec in affected:
            spec.request.update, spec.request.reprocess = True, reprocess
            lifecycle.create(change, spec.request, pipeline.user_spec, spec.text)
    return [pipeline for pipeline, _ in affected]


def _check(connection: sqlite3.Connection, defaults: Defaults, project: str | None, text: str) -> None:
    try:
        if project is None:
            # The words of an error here stay the server's own: its answer doesn't have them.
            _request(text)
    except Fault as error:
        raise InvalidArgument("invalid cluster defaults JSON") from error
    try:
        defaults.merged(project or DEFAULT_PROJECT, {})
    except Fault as error:
        if project is None:
            into = f"built-in defaults {compact({FIELD: BUILT_IN})}"
            raise InvalidArgument(f"could not merge cluster defaults {text} into {into}") from error
        into = f"cluster defaults {stored(connection, None)}"
        raise InvalidArgument(f"could not merge project defaults {text} into {into}") from error


def _changed(pipeline: Pipeline, defaults: Defaults) -> EffectiveSpec | None:
    """Return a pipeline's spec under other defaults; None if it doesn't change."""
    user = pipeline.user_spec or compact(json_format.MessageToDict(pipeline.request))
    spec = defaults.effective(user)
    before = json_format.Parse(pipeline.effective_spec or user, pps_pb2.CreatePipelineRequest())
    return None if before == spec.request else spec
