"""The trials of a Determined experiment, each with its hyperparameters and learning curve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pdk_nb.platforms.mlde._connection import session
from pdk_nb.platforms.mlde._errors import api_errors
from pdk_nb.platforms.mlde._experiments import TERMINAL
from pdk_nb.platforms.mlde._reports import metrics

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined

# More trials than a person compares.
MOST = 500


@dataclass(frozen=True)
class Trial:
    """One trial of an experiment.

    Attributes:
        id: Determined's number.
        state: ``QUEUED``, ``STARTING``, ``RUNNING``, ``COMPLETED``, ``ERROR``, ...
        hyperparameters: The values that the searcher chose, by name.
        points: Batches and value of each validation's searcher metric, in order of batches.
        batches: Batches that it has processed.
    """

    id: int
    state: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    points: tuple[tuple[int, float], ...] = ()
    batches: int = 0

    @property
    def ended(self) -> bool:
        """Whether it has ended, whatever its end."""
        return self.state in TERMINAL

    def best(self, smaller_is_better: bool) -> float | None:
        """The best value of the searcher's metric so far; None before the first validation.

        Args:
            smaller_is_better: Which of two values is better.
        """
        values = [value for _, value in self.points]
        if not values:
            return None
        return min(values) if smaller_is_better else max(values)


@api_errors()
def trials(client: Determined, experiment_id: int, metric: str) -> list[Trial]:
    """All trials of an experiment, the oldest first.

    Args:
        client: A client.
        experiment_id: The experiment.
        metric: Name of the validation metric to read, usually the searcher's.
    """
    reply = session(client).get(f"/api/v1/experiments/{experiment_id}/trials", params={"limit": MOST}).json()
    listed = reply.get("trials") or []
    points: dict[int, list[tuple[int, float]]] = {}
    for report in metrics(client, [int(each["id"]) for each in listed], ("validation",)):
        if isinstance(report.values.get(metric), (int, float)):
            points.setdefault(report.trial, []).append((report.batches, float(report.values[metric])))
    found = [
        Trial(
            int(each["id"]),
            str(each.get("state", "")).removeprefix("STATE_"),
            dict(each.get("hparams") or {}),
            tuple(points.get(int(each["id"]), ())),
            int(each.get("totalBatchesProcessed") or 0),
        )
        for each in listed
    ]
    return sorted(found, key=lambda trial: trial.id)


def ranked(found: Iterable[Trial], smaller_is_better: bool) -> list[Trial]:
    """The trials with a validation, the best first; of equal ones, the oldest.

    Args:
        found: Trials.
        smaller_is_better: Which of two values of the metric is better.
    """
    sign = 1 if smaller_is_better else -1
    judged = [(sign * value, each.id, each) for each in found if (value := each.best(smaller_is_better)) is not None]
    return [each for _, _, each in sorted(judged, key=lambda one: one[:2])]
