"""What Pachyderm's jobs print.

Without Loki, Pachyderm reads logs from the workers' pods (``GetLogs`` in ``src/server/pps/server/api_server.go`` of
2.8.10), and a pipeline with ``autoscaling`` has no pods at the moment its job ends. The stages of the lab therefore
write their log to their output, too. That of a datum that fails isn't committed, but Pachyderm keeps it in the
pipeline's meta repo, below the datum's id (``uploadMetaOutput`` in ``src/server/worker/datum/datum.go``).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import python_pachyderm
from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_nb.names import STAGE_LOG
from pdk_nb.platforms.mldm._commits import commit_of, find_files, read_file
from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import DataError, NotFound, PdkError, ServiceUnreachable

WITHOUT_PODS = "no pods belonging to"
OUTPUT = "This is the copy in the job's output commit."
FAILED_DATUM = "This is the copy that Pachyderm keeps of the failed datum."
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
    """A job's log: from its workers, or else the copy that the stage has written.

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
    for read, whence in ((_committed, OUTPUT), (_of_failed_datum, FAILED_DATUM)):
        kept = read(client, project, pipeline, id)
        if kept:
            return JobLog(kept, f"{note} {whence}".strip())
    return JobLog((), note)


class _Refused(PdkError):
    """The server answers, and gives no log."""


def _committed(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> tuple[str, ...]:
    """The stage's own copy; empty while there is none: the job runs, has failed, or isn't one of the lab's stages."""
    with contextlib.suppress(DataError, NotFound, ServiceUnreachable):
        return _lines(client, commit_of(project, pipeline, id=id), f"/{STAGE_LOG}")
    return ()


def _of_failed_datum(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> tuple[str, ...]:
    """The copy that the stage has written before it failed; of several datums, the last."""
    with contextlib.suppress(DataError, NotFound, ServiceUnreachable):
        commit = commit_of(project, pipeline, id=id, kind="meta")
        paths = find_files(client, commit, f"/pfs/*/out/{STAGE_LOG}")
        return _lines(client, commit, paths[-1]) if paths else ()
    return ()


def _lines(client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str) -> tuple[str, ...]:
    return tuple(read_file(client, commit, path).decode(errors="replace").splitlines())
