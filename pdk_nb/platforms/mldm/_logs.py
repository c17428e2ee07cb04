"""What Pachyderm's jobs print.

Without Loki, Pachyderm reads logs from the workers' pods (``GetLogs`` in ``src/server/pps/server/api_server.go`` of
2.8.10), and a pipeline with ``autoscaling`` has no pods a few seconds after its job. The stages of the lab therefore
keep their log in their output commit, too.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import python_pachyderm

from pdk_nb.names import STAGE_LOG
from pdk_nb.platforms.mldm._commits import commit_of, read_file
from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import DataError, NotFound, PdkError, ServiceUnreachable

WITHOUT_PODS = "no pods belonging to"
SCALED_DOWN = (
    "The pipeline's workers are scaled down, and their log is gone with them; with Loki, Pachyderm would keep it."
)


@dataclass(frozen=True)
class JobLog:
    """What can still be read of a job's log.

    Attributes:
        lines: What its own code has printed, oldest first.
        note: Where the lines come from, or why there are none; empty when they come from the workers.
    """

    lines: tuple[str, ...] = ()
    note: str = ""

    def tail(self, count: int) -> str:
        """The note, if there is one, and the last lines."""
        return "\n".join([*([self.note] if self.note else []), *self.lines[-count:]])


def job_log(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> JobLog:
    """A job's log: from its workers, or else the copy in its output commit.

    A log that is gone is no error: the note says so.

    Args:
        client: A client.
        project: The pipeline's project.
        pipeline: The pipeline.
        id: The job.

    Raises:
        ServiceUnreachable: Pachyderm doesn't answer, or refuses the token.
        NotFound: There is no such job.
    """
    try:
        with api_errors(f"{project}/{pipeline}@{id}", "Pachyderm gives no log", _Refused):
            messages = list(client.get_job_logs(pipeline, id, project_name=project))
    except _Refused as error:
        if "could not get job information" in error.what:
            raise NotFound(f"There is no such job: {error.what}", where=error.where) from error
        note = SCALED_DOWN if WITHOUT_PODS in error.what else f"{error.what}."
    else:
        lines = tuple(message.message.rstrip("\n") for message in messages if message.user)
        if lines:
            return JobLog(lines)
        note = ""
    kept = _kept(client, project, pipeline, id)
    if kept:
        return JobLog(kept, f"{note} This is the copy in the job's output commit.".strip())
    return JobLog((), note)


class _Refused(PdkError):
    """The server answers, and gives no log."""


def _kept(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> tuple[str, ...]:
    """The stage's own copy; empty while there is none: the job runs, has failed, or isn't one of the lab's stages."""
    with contextlib.suppress(DataError, NotFound, ServiceUnreachable):
        content = read_file(client, commit_of(project, pipeline, id=id), f"/{STAGE_LOG}")
        return tuple(content.decode(errors="replace").splitlines())
    return ()
