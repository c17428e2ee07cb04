"""Stored pipelines: lookup, listing, versions, and states."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs.lookup import find_commit, get_commit
from pdk_stack.pachyderm.core.pfs.types import META_REPO, BranchKey, CommitRef, RepoKey
from pdk_stack.pachyderm.core.pps.inputs import spec_branch
from pdk_stack.pachyderm.core.pps.specs import request_of
from pdk_stack.pachyderm.errors import Fault, NotFound, wrapped
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, parse_ancestry

#: Why a pipeline without a command fails.
NOTHING_TO_RUN = "nothing to run: no transform.cmd"
_FUTURE = "cannot inspect future pipelines"

Details: TypeAlias = pps_pb2.PipelineInfo.Details


@dataclass(frozen=True)
class Pipeline:
    """A version of a pipeline.

    Attributes:
        pk: The pipeline's database key.
        version: The version number, starting at 1.
        state: A ``PipelineState``.
        reason: Why it is in that state, or empty.
        spec_commit: The ID of the commit that holds this version's spec.
        details: The complete spec.
        user_spec: The spec as its author wrote it, as JSON; empty if unknown.
        effective_spec: That spec merged into the defaults, as JSON; empty if unknown.
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
    effective_spec: str

    @property
    def output(self) -> BranchKey:
        """The output branch."""
        return BranchKey(RepoKey(self.project, self.name), self.details.output_branch)

    @property
    def meta(self) -> BranchKey:
        """The branch that records its datums."""
        return BranchKey(RepoKey(self.project, self.name, META_REPO), self.details.output_branch)

    @property
    def is_spout(self) -> bool:
        """Whether its code runs without input and writes whenever it has data."""
        return bool(self.details.HasField("spout"))

    @property
    def fed(self) -> tuple[BranchKey, ...]:
        """The branches downstream of the inputs: the output and, for a transform, the datum records."""
        if self.is_spout or self.details.HasField("service"):
            return (self.output,)
        return (self.output, self.meta)

    @property
    def request(self) -> pps_pb2.CreatePipelineRequest:
        """The spec that would recreate the pipeline."""
        return request_of(self.project, self.name, self.details)

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


_SELECT = """
    SELECT pipelines.id AS pk, project, name, pipeline_versions.version, state, reason, stopped, spec_commit,
           details, user_spec, effective_spec
    FROM pipelines JOIN pipeline_versions ON pipeline_versions.pipeline = pipelines.id
"""


def _pipeline(row: sqlite3.Row) -> Pipeline:
    found = {**dict(row), "stopped": bool(row["stopped"]), "details": Details.FromString(bytes(row["details"]))}
    return Pipeline(**found)


def find_pipeline(connection: sqlite3.Connection, project: str, name: str, version: int = 0) -> Pipeline | None:
    """Return a pipeline in its current or a given version, or None."""
    row = connection.execute(
        f"{_SELECT} WHERE project = ? AND name = ? AND pipeline_versions.version ="
        " CASE WHEN ? THEN ? ELSE pipelines.version END",
        (project or DEFAULT_PROJECT, name, version, version),
    ).fetchone()
    return None if row is None else _pipeline(row)


def get_pipeline(connection: sqlite3.Connection, project: str, reference: str) -> Pipeline:
    """Return the pipeline that a reference names (``InspectPipelineInTransaction``).

    Args:
        connection: The connection to read from.
        project: Its project; empty means the default one.
        reference: Its name. With a suffix such as ``^`` or ``~2``, an older version.

    Raises:
        NotFound: The pipeline doesn't exist.
        Fault: The suffix is invalid, or the pipeline has fewer versions.
    """
    name, steps = parse_ancestry(reference)
    found = find_pipeline(connection, project, name)
    if found is not None:
        return ancestor(connection, found, steps)
    if steps < 0:
        raise Fault(_FUTURE)
    full = f"{project or DEFAULT_PROJECT}/{name}"
    try:
        get_commit(connection, CommitRef(spec_branch(project or DEFAULT_PROJECT, name).repo, branch="master"))
        missing = ""
    except NotFound as error:
        missing = f"{error.message}\n"
    with wrapped(f'pipeline was not inspected: couldn\'t find up to date spec for pipeline "{full}"'):
        raise NotFound(f"{missing}{not_found(full)}")


def not_found(name: str) -> str:
    """Return the message for a pipeline that doesn't exist, by its name with the project."""
    return f'pipeline "{name}" not found'


def ancestor(connection: sqlite3.Connection, pipeline: Pipeline, steps: int) -> Pipeline:
    """Return an older version of a pipeline.

    Args:
        connection: The connection to read from.
        pipeline: The pipeline in its current version.
        steps: How many versions to go back.

    Raises:
        Fault: The pipeline has fewer versions, or the number is negative.
    """
    if steps < 0:
        raise Fault(_FUTURE)
    if steps == 0:
        return pipeline
    if pipeline.version <= steps:
        raise Fault(f'pipeline "{pipeline}" has only {pipeline.version} versions, not enough to find ancestor {steps}')
    return pipeline_by_pk(connection, pipeline.pk, pipeline.version - steps)


def pipeline_by_pk(connection: sqlite3.Connection, pk: int, version: int = 0) -> Pipeline:
    """Return a pipeline by database key.

    Raises:
        NotFound: The pipeline has been deleted.
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
    """List pipelines and their versions, newest version first.

    Args:
        connection: The connection to read from.
        projects: Only pipelines in these projects; empty means all.
        history: Number of older versions to include; negative means all.
        name: Only this pipeline; empty means all.
    """
    rows = connection.execute(
        f"{_SELECT} WHERE (? < 0 OR pipeline_versions.version >= pipelines.version - ?)"
        " ORDER BY pipelines.id DESC, pipeline_versions.version DESC",
        (history, history),
    )
    wanted = [
        each
        for each in map(_pipeline, rows)
        if (not projects or each.project in projects) and (not name or each.name == name)
    ]
    # The sort is stable: a change that creates several pipelines keeps their order.
    return sorted(wanted, key=lambda each: each.details.created_at.ToNanoseconds(), reverse=True)


def as_of(connection: sqlite3.Connection, pipeline: Pipeline, set_id: str) -> Pipeline | None:
    """Return the pipeline version of a commit set; None if the set has none."""
    spec = find_commit(connection, spec_branch(pipeline.project, pipeline.name).repo, set_id)
    if spec is None:
        return None
    row = connection.execute(
        "SELECT version FROM pipeline_versions WHERE pipeline = ? AND spec_commit = ?", (pipeline.pk, spec.id)
    ).fetchone()
    return None if row is None else pipeline_by_pk(connection, pipeline.pk, row["version"])


def set_state(connection: sqlite3.Connection, pipeline: Pipeline, state: int, reason: str = "") -> None:
    """Set a pipeline's state, unless it was updated: jobs of an older version may still run."""
    connection.execute(
        "UPDATE pipelines SET state = ?, reason = ? WHERE id = ? AND version = ?",
        (state, reason, pipeline.pk, pipeline.version),
    )


def resting_state(details: Details) -> int:
    """Return the state of a healthy, idle pipeline."""
    return int(pps_pb2.PIPELINE_STANDBY if details.autoscaling else pps_pb2.PIPELINE_RUNNING)
