"""Determined's experiments: find them by their job, and read their progress."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pdk_nb.platforms.mlde._connection import session
from pdk_nb.platforms.mlde._errors import api_errors
from pdk_shared.errors import TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined
    from determined.common.experimental.experiment import Experiment

TERMINAL = frozenset({"COMPLETED", "CANCELED", "ERROR", "DELETED"})


@dataclass(frozen=True)
class Progress:
    """The progress of an experiment.

    Attributes:
        state: ``QUEUED``, ``STARTING``, ``RUNNING``, ``COMPLETED``, ``ERROR``, ...
        fraction: 0 to 1.
        trial: First trial's id; 0 before it exists.
        batches: Batches that it has processed.
        metric: Name and value of the latest validation's searcher metric, when there is one.
        started: When it began, in seconds since the epoch; 0 before.
        ended: When it ended; 0 before.
    """

    state: str
    fraction: float
    trial: int = 0
    batches: int = 0
    metric: tuple[str, float] | None = None
    started: float = 0.0
    ended: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether the experiment has ended, whatever its end."""
        return self.state in TERMINAL


@api_errors()
def experiments_for_job(client: Determined, job_id: str, pipeline: str = "") -> list[Experiment]:
    """All experiments labelled with a job (and pipeline), newest first."""
    labels = [job_id, pipeline] if pipeline else [job_id]
    found = client.list_experiments(labels=labels)
    exact = [exp for exp in found if set(labels) <= set(exp.labels or ())]
    return sorted(exact, key=lambda exp: exp.id, reverse=True)


def experiment_for_job(client: Determined, job_id: str, pipeline: str = "") -> Experiment | None:
    """The experiment that a job started, by its labels; the newest one when there are several."""
    return next(iter(experiments_for_job(client, job_id, pipeline)), None)


def create_experiment(client: Determined, config: Mapping[str, Any], context: Path) -> Experiment:
    """Start an experiment.

    Args:
        client: A client.
        config: The experiment's configuration.
        context: The folder that goes to the trials.

    Raises:
        TrainingError: Determined refuses it.
    """
    fix = "check the experiment's configuration against the message"
    # The client prints a line for every file that it sends.
    with (
        api_errors("", "Determined refuses the experiment", TrainingError, fix),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        return client.create_experiment(config=dict(config), model_dir=context)


@api_errors()
def progress(client: Determined, experiment_id: int) -> Progress:
    """Read the progress of an experiment, with two small requests.

    Args:
        experiment_id: The experiment.
    """
    http = session(client)
    reply = http.get(f"/api/v1/experiments/{experiment_id}").json()
    experiment, config = reply["experiment"], reply.get("config") or {}
    name = str((config.get("searcher") or {}).get("metric") or "")
    state = str(experiment["state"]).removeprefix("STATE_")
    started, ended = moment(experiment.get("startTime")), moment(experiment.get("endTime"))
    trials = http.get(f"/api/v1/experiments/{experiment_id}/trials").json().get("trials") or []
    if not trials:
        return Progress(state, float(experiment.get("progress") or 0.0), started=started, ended=ended)
    trial = trials[0]
    values = (((trial.get("latestValidation") or {}).get("metrics") or {}).get("avgMetrics")) or {}
    metric = (name, float(values[name])) if name in values else None
    done = 1.0 if state == "COMPLETED" else float(experiment.get("progress") or 0.0)
    batches = int(trial.get("totalBatchesProcessed") or 0)
    return Progress(state, done, int(trial["id"]), batches, metric, started, ended)


def moment(time_of: str | datetime | None) -> float:
    """Seconds since the epoch of a time as the master writes it (RFC 3339); 0 for none."""
    from dateutil.parser import isoparse

    found = isoparse(time_of) if isinstance(time_of, str) and time_of else time_of
    return found.timestamp() if isinstance(found, datetime) else 0.0


def experiment_path(client: Determined, experiment_id: int) -> str:
    """The experiment's page in the UI."""
    return f"{client._master}/det/experiments/{quote(str(experiment_id))}/overview"
