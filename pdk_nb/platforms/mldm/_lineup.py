"""All pipelines with what they read: the graph of a project, or of several that read from each other."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import python_pachyderm
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.platforms.mldm._errors import api_errors
from pdk_nb.platforms.mldm._jobs import JOB_STATES
from pdk_nb.platforms.mldm._pipelines import PIPELINE_STATES


@dataclass(frozen=True)
class PipelineEntry:
    """A pipeline; its output repo has the same project and name.

    Attributes:
        project: Its project.
        name: Its name.
        state: ``RUNNING``, ``STANDBY``, ``CRASHING``, ``FAILURE`` …
        reason: Why; empty when there is nothing to say.
        job: State of its newest job; empty before the first.
        inputs: Project and repo of everything that it reads, each once; a cron input is a repo, too.
    """

    project: str
    name: str
    state: str
    reason: str
    job: str
    inputs: tuple[tuple[str, str], ...] = ()


def all_pipelines(client: python_pachyderm.Client, projects: Sequence[str] = ()) -> list[PipelineEntry]:
    """Pipelines with their inputs, by project and name.

    Args:
        client: A client.
        projects: Their projects; all when empty.
    """
    return sorted(
        (
            PipelineEntry(
                info.pipeline.project.name,
                info.pipeline.name,
                PIPELINE_STATES.get(info.state, str(info.state)),
                info.reason,
                _job(info),
                tuple(dict.fromkeys(_repos(info.details.input))),
            )
            for info in _list(client, projects, details=True)
        ),
        key=lambda each: (each.project, each.name),
    )


def pipelines_signature(client: python_pachyderm.Client, projects: Sequence[str] = ()) -> Hashable:
    """What changes whenever :func:`all_pipelines` does; Pachyderm answers this from its database alone.

    Args:
        client: A client.
        projects: Their projects; all when empty.
    """
    return frozenset(
        (info.pipeline.project.name, info.pipeline.name, info.version, info.state, info.reason, info.last_job_state)
        for info in _list(client, projects, details=False)
    )


def _list(client: python_pachyderm.Client, projects: Sequence[str], *, details: bool) -> list[pps_pb2.PipelineInfo]:
    wanted = [pfs_pb2.Project(name=name) for name in projects]
    with api_errors("pipelines"):
        return list(client.list_pipeline(details=details, projects_filter=wanted))


def _job(info: pps_pb2.PipelineInfo) -> str:
    state = JOB_STATES.get(info.last_job_state, "")
    return "" if state == "STATE_UNKNOWN" else state


def _repos(given: pps_pb2.Input) -> Iterator[tuple[str, str]]:
    """Project and repo of an input and of all that it's made of."""
    if given.HasField("pfs"):
        yield given.pfs.project, given.pfs.repo
    if given.HasField("cron"):
        yield given.cron.project, given.cron.repo
    for kind in ("join", "group", "cross", "union"):
        for inner in getattr(given, kind):
            yield from _repos(inner)
