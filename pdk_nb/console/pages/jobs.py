"""Jobs: those of the lab's pipelines, each with its datums and its log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb.console.pages.page import PAGE_SIZE, Page, Parameters
from pdk_nb.platforms import mldm
from pdk_shared.errors import NotFound, PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

#: The last lines of a log that the page shows.
LOG_LINES = 300
#: Pipelines that the page names; more are on the page of pipelines.
NAMED = 12


def read_jobs(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The newest jobs of a project, or of one of its pipelines."""
    client, project = session.pachyderm, parameters.get("project") or session.names.project
    pipeline = parameters.get("pipeline", "")
    states = mldm.pipelines(client, project)
    if pipeline:
        found = mldm.recent_jobs(client, project, pipeline, PAGE_SIZE)
    else:
        found = mldm.newest_jobs(client, project, PAGE_SIZE)
    return {
        "project": project,
        "pipeline": pipeline,
        "pipelines": {name: each for name, each in states.items() if name == (pipeline or name)},
        "named": NAMED,
        # Jobs that haven't begun come first.
        "jobs": sorted(found, key=lambda job: job.started or float("inf"), reverse=True)[:PAGE_SIZE],
    }


def read_job(session: Session, parameters: Parameters) -> dict[str, Any]:
    """A job, its datums, and its log."""
    client, project, pipeline, id = session.pachyderm, parameters["project"], parameters["pipeline"], parameters["job"]
    job = mldm.job(client, project, pipeline, id)
    if job is None:
        raise NotFound("Pachyderm has no such job.", where=f"{project}/{pipeline}@{id}", fix="See the list of jobs.")
    try:
        log = mldm.job_log(client, project, pipeline, id)
    except PdkError as error:
        log = mldm.JobLog((), error.what)
    datums = mldm.job_datums(client, project, pipeline, id)
    return {
        "job": job,
        "datums": datums[:PAGE_SIZE],
        "more": max(0, len(datums) - PAGE_SIZE),
        "log": log,
        "lines": log.lines[-LOG_LINES:],
        "settled": job.ended,
    }


def signature(session: Session, parameters: Parameters) -> str:
    """State of a job: one that has ended doesn't change."""
    found = mldm.job(session.pachyderm, parameters["project"], parameters["pipeline"], parameters["job"])
    return found.state if found else ""


PAGES = (
    Page("/jobs", "Jobs", "jobs.html", read_jobs, menu="Jobs"),
    Page("/jobs/{project}/{pipeline}/{job}", "Job {job} of {pipeline}", "job.html", read_job, signature=signature),
)
