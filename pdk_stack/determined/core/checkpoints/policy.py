"""Checkpoint garbage collection: which checkpoints an ended experiment keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Candidate", "to_delete"]


@dataclass(frozen=True)
class Candidate:
    """A completed checkpoint.

    Attributes:
        steps: Batches completed when it was written.
        metric: The searcher's metric from the validation at the same step; None when there is none.
    """

    uuid: str
    trial_id: int
    steps: int
    metric: float | None


def to_delete(
    checkpoints: Iterable[Candidate],
    *,
    experiment_best: int,
    trial_best: int,
    trial_latest: int,
    smaller_is_better: bool,
    kept: Iterable[str] = (),
) -> list[str]:
    """Return the checkpoints that the ``save_*`` policy does not keep.

    Args:
        experiment_best: How many of the experiment's best to keep.
        trial_best: How many of each trial's best to keep.
        trial_latest: How many of each trial's latest to keep.
        kept: Checkpoints never to delete: registered ones, and those that other experiments started from.
    """
    everything = list(checkpoints)
    keep = set(kept)

    def best(of: list[Candidate]) -> list[Candidate]:
        rated = [each for each in of if each.metric is not None]
        return sorted(rated, key=lambda each: (each.metric or 0.0) * (1 if smaller_is_better else -1))

    by_trial: dict[int, list[Candidate]] = defaultdict(list)
    for each in everything:
        by_trial[each.trial_id].append(each)
    keep.update(each.uuid for each in best(everything)[:experiment_best])
    for own in by_trial.values():
        keep.update(each.uuid for each in best(own)[:trial_best])
        keep.update(each.uuid for each in sorted(own, key=lambda each: -each.steps)[:trial_latest])
    return [each.uuid for each in everything if each.uuid not in keep]
