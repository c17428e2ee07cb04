"""Metrics of a validation, exact over all rows and all slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from determined import pytorch


def auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    """The area under the ROC curve: how often a row of class 1 has the higher score; ties count half.

    Args:
        labels: 0 or 1 for each row.
        scores: Score of class 1 for each row.

    Returns:
        0 to 1; 0.5 where a class has no row.
    """
    truth, values = torch.tensor(labels), torch.tensor(scores, dtype=torch.float64)
    positive, negative = int((truth == 1).sum()), int((truth == 0).sum())
    if not positive or not negative:
        return 0.5
    distinct, place = torch.unique(values, return_inverse=True)
    counts = torch.bincount(place, minlength=len(distinct)).double()
    # The mean rank of rows with the same score.
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place]
    total = float(ranks[truth == 1].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


class Scores(pytorch.MetricReducer):
    """Collects class and score of every row."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.labels: list[int] = []
        self.scores: list[float] = []
        self.loss = 0.0

    def update(self, labels: torch.Tensor, outputs: torch.Tensor) -> None:
        self.loss += float(torch.nn.functional.cross_entropy(outputs, labels, reduction="sum"))
        self.labels += labels.tolist()
        self.scores += torch.softmax(outputs.double(), dim=1)[:, 1].tolist()

    def per_slot_reduce(self) -> Any:
        return self.labels, self.scores, self.loss

    def cross_slot_reduce(self, per_slot_metrics: list[Any]) -> dict[str, float]:
        labels = [label for slot in per_slot_metrics for label in slot[0]]
        scores = [score for slot in per_slot_metrics for score in slot[1]]
        return summary(labels, scores, sum(slot[2] for slot in per_slot_metrics))


def summary(labels: Sequence[int], scores: Sequence[float], loss: float) -> dict[str, float]:
    """Metrics of rows.

    Args:
        labels: 0 or 1 for each row.
        scores: Probability of class 1 for each row.
        loss: Sum of the loss over all rows.

    Returns:
        ``auc``, ``accuracy``, ``loss``, ``brier`` (the mean squared error of the probability), and ``rows``.
    """
    count = max(1, len(labels))
    pairs = list(zip(labels, scores, strict=True))
    return {
        "auc": auc(labels, scores),
        "accuracy": sum((score >= 0.5) == (label == 1) for label, score in pairs) / count,
        "loss": loss / count,
        "brier": sum((score - label) ** 2 for label, score in pairs) / count,
        "rows": len(labels),
    }
