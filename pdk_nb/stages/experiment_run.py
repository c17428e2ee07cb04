"""The job's experiment: started once, and waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import trial_log
from pdk_nb.platforms import mlde
from pdk_nb.stages.process import Terminated
from pdk_nb.stages.resuming import WarmStart
from pdk_nb.stages.worker import Worker
from pdk_shared.errors import DataError, PdkError, TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined

__all__ = ["start", "wait_until_completed"]

log = logging.getLogger("pdk.train")

# An experiment in one of these states is not taken up by a retried job.
CANCELLED = frozenset({"CANCELED", "STOPPING_CANCELED", "STOPPING_KILLED", "DELETED"})
LOG_LINES, LAST_LINES = 400, 30


def start(
    client: Determined, config: Mapping[str, Any], context: Path, worker: Worker, warm: WarmStart | None
) -> tuple[int, WarmStart | None]:
    """The job's experiment: the one that an earlier attempt of the job has started, or a new one.

    Args:
        client: A client.
        config: The complete configuration.
        context: The folder that goes to the trials.
        worker: The worker, whose job and pipeline are labels of the experiment.
        warm: What a new experiment resumes from.

    Returns:
        The experiment's id, and what it resumes from.

    Raises:
        TrainingError: Determined refuses the experiment.
    """
    found = mlde.experiment_for_job(client, worker.job, worker.pipeline)
    if found is not None:
        state = mlde.progress(client, found.id).state
        if state not in CANCELLED:
            log.info("experiment %d of this job exists (%s): no second one is started", found.id, state)
            if state == "PAUSED":
                found.activate()
            uuid = ((found.config or {}).get("searcher") or {}).get("source_checkpoint_uuid")
            return found.id, warm if warm is not None and uuid == warm.checkpoint else None
        log.info("experiment %d of this job was cancelled: starting another", found.id)
    created = mlde.create_experiment(client, config, context)
    log.info("experiment %d started: %s", created.id, mlde.experiment_path(client, created.id))
    return created.id, warm


def wait_until_completed(client: Determined, experiment_id: int, config: Mapping[str, Any], timeout_min: float) -> None:
    """Wait for the experiment's end, and log how it goes.

    Args:
        client: A client.
        experiment_id: The experiment.
        config: Its configuration.
        timeout_min: Minutes; 0 waits for ever.

    Raises:
        DataError: The trial refused its data.
        TrainingError: The experiment did not complete, or not in time.
    """
    with _cancelled_on_termination(client, experiment_id):
        end = mlde.wait_experiment(
            client, experiment_id, timeout=timeout_min * 60 or None, progress=_Reporter(experiment_id, _length(config))
        )
    lines = _trial_lines(client, end.trial)
    for note in trial_log.notes(lines):
        log.info("trial: %s", note)
    refusal = trial_log.refusal(lines)
    if refusal:
        fix = "commit more data; a new job starts by itself"
        raise DataError(refusal, where=f"experiment {experiment_id}", fix=fix)
    if end.state != "COMPLETED":
        for line in lines[-LAST_LINES:]:
            log.error("trial: %s", line)
        raise TrainingError(
            f"Experiment {experiment_id} ended as {end.state}.",
            where=mlde.experiment_path(client, experiment_id),
            fix=f"read the trial's log above, or: det experiment logs {experiment_id}",
        )


class _Reporter:
    """Logs an experiment's progress: each new state and metric, and each tenth of the batches."""

    def __init__(self, experiment_id: int, batches: int) -> None:
        self.id = experiment_id
        self.batches = batches
        self.last = mlde.Progress("", 0.0)
        self.started = time.monotonic()

    def __call__(self, now: mlde.Progress) -> None:
        same = (now.state, now.metric) == (self.last.state, self.last.metric)
        if same and now.batches - self.last.batches < max(1, self.batches // 10):
            return
        self.last = now
        batches = f", {now.batches}/{self.batches or '?'} batches" if now.trial else ""
        metric = f", {now.metric[0]} {now.metric[1]:.4f}" if now.metric else ""
        log.info("experiment %d: %s%s%s (%.0f s)", self.id, now.state, batches, metric, time.monotonic() - self.started)


@contextmanager
def _cancelled_on_termination(client: Determined, experiment_id: int) -> Iterator[None]:
    try:
        yield
    except (Terminated, KeyboardInterrupt):
        log.warning("terminated: cancelling experiment %d", experiment_id)
        client.get_experiment(experiment_id).cancel()
        raise


def _length(config: Mapping[str, Any]) -> int:
    """Batches that the configuration trains for; 0 when it counts in another unit."""
    length = (config.get("searcher") or {}).get("max_length")
    length = length.get("batches") if isinstance(length, dict) else length
    return int(length) if isinstance(length, int) else 0


def _trial_lines(client: Determined, trial: int) -> list[str]:
    if not trial:
        return []
    try:
        return mlde.tail_logs(client, trial, LOG_LINES)
    except PdkError as error:
        # The log is a help, not the result.
        log.warning("the trial's log can't be read: %s", error.what)
        return []
