"""Pachyderm's jobs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timezone
from itertools import islice

import python_pachyderm
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.platforms.mldm._errors import api_errors
from pdk_nb.platforms.mldm._logs import job_log
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import NotFound, PdkError, TrainingError

ENDED = frozenset({"FAILURE", "SUCCESS", "KILLED", "UNRUNNABLE"})
DATUM_COUNTS = ("processed", "skipped", "failed", "recovered", "total")
JOB_STATES = {value: name.removeprefix("JOB_") for name, value in pps_pb2.JobState.items()}


@dataclass(frozen=True)
class Job:
    """One job of one pipeline.

    Attributes:
        id: The job's id, which is the commit set's id everywhere.
        state: ``CREATED``, ``STARTING``, ``RUNNING``, ``FINISHING``, ``SUCCESS``, ``FAILURE``, ``KILLED`` …
        reason: Why it failed or waits; empty when there is nothing to say.
        seconds: How long it has run, or ran.
        started: When it began, in seconds since the epoch; 0 before.
        finished: When it ended; 0 before.
        datums: Datums that were processed, skipped, failed, and recovered, and their total.
    """

    id: str
    pipeline: str
    state: str
    reason: str
    seconds: float
    started: float = 0.0
    finished: float = 0.0
    datums: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED


def job(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> Job | None:
    """A job by its id, which is its commit's; None while it does not exist."""
    info = None
    with contextlib.suppress(NotFound), api_errors(f"{project}/{pipeline}@{id}"):
        info = next(iter(client.inspect_job(id, pipeline, project_name=project)))
    return None if info is None else _read(info)


def _read(info: pps_pb2.JobInfo) -> Job:
    started = info.started.ToDatetime(timezone.utc).timestamp() if info.HasField("started") else 0.0
    finished = info.finished.ToDatetime(timezone.utc).timestamp() if info.HasField("finished") else 0.0
    seconds = max(0.0, (finished or time.time()) - started) if started else 0.0
    counts = {name: int(getattr(info, f"data_{name}")) for name in DATUM_COUNTS}
    state = JOB_STATES.get(info.state, str(info.state))
    return Job(info.job.id, info.job.pipeline.name, state, info.reason, seconds, started, finished, counts)


def recent_jobs(client: python_pachyderm.Client, project: str, pipeline: str, number: int) -> list[Job]:
    """A pipeline's newest jobs.

    Args:
        client: A client.
        project: The pipeline's project.
        pipeline: The pipeline.
        number: At most so many.
    """
    with api_errors(f"pipeline {project}/{pipeline}"):
        return [_read(info) for info in islice(client.list_job(pipeline, project_name=project, number=number), number)]


def newest_jobs(client: python_pachyderm.Client, project: str, number: int) -> list[Job]:
    """The newest jobs of all pipelines of a project, with one request however many pipelines there are.

    Args:
        client: A client.
        project: The project.
        number: At most so many.
    """
    found: list[Job] = []
    with api_errors(f"project {project}"):
        # Without a pipeline, Pachyderm lists sets of jobs, the newest first; a set can have jobs of other projects.
        for each in client.list_job(projects_filter=[pfs_pb2.Project(name=project)], number=number):
            found += [_read(info) for info in each.jobs if info.job.pipeline.project.name == project]
            if len(found) >= number:
                break
    return found[:number]


def _list(client: python_pachyderm.Client, project: str, pipeline: str) -> list[pps_pb2.JobInfo]:
    with api_errors(f"pipeline {project}/{pipeline}"):
        return list(client.list_job(pipeline, project_name=project))


def jobs(client: python_pachyderm.Client, project: str, pipeline: str) -> list[str]:
    """Ids of a pipeline's jobs, newest first."""
    return [info.job.id for info in _list(client, project, pipeline)]


def last_success(client: python_pachyderm.Client, project: str, pipeline: str) -> str:
    """Id of the newest job whose own code has run and succeeded; empty when none has.

    A job over an empty commit succeeds without starting any code.
    """
    succeeded = (
        info for info in _list(client, project, pipeline) if info.state == pps_pb2.JOB_SUCCESS and info.data_processed
    )
    return next((str(info.job.id) for info in succeeded), "")


def wait_job(
    client: python_pachyderm.Client,
    project: str,
    pipeline: str,
    id: str,
    *,
    timeout: float,
    interval: float = 0.3,
    progress: Callable[[Job | None], None] | None = None,
) -> Job:
    """Wait until a job has ended.

    Args:
        client: A client.
        project: The pipeline's project.
        pipeline: The pipeline.
        id: The job.
        timeout: Seconds.
        interval: Seconds between two looks.
        progress: Called at every look; with None while the job does not exist.

    Raises:
        TrainingError: It failed, or did not end in time; the message has its reason and the end of its log.
    """
    where = f"{project}/{pipeline}@{id}"

    def late(found: Job | None) -> TrainingError:
        state = found.state if found else "not created"
        return TrainingError(
            f"The job didn't end within {timeout:.0f} s; it is {state}. {found.reason if found else ''}".strip(),
            where=where,
            fix=f"pachctl logs --project {project} --pipeline {pipeline}",
        )

    found = wait(
        lambda: job(client, project, pipeline, id),
        lambda found: found is not None and found.ended,
        timeout=timeout,
        reason=late,
        interval=interval,
        progress=progress,
    )
    assert found is not None
    if found.state != "SUCCESS":
        raise TrainingError(
            f"The job ended as {found.state}: {found.reason}\n{_log_end(client, project, pipeline, id)}".rstrip(),
            where=where,
            fix="Fix what the log names. Then, for a train job, run notebook 02: an empty commit starts it again. "
            "For a deploy job, run notebook 04: its first wait starts it again.",
        )
    return found


def _log_end(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> str:
    """The end of a failed job's log; whatever happens to the log must not hide the job's own reason."""
    try:
        return job_log(client, project, pipeline, id).tail(15)
    except PdkError as error:
        return f"Its log can't be read: {error.what}"
