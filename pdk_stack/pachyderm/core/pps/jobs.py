"""Jobs: rows, states, and how to end them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, replace

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.pfs import commits
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import IN_REPO, commit_by_pk
from pdk_stack.pachyderm.core.pfs.types import META_REPO, Commit, select_commits
from pdk_stack.pachyderm.errors import existing
from pdk_stack.pachyderm.store.clock import now_ns

TERMINAL = frozenset({pps_pb2.JOB_SUCCESS, pps_pb2.JOB_FAILURE, pps_pb2.JOB_KILLED, pps_pb2.JOB_UNRUNNABLE})
TERMINAL_SQL = ",".join(str(int(state)) for state in sorted(TERMINAL))


@dataclass(frozen=True)
class Stats:
    """Processing statistics: seconds and bytes."""

    download_s: float = 0.0
    process_s: float = 0.0
    upload_s: float = 0.0
    download_bytes: int = 0
    upload_bytes: int = 0

    def __add__(self, other: Stats) -> Stats:
        return Stats(*(mine + more for mine, more in zip(astuple(self), astuple(other), strict=True)))

    def dump(self) -> str:
        """Serialize for the database."""
        return json.dumps(astuple(self))

    @staticmethod
    def load(text: str) -> Stats | None:
        """The reverse of :meth:`dump`; None where nothing was measured."""
        return Stats(*json.loads(text)) if text else None


@dataclass(frozen=True)
class Job:
    """A job; times are nanoseconds since the epoch, 0 if the event hasn't happened. Without datums, it has no stats."""

    project: str
    pipeline: str
    pk: int
    pipeline_pk: int
    id: str
    version: int
    output: int | None
    state: int
    reason: str
    created: int
    started: int
    finished: int
    restart: int
    processed: int
    skipped: int
    failed: int
    recovered: int
    total: int
    stats: Stats | None

    @property
    def is_over(self) -> bool:
        """Whether the job is in a terminal state."""
        return self.state in TERMINAL

    def __str__(self) -> str:
        return f"{self.project}/{self.pipeline}@{self.id}"


def select_jobs(connection: sqlite3.Connection, rest: str, *values: object) -> Iterator[Job]:
    """Select jobs from the database.

    Args:
        connection: The connection to read from.
        rest: The SQL after ``FROM jobs JOIN pipelines``.
        values: Values of the placeholders.
    """
    rows = connection.execute(
        "SELECT pipelines.project, pipelines.name AS pipeline, jobs.pipeline AS pipeline_pk, jobs.pk, jobs.id,"
        " jobs.version, output, jobs.state, jobs.reason, created, started, finished, restart,"
        " processed, skipped, failed, recovered, total, stats"
        f" FROM jobs JOIN pipelines ON pipelines.id = jobs.pipeline {rest}",
        values,
    )
    return (Job(**{**dict(row), "stats": Stats.load(row["stats"])}) for row in rows)


def find_job(connection: sqlite3.Connection, project: str, pipeline: str, job_id: str) -> Job | None:
    """Return a job, or None."""
    condition = "WHERE pipelines.project = ? AND pipelines.name = ? AND jobs.id = ?"
    return next(select_jobs(connection, condition, project, pipeline, job_id), None)


def get_job(connection: sqlite3.Connection, project: str, pipeline: str, job_id: str) -> Job:
    """Return a job.

    Raises:
        NotFound: The job doesn't exist.
    """
    return existing(find_job(connection, project, pipeline, job_id), f"jobs {project}/{pipeline}@{job_id} not found")


def job_by_pk(connection: sqlite3.Connection, pk: int) -> Job:
    """Return a job by database key.

    Raises:
        NotFound: The job has been deleted.
    """
    return existing(next(select_jobs(connection, "WHERE jobs.pk = ?", pk), None), "job was deleted meanwhile")


def open_jobs(connection: sqlite3.Connection) -> list[Job]:
    """List unfinished jobs, oldest first."""
    return list(select_jobs(connection, f"WHERE jobs.state NOT IN ({TERMINAL_SQL}) ORDER BY jobs.pk"))


def create(change: Change, pipeline_pk: int, version: int, output: Commit) -> None:
    """Create the job for an output commit, if it doesn't exist yet."""
    change.connection.execute(
        "INSERT OR IGNORE INTO jobs (pipeline, id, version, output, state, created) VALUES (?, ?, ?, ?, ?, ?)",
        (pipeline_pk, output.id, version, output.pk, int(pps_pb2.JOB_CREATED), now_ns()),
    )


def set_state(connection: sqlite3.Connection, job: int, state: int, reason: str = "") -> bool:
    """Set a job's state; a terminal state doesn't change any more.

    Returns:
        Whether the state changed.
    """
    moment = now_ns()
    started = moment if state == pps_pb2.JOB_RUNNING or state in TERMINAL else 0
    finished = moment if state in TERMINAL else 0
    cursor = connection.execute(
        "UPDATE jobs SET state = ?, reason = ?, finished = ?,"
        # A job that ends without running started at its end.
        " started = CASE WHEN started = 0 THEN ? ELSE started END"
        f" WHERE pk = ? AND state NOT IN ({TERMINAL_SQL})",
        (int(state), reason, finished, started, job),
    )
    return cursor.rowcount == 1


def set_counters(connection: sqlite3.Connection, job: int, counters: Mapping[str, int], stats: Stats | None) -> None:
    """Replace what a job counts.

    Args:
        connection: The change's connection.
        job: The job's database key.
        counters: The numbers by attribute of :class:`Job`: ``restart``, ``processed``, ``skipped``, ``failed``,
            ``recovered``, and ``total``.
        stats: The job's stats, or None.
    """
    connection.execute(
        "UPDATE jobs SET restart = :restart, processed = :processed, skipped = :skipped, failed = :failed,"
        " recovered = :recovered, total = :total, stats = :stats WHERE pk = :pk",
        {**counters, "stats": stats.dump() if stats else "", "pk": job},
    )


def meta_commit(connection: sqlite3.Connection, output: Commit) -> Commit | None:
    """Return the meta commit that records an output commit's datums."""
    repo = replace(output.repo, type=META_REPO)
    return next(select_commits(connection, f"WHERE {IN_REPO} AND commits.id = ?", *repo.parts, output.id), None)


def end(change: Change, job: Job, state: int, reason: str) -> bool:
    """End a job without output: finish its commits with the reason as their error.

    Returns:
        Whether the job was unfinished.
    """
    connection = change.connection
    if not set_state(connection, job.pk, state, reason):
        return False
    if job.output is not None:
        output = commit_by_pk(connection, job.output)
        for commit in (output, meta_commit(connection, output)):
            if commit is not None and commit.is_open:
                commits.finish(change, commit, error=reason)
    return True


def abandon(change: Change, job: Job, reason: str) -> None:
    """End a job whose commits can't be finished in the ordinary way, so that nobody waits for it forever.

    Args:
        change: The change in progress.
        job: The job.
        reason: Why it failed.
    """
    connection = change.connection
    set_state(connection, job.pk, pps_pb2.JOB_FAILURE, reason)
    moment = now_ns()
    connection.execute(
        "UPDATE commits SET error = ?, finishing = ?, finished = ? WHERE finished = 0 AND (pk = ? OR pk IN"
        " (SELECT meta.pk FROM commits AS meta JOIN repos ON repos.id = meta.repo AND repos.type = ?"
        " WHERE meta.id = ? AND repos.project = ? AND repos.name = ?))",
        (reason, moment, moment, job.output, META_REPO, job.id, job.project, job.pipeline),
    )


def kill_all(change: Change, pipeline_pk: int, reason: str) -> None:
    """Kill a pipeline's unfinished jobs."""
    for job in open_jobs(change.connection):
        if job.pipeline_pk == pipeline_pk:
            end(change, job, pps_pb2.JOB_KILLED, reason)
