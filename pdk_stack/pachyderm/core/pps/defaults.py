"""Defaults for pipeline specs, per cluster and per project (``src/server/pps/server/defaults.go``).

A spec is merged into its project's defaults, then into the cluster's, and then into the built-in ones. Objects merge
field by field, ``null`` removes a default, and any other value replaces it.

Hand-written, because merge patch libraries don't know that a protobuf field has two names.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pps import lifecycle, pipelines
from pdk_stack.pachyderm.core.pps.inputs import leaves
from pdk_stack.pachyderm.core.pps.pipelines import Pipeline
from pdk_stack.pachyderm.core.pps.specs import DEFAULT_IMAGE, DEFAULT_TRIES, REPROCESS_UNTIL_SUCCESS, complete
from pdk_stack.pachyderm.errors import InvalidArgument
from pdk_stack.pachyderm.names import DEFAULT_PROJECT

FIELD = "createPipelineRequest"
BUILT_IN = {
    "transform": {"image": DEFAULT_IMAGE},
    "outputBranch": "master",
    "datumTries": str(DEFAULT_TRIES),
    "reprocessSpec": REPROCESS_UNTIL_SUCCESS,
}
_CLUSTER = "cluster_defaults"


def _key(project: str | None) -> str:
    return _CLUSTER if project is None else f"project_defaults:{project}"


def stored(connection: sqlite3.Connection, project: str | None) -> str:
    """Return the stored defaults of a project, or of the cluster if None, as they were set."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_key(project),)).fetchone()
    return str(row["value"]) if row else "{}"


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


def read_request(text: str, what: str) -> dict[str, Any]:
    """Return the ``createPipelineRequest`` of defaults as JSON with canonical names.

    Args:
        text: The defaults.
        what: Whose defaults they are, for the error message.

    Raises:
        InvalidArgument: The defaults are invalid.
    """
    try:
        content = json.loads(text or "{}")
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
        unknown = set(content) - {FIELD, "create_pipeline_request"}
        if unknown:
            raise ValueError(f'unknown field "{sorted(unknown)[0]}"')
        given = content.get(FIELD, content.get("create_pipeline_request")) or {}
        request = canonical(given, pps_pb2.CreatePipelineRequest.DESCRIPTOR)
        json_format.ParseDict(merge(BUILT_IN, request), pps_pb2.CreatePipelineRequest())
    except (ValueError, InvalidArgument, json_format.ParseError) as error:
        raise InvalidArgument(f"invalid {what} defaults JSON: {error}") from error
    return request


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

    def effective(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return a spec with all defaults filled in.

        Args:
            spec: The spec as its author wrote it.

        Raises:
            InvalidArgument: The spec has an unknown field.
        """
        own = canonical(spec, pps_pb2.CreatePipelineRequest.DESCRIPTOR)
        project = ((own.get("pipeline") or {}).get("project") or {}).get("name") or DEFAULT_PROJECT
        text = self._projects.get(project)
        ours = read_request(stored(self._connection, project) if text is None else text, "project")
        base = merge(BUILT_IN, read_request(self._cluster, "cluster"))
        return merge(merge(base, ours), own)


def set_defaults(
    change: Change, project: str | None, text: str, *, regenerate: bool, reprocess: bool, dry_run: bool
) -> list[Pipeline]:
    """Set the defaults of a project, or of the cluster if None.

    Args:
        change: The change in progress.
        project: The project, or None.
        text: The defaults, as JSON.
        regenerate: Whether to update the affected pipelines.
        reprocess: Whether the updated pipelines reprocess all datums.
        dry_run: Whether to only return the affected pipelines.

    Returns:
        The affected pipelines.

    Raises:
        InvalidArgument: The defaults are invalid, or ``reprocess`` is set without ``regenerate``.
    """
    if reprocess and not regenerate:
        raise InvalidArgument("reprocess may only be set with regenerate")
    read_request(text, "cluster" if project is None else "project")
    connection = change.connection
    defaults = Defaults(connection, text if project is None else None, {project: text} if project else None)
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
            spec.update, spec.reprocess = True, reprocess
            lifecycle.create(change, spec, pipeline.user_spec)
    return [pipeline for pipeline, _ in affected]


def _changed(pipeline: Pipeline, defaults: Defaults) -> pps_pb2.CreatePipelineRequest | None:
    """Return a pipeline's spec under other defaults; None if it doesn't change."""
    user = json.loads(pipeline.user_spec or "{}") or json_format.MessageToDict(pipeline.request)
    spec = pps_pb2.CreatePipelineRequest()
    json_format.ParseDict(defaults.effective(user), spec)
    completed = complete(spec)
    before = pipeline.request
    for each in (completed, before):
        each.ClearField("salt")
        for leaf in leaves(each.input):
            if isinstance(leaf, pps_pb2.CronInput):
                leaf.ClearField("start")
    return None if completed == before else spec
