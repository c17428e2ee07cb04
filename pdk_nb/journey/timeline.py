"""A journey as a timeline: when its jobs and its experiment ran."""

from __future__ import annotations

import time

from pdk_nb.display.diagrams import Timeline, TimelineBar
from pdk_nb.journey.model import Journey
from pdk_nb.journey.states import drawn
from pdk_nb.platforms.mldm import Job
from pdk_shared.errors import DataError

# If a service becomes ready later than this after its deploy job began, somebody has changed it since.
READY_S = 900.0


def timeline(journey: Journey) -> Timeline:
    """The timeline of a journey, up to now.

    Args:
        journey: The journey.

    Raises:
        DataError: The commit doesn't exist.
    """
    commit = journey.commit
    if commit.lost:
        raise DataError(commit.lost, where=commit.id)
    checkpoint = journey.checkpoint
    bars = [
        *([TimelineBar("commit", commit.finished, moment=True)] if commit.finished else []),
        *_job("train job", journey.train.job),
        *_experiment(journey),
        *(
            [TimelineBar("best checkpoint", checkpoint.reported, moment=True)]
            if checkpoint is not None and checkpoint.reported
            else []
        ),
        *_job("deploy job", journey.deploy.job),
        *_ready(journey),
    ]
    return Timeline(bars, f"The journey of commit {journey.id[:12]}…", time.time())


def _job(name: str, job: Job | None) -> list[TimelineBar]:
    if job is None or not job.started:
        return []
    return [TimelineBar(name, job.started, job.finished or None, drawn(job.state))]


def _experiment(journey: Journey) -> list[TimelineBar]:
    found = journey.experiment
    if found is None or not found.progress.started:
        return []
    now = found.progress
    return [TimelineBar(f"experiment {found.id}", now.started, now.ended or None, found.state)]


def _ready(journey: Journey) -> list[TimelineBar]:
    """When the service was ready with this commit's model; a rollback long after that doesn't count."""
    status, deploy = journey.service.status, journey.deploy.job
    if status is None or deploy is None or status.changed is None or journey.service.answers_with != journey.id:
        return []
    ready = status.changed.timestamp()
    return [TimelineBar("service ready", ready, moment=True)] if 0 <= ready - deploy.started < READY_S else []
