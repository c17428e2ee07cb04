"""Pipelines as they are kept: finding and listing them, their versions and states."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs.lookup import find_commit
from pdk_stack.pachyderm.core.pfs.types import META_REPO, BranchKey, RepoKey
from pdk_stack.pachyderm.core.pps.inputs import spec_branch
from pdk_stack.pachyderm.core.pps.specs import request_of
from pdk_stack.pachyderm.errors import NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT

Details: TypeAlias = pps_pb2.PipelineInfo.Details


@dataclass(frozen=True)
class Pipeline:
    """A pipeline in one of its versions.

    Attributes:
        pk: Its key in the database.
        version: Counts updates, from 1.
        state: A ``PipelineState``.
        reason: Why it is in that state, where that needs saying.
        spec_commit: Id of the commit that holds this version's spec.
        details: The complete spec.
    """

    pk: int
    project: str
    name: str
    version: int
    state: int
    reason: str
    stopped: bool
    spec_commit: str
    details: Details
    user_spec: str

    @property
    def output(self) -> BranchKey:
        """The branch that it writes."""
        return BranchKey(RepoKey(self.project, self.name), self.details.output_branch)

    @property
    def meta(self) -> BranchKey:
        """The branch that records its datums."""
        return BranchKey(RepoKey(self.project, self.name, META_REPO), self.details.output_branch)

    @property
    def is_spout(self) -> bool:
        """Whether its code runs without input and writes whenever it has something."""
        return bool(self.details.HasField("spout"))

    @property
    def fed(self) -> tuple[BranchKey, ...]:
        """The branches that follow the inputs: the output, and for a transform the record of its datums."""
        if self.is_spout or self.details.HasField("service"):
            return (self.output,)
        return (self.output, self.meta)

    @property
    def request(self) -> pps_pb2.CreatePipelineRequest:
        """The spec that would create it as it is."""
        return request_of(self.project, self.name, self.details)

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


_SELECT = """
    SELECT pipelines.id AS pk, project, name, pipeline_versions.version, state, reason, stopped, spec_commit,
           details, user_spec
    FROM pipelines JOIN pipeline_versions ON pipeline_versions.pipeline = pipelines.id
"""


def _pipeline(row: sqlite3.Row) -> Pipeline:
    found = {**dict(row), "stopped": bool(row["stopped"]), "details": Details.FromString(bytes(row["details"]))}
    return Pipeline(**found)


def find_pipeline(connection: sqlite3.Connection, project: str, name: str, version: int = 0) -> Pipeline | None:
    """A pipeline in its present version, or another one; None where it does not exist."""
    row = connection.execute(
        f"{_SELECT} WHERE project = ? AND name = ? AND pipeline_versions.version ="
        " CASE WHEN ? THEN ? ELSE pipelines.version END",
        (project or DEFAULT_PROJECT, name, version, version),
    ).fetchone()
    return None if row is None else _pipeline(row)


def get_pipeline(connection: sqlite3.Connection, project: str, name: str, version: int = 0) -> Pipeline:
    """A pipeline in its present version, or another one.

    Raises:
        NotFound: There is none.
    """
    found = find_pipeline(connection, project, name, version)
    if found is None:
        raise NotFound(f'pipeline "{project or DEFAULT_PROJECT}/{name}" not found')
    return found


def pipeline_by_pk(connection: sqlite3.Connection, pk: int, version: int = 0) -> Pipeline:
    """A pipeline by its key in the database.

    Raises:
        NotFound: It was deleted meanwhile.
    """
    row = connection.execute(
        f"{_SELECT} WHERE pipelines.id = ? AND pipeline_versions.version ="
        " CASE WHEN ? THEN ? ELSE pipelines.version END",
        (pk, version, version),
    ).fetchone()
    if row is None:
        raise NotFound("pipeline was deleted meanwhile")
    return _pipeline(row)


def list_pipelines(
    connection: sqlite3.Connection, projects: Sequence[str] = (), history: int = 0, name: str = ""
) -> list[Pipeline]:
    """Pipelines, newest first.

    Args:
        connection: Where they are read.
        projects: Only those of these projects; all when empty.
        history: How many older versions besides the present one; all when negative.
        name: Only this pipeline; all when empty.
    """
    rows = connection.execute(
        f"{_SELECT} WHERE (? < 0 OR pipeline_versions.version >= pipelines.version - ?)"
        " ORDER BY pipelines.id DESC, pipeline_versions.version DESC",
        (history, history),
    )
    return [
        each
        for each in map(_pipeline, rows)
        if (not projects or each.project in projects) and (not name or each.name == name)
    ]


def as_of(connection: sqlite3.Connection, pipeline: Pipeline, set_id: str) -> Pipeline | None:
    """A pipeline in the version that it had in a commit set; None where it had none."""
    spec = find_commit(connection, spec_branch(pipeline.project, pipeline.name).repo, set_id)
    if spec is None:
        return None
    row = connection.execute(
        "SELECT version FROM pipeline_versions WHERE pipeline = ? AND spec_commit = ?", (pipeline.pk, spec.id)
    ).fetchone()
    return None if row is None else pipeline_by_pk(connection, pipeline.pk, row["version"])


def set_state(connection: sqlite3.Connection, pk: int, state: int, reason: str = "") -> None:
    """Record a pipeline's state."""
    connection.execute("UPDATE pipelines SET state = ?, reason = ? WHERE id = ?", (state, reason, pk))


def resting_state(details: Details) -> int:
    """The state of a healthy pipeline that has nothing to do."""
    return int(pps_pb2.PIPELINE_STANDBY if details.autoscaling else pps_pb2.PIPELINE_RUNNING)
