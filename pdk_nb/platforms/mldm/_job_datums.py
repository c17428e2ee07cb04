"""Pachyderm's datums: what became of each piece of a job's input."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import NotFound

# While the job before still runs: pachd reads a job's datums from a commit that starts from the other job's.
NOT_YET = re.compile(r"base commit \S+ for commit \S+ unfinished")
DATUM_STATES = {value: name for name, value in pps_pb2.DatumState.items()}


@dataclass(frozen=True)
class Datum:
    """One datum of a job.

    Attributes:
        id: Its id.
        state: ``SUCCESS``, ``FAILED``, ``RECOVERED``, ``SKIPPED``, or ``STARTING``.
        paths: The files or folders that the glob matched.
        seconds: How long the job's code ran on it.
    """

    id: str
    state: str
    paths: tuple[str, ...]
    seconds: float = 0.0


def job_datums(client: python_pachyderm.Client, project: str, pipeline: str, id: str) -> list[Datum]:
    """The datums of a job that are done; none while there is no such job, or while the one before it still runs.

    Args:
        client: A client.
        project: The pipeline's project.
        pipeline: The pipeline.
        id: The job.
    """
    with contextlib.suppress(NotFound), api_errors(f"{project}/{pipeline}@{id}", missing=NOT_YET):
        return [
            Datum(
                info.datum.id,
                DATUM_STATES.get(info.state, str(info.state)),
                tuple(each.file.path for each in info.data),
                info.stats.process_time.ToNanoseconds() / 1e9,
            )
            for info in client.list_datum(pipeline_name=pipeline, job_id=id, project_name=project)
        ]
    return []
