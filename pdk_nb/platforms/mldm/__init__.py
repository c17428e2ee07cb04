"""Pachyderm (MLDM): projects, repos, commits, pipelines, jobs and logs, through ``python-pachyderm``.

The calling convention of :mod:`pdk_nb.platforms` holds. Every call names the project: the client's short forms (tuples)
can only mean the project ``default``.
"""

from pdk_nb.platforms.mldm._commits import (
    commit_again,
    commit_data,
    commit_file,
    commit_files,
    commit_finished,
    commit_of,
    commits,
    datum_count,
    datums,
    files,
    find_same,
    has_files,
    head,
    newest,
    next_folder,
    read_file,
    read_files,
)
from pdk_nb.platforms.mldm._connection import connect, open_client, version
from pdk_nb.platforms.mldm._errors import api_errors, reason
from pdk_nb.platforms.mldm._job_datums import DATUM_STATES, Datum, job_datums
from pdk_nb.platforms.mldm._jobs import JOB_STATES, Job, job, jobs, last_success, wait_job
from pdk_nb.platforms.mldm._logs import JobLog, job_log
from pdk_nb.platforms.mldm._pipelines import (
    PIPELINE_LIMIT,
    PipelineState,
    ensure_pipeline,
    images,
    limit_room,
    pipeline_command,
    pipeline_info,
    pipeline_input,
    pipeline_spec,
    pipelines,
)
from pdk_nb.platforms.mldm._repos import Outcome, ensure_project, ensure_repo, repos
from pdk_nb.platforms.mldm._specs import normal_form, running_spec
from pdk_nb.platforms.mldm._tries import FAILED, newest_try, process_again

__all__ = [
    "DATUM_STATES",
    "FAILED",
    "JOB_STATES",
    "PIPELINE_LIMIT",
    "Datum",
    "Job",
    "JobLog",
    "Outcome",
    "PipelineState",
    "api_errors",
    "commit_again",
    "commit_data",
    "commit_file",
    "commit_files",
    "commit_finished",
    "commit_of",
    "commits",
    "connect",
    "datum_count",
    "datums",
    "ensure_pipeline",
    "ensure_project",
    "ensure_repo",
    "files",
    "find_same",
    "has_files",
    "head",
    "images",
    "job",
    "job_datums",
    "job_log",
    "jobs",
    "last_success",
    "limit_room",
    "newest",
    "newest_try",
    "next_folder",
    "normal_form",
    "open_client",
    "pipeline_command",
    "pipeline_info",
    "pipeline_input",
    "pipeline_spec",
    "pipelines",
    "process_again",
    "read_file",
    "read_files",
    "reason",
    "repos",
    "running_spec",
    "version",
    "wait_job",
]
