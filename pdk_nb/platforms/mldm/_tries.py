"""Trying a job again: Pachyderm never repeats one; it starts a new one over the same input."""

from __future__ import annotations

import contextlib

import python_pachyderm

from pdk_nb.platforms.mldm._commits import commit_of
from pdk_nb.platforms.mldm._errors import api_errors
from pdk_nb.platforms.mldm._jobs import Job, job, jobs
from pdk_nb.platforms.mldm._pipelines import pipeline_info
from pdk_nb.platforms.mldm._specs import running_spec
from pdk_shared.errors import NotFound, SpecError

# Without UNRUNNABLE: such a job misses its input, and waits for another job to be tried again.
FAILED = frozenset({"FAILURE", "KILLED"})


def newest_try(client: python_pachyderm.Client, project: str, pipeline: str, id: str, source: str) -> Job | None:
    """The job of a commit or, if that has failed, the newest job over the same input.

    Args:
        client: A client.
        project: The pipeline's project.
        pipeline: The pipeline.
        id: The commit's id, which is that of its first job.
        source: The repo that the pipeline reads.

    Returns:
        The job; None while there is none. A later try has an id of its own.
    """
    first = job(client, project, pipeline, id)
    if first is None or first.state not in FAILED:
        return first
    for later in jobs(client, project, pipeline):
        if later == id:
            break
        if _input(client, project, source, later) == id:
            return job(client, project, pipeline, later) or first
    return first


def _input(client: python_pachyderm.Client, project: str, source: str, job: str) -> str:
    """Id of the commit that a job reads; empty when that is gone."""
    # A commit set names its inputs by its own id, whatever commits they are.
    with contextlib.suppress(NotFound), api_errors(f"{project}/{source}@{job}"):
        info = next(iter(client.inspect_commit(commit_of(project, source, id=job))))
        return str(info.commit.id)
    return ""


def process_again(client: python_pachyderm.Client, project: str, pipeline: str) -> None:
    """Let a pipeline process its newest input again, as ``pachctl update pipeline --reprocess`` does.

    Args:
        client: A client.
        project: The pipeline's project.
        pipeline: The pipeline.

    Raises:
        NotFound: There is no such pipeline.
        SpecError: Pachyderm refuses it.
    """
    where = f"pipeline {project}/{pipeline}"
    info = pipeline_info(client, project, pipeline)
    if info is None:
        raise NotFound("There is no such pipeline.", where=where, fix="Run notebook 01: it creates the pipelines.")
    request = running_spec(info)
    request.update = request.reprocess = True
    with api_errors(where, "Pachyderm refuses the pipeline", SpecError):
        client.create_pipeline_from_request(request)
