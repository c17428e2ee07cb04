"""Waiting for a commit's jobs: why one doesn't begin, and how a failed deploy job is tried again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pdk_nb.platforms import mldm
from pdk_nb.platforms.cluster import resolve
from pdk_nb.platforms.mldm import Job
from pdk_nb.platforms.workers import WorkerTrouble, image_trouble, worker_trouble
from pdk_shared.errors import PdkError, TrainingError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Beginning", "deploy_job", "deploy_try", "wait_job"]

# How often Kubernetes is asked why a job's worker doesn't start.
WORKERS_S = 4.0
# The states of a job whose worker hasn't begun.
WAITS = frozenset({"CREATED", "STARTING"})


class Beginning:
    """Why a job's worker doesn't start: Pachyderm shows only that the job waits.

    Args:
        session: The session.
        pipeline: The job's pipeline.
        id: The job.

    Attributes:
        trouble: What keeps the worker from starting; None when nothing does, or when it can't be read.
    """

    def __init__(self, session: Session, pipeline: str, id: str) -> None:
        self.session = session
        self.pipeline = pipeline
        self.id = id
        self.trouble: WorkerTrouble | None = None
        self._troubled_at = self._asked_at = time.monotonic()

    @property
    def why(self) -> str:
        """The trouble with what to do, to be added to a state; empty without one."""
        return f": {self.trouble.text} What to do: {self.trouble.fix}" if self.trouble else ""

    def look(self, job: Job | None) -> None:
        """Find out from time to time why the job waits.

        Args:
            job: The job now; None while it doesn't exist.

        Raises:
            TrainingError: It will not start, however long one waits.
        """
        if job is None or job.state not in WAITS:
            self.trouble = None
        elif time.monotonic() - self._asked_at > WORKERS_S:
            self._asked_at = time.monotonic()
            before, self.trouble = self.trouble, self._find()
            if self.trouble is None or self.trouble.hold_s is None or before is None or before.hold_s is None:
                self._troubled_at = self._asked_at
            elif self._asked_at - self._troubled_at >= self.trouble.hold_s:
                where = f"{self.session.names.project}/{self.pipeline}@{self.id}"
                what = f"The job's worker can't start: {self.trouble.text}"
                raise TrainingError(what, where=where, fix=self.trouble.fix)

    def _find(self) -> WorkerTrouble | None:
        """As the pods tell it; where this user may not read them, as Pachyderm does."""
        known, project = self.session.settings, self.session.names.project
        found = worker_trouble(resolve(known).core, known.mldm_namespace, project, self.pipeline)
        if found is None:
            with contextlib.suppress(PdkError):
                now = mldm.pipelines(self.session.pachyderm, project).get(self.pipeline)
                found = image_trouble(now.state, now.reason) if now else None
        return found


def wait_job(
    session: Session,
    pipeline: str,
    id: str,
    timeout: float,
    progress: Callable[[Job | None, str], object],
    *,
    interval: float = 0.3,
) -> Job:
    """Wait until a job has succeeded.

    Args:
        session: The session.
        pipeline: The job's pipeline.
        id: The job.
        timeout: Seconds.
        progress: Called at every look with the job, None while it doesn't exist, and with the reason why its worker
            doesn't start: empty, or a text to be added to the job's state.
        interval: Seconds between two looks.

    Raises:
        TrainingError: The job failed, didn't end in time, or its worker can't start.
    """
    beginning = Beginning(session, pipeline, id)

    def look(job: Job | None) -> None:
        beginning.look(job)
        progress(job, beginning.why)

    try:
        return mldm.wait_job(
            session.pachyderm,
            session.names.project,
            pipeline,
            id,
            timeout=timeout,
            interval=interval,
            progress=look,
        )
    except TrainingError as error:
        trouble = beginning.trouble
        if trouble is None or trouble.text in error.what:
            raise
        raise TrainingError(f"{error.what} {trouble.text}", where=error.where, fix=trouble.fix) from error


def deploy_try(session: Session, commit: str) -> Job | None:
    """The deploy job of a commit or, after a failure, the newest job that deploys the same model.

    Args:
        session: The session.
        commit: The commit's id.
    """
    names = session.names
    return mldm.newest_try(session.pachyderm, names.project, names.deploy_pipeline, commit, names.train_pipeline)


def deploy_job(session: Session, commit: str, say: Callable[[str], object] = print) -> str:
    """Id of the deploy job to wait for. If the commit's has failed, the pipeline processes the model again.

    Pachyderm processes only the newest model again; an older one keeps its failed job.

    Args:
        session: The session.
        commit: The commit's id.
        say: Called with one line if a new job is started.
    """
    names, client = session.names, session.pachyderm
    found = deploy_try(session, commit)
    if found is None or found.state not in mldm.FAILED:
        return found.id if found else commit
    if mldm.head(client, names.project, names.train_pipeline) != commit:
        return found.id
    mldm.process_again(client, names.project, names.deploy_pipeline)
    again = deploy_try(session, commit) or found
    reason = f" ({found.reason.strip().splitlines()[0]})" if found.reason.strip() else ""
    say(f"The deploy job of {commit} ended as {found.state}{reason}. Job {again.id} tries it again.")
    return again.id
