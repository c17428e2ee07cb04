"""Determined's experiments, checkpoints, and models as a person looks through them, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb.platforms.mlde._connection import session
from pdk_nb.platforms.mlde._errors import api_errors
from pdk_nb.platforms.mlde._experiments import moment
from pdk_nb.platforms.mlde._registry import find_model
from pdk_shared.errors import NotFound

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined
    from determined.common.experimental.model import Model


@dataclass(frozen=True)
class ExperimentEntry:
    """An experiment.

    Attributes:
        id: Its number.
        name: Its name.
        state: ``QUEUED``, ``RUNNING``, ``COMPLETED``, ``ERROR``, ...
        progress: 0 to 1.
        labels: Its labels: the train stage labels it with the commit and the pipeline.
        workspace: Its workspace.
        project: Its project.
        user: Who started it.
        searcher: Its searcher, e.g. ``single``.
        metric: The searcher's metric.
        trials: Number of its trials.
        best: The best value of that metric; None before the first validation, and where the master doesn't say.
        started: When it began, in seconds since the epoch.
        ended: When it ended; 0 before.
        config: Its complete configuration; empty in lists.
        smaller_is_better: Which of two values of the metric is better.
    """

    id: int
    name: str
    state: str
    progress: float
    labels: tuple[str, ...]
    workspace: str
    project: str
    user: str
    searcher: str
    metric: str
    trials: int
    best: float | None
    started: float
    ended: float
    config: dict[str, Any]
    smaller_is_better: bool = True


@dataclass(frozen=True)
class CheckpointEntry:
    """A checkpoint.

    Attributes:
        uuid: Its UUID.
        state: ``COMPLETED``, ``DELETED``, ``PARTIALLY_DELETED``, ...
        trial: Its trial.
        batches: Batches that the trial had processed.
        metric: The searcher's metric at that point; None when unknown.
        reported: When it was written, in seconds since the epoch.
        bytes: Its size.
    """

    uuid: str
    state: str
    trial: int
    batches: int
    metric: float | None
    reported: float
    bytes: int


def _entry(found: Any, config: dict[str, Any] | None = None) -> ExperimentEntry:
    searcher = (config or found.config or {}).get("searcher") or {}
    return ExperimentEntry(
        found.id,
        found.name,
        found.state.name,
        1.0 if found.state.name == "COMPLETED" else float(found.progress or 0.0),
        tuple(found.labels or ()),
        found.workspaceName or "",
        found.projectName or "",
        found.username,
        # The master takes it from the configuration as JSON, with its quotes.
        found.searcherType.strip('"'),
        found.searcherMetric or str(searcher.get("metric") or ""),
        found.numTrials,
        found.bestTrialSearcherMetric,
        moment(found.startTime),
        moment(found.endTime),
        config or {},
        bool(searcher.get("smaller_is_better", True)),
    )


@api_errors()
def list_experiments(client: Determined, number: int, offset: int = 0) -> tuple[list[ExperimentEntry], int]:
    """One page of all experiments, the newest first, and how many there are.

    Args:
        client: A client.
        number: Experiments on a page.
        offset: Experiments to skip.
    """
    from determined.common.api import bindings

    reply = bindings.get_GetExperiments(
        session(client),
        limit=number,
        offset=offset,
        orderBy=bindings.v1OrderBy.DESC,
        sortBy=bindings.v1GetExperimentsRequestSortBy.ID,
        showTrialData=True,
    )
    return [_entry(each) for each in reply.experiments], int(reply.pagination.total or 0)


def inspect_experiment(client: Determined, id: int) -> ExperimentEntry:
    """One experiment, with its configuration.

    Raises:
        NotFound: There is no such experiment.
    """
    from determined.common.api import bindings

    with api_errors(f"experiment {id}"):
        reply = bindings.get_GetExperiment(session(client), experimentId=id)
    return _entry(reply.experiment, dict(reply.config or reply.experiment.config or {}))


@api_errors()
def checkpoints(client: Determined, experiment: int, number: int) -> list[CheckpointEntry]:
    """The checkpoints of an experiment, the newest first.

    Args:
        client: A client.
        experiment: The experiment.
        number: At most so many.
    """
    from determined.common.api import bindings

    reply = bindings.get_GetExperimentCheckpoints(session(client), id=experiment, limit=number)
    found = [
        CheckpointEntry(
            each.uuid,
            each.state.name,
            int(each.training.trialId or 0),
            int((each.metadata or {}).get("steps_completed") or 0),
            None if each.training.searcherMetric is None else float(each.training.searcherMetric),
            moment(each.reportTime),
            sum(int(size) for size in (each.resources or {}).values()),
        )
        for each in reply.checkpoints
    ]
    return sorted(found, key=lambda each: (each.reported, each.batches), reverse=True)


@api_errors()
def list_models(client: Determined) -> list[Model]:
    """All models of the registry that aren't archived, by name."""
    return sorted((each for each in client.list_models() if not each.archived), key=lambda each: str(each.name))


def need_model(client: Determined, name: str) -> Model:
    """The registry model of exactly that name.

    Raises:
        NotFound: There is none.
    """
    found = find_model(client, name)
    if found is None:
        raise NotFound(f"The registry has no model '{name}'.", where=f"model {name}", fix="det model list")
    return found
