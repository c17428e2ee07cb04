"""How good a version is on rows whose class is known: ROC curve, calibration, and how arrivals differ."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev

from pdk_nb.display.diagrams import Drawing, Plot, Series, side_by_side
from pdk_nb.display.tables import Table
from pdk_nb.tasks.tabular.rows import Row, TableArrival

__all__ = ["Drift", "Evaluation", "Judged", "auc", "calibration", "drift_between", "plots", "roc"]

# Rows of a bin of the calibration: of fewer, the share says little.
BINS, BIN_ROWS = 10, 20
# Shifts that are worth a word: of a number in deviations of the old ones, and of a category's share.
SHIFT, SHARE = 0.25, 0.1


@dataclass(frozen=True)
class Judged:
    """One row with a version's answer.

    Attributes:
        row: The row.
        score: Probability of the second class, which the evaluation is about.
    """

    row: Row
    score: float


@dataclass(frozen=True)
class Evaluation:
    """The result of one version on a set of rows.

    Attributes:
        title: What is evaluated.
        commit: The version: the commit that its model was trained with.
        judged: One entry for each row that was answered.
        classes: Class names in order; the second one is what the scores are about.
    """

    title: str
    commit: str
    judged: tuple[Judged, ...]
    classes: tuple[str, ...]

    def labels(self, group: str = "") -> list[int]:
        """1 for each row of the second class, else 0; of one group, or of all."""
        return [int(each.row.label == self.classes[1]) for each in self._of(group)]

    def scores(self, group: str = "") -> list[float]:
        """Probability of the second class for each row; of one group, or of all."""
        return [each.score for each in self._of(group)]

    def _of(self, group: str) -> list[Judged]:
        return [each for each in self.judged if not group or each.row.group == group]

    @property
    def groups(self) -> list[str]:
        """Groups of the rows, in alphabetical order."""
        return sorted({each.row.group for each in self.judged} - {""})

    def auc(self, group: str = "") -> float:
        """Area under the ROC curve; of one group, or of all."""
        return auc(self.labels(group), self.scores(group))

    def __str__(self) -> str:
        return f"{self.title}: AUC {self.auc():.3f} on {len(self.judged)} rows ({self.commit[:12]}…)"

    __repr__ = __str__


def roc(labels: Sequence[int], scores: Sequence[float]) -> list[tuple[float, float]]:
    """The ROC curve: the share of false alarms, and the share of what is found, as the threshold falls.

    Args:
        labels: 1 for each row of the class that is looked for, else 0.
        scores: Its probability for each row.
    """
    positive, negative = sum(labels), len(labels) - sum(labels)
    found = alarms = 0
    points = [(0.0, 0.0)]
    ordered = sorted(zip(scores, labels, strict=True), reverse=True)
    for place, (score, label) in enumerate(ordered):
        found, alarms = found + label, alarms + 1 - label
        # Rows with the same score can't be told apart: they make one step.
        if place + 1 == len(ordered) or ordered[place + 1][0] != score:
            points.append((alarms / max(1, negative), found / max(1, positive)))
    return points


def auc(labels: Sequence[int], scores: Sequence[float]) -> float:
    """Area under the ROC curve: how often a row of the class has the higher score; ties count half.

    Args:
        labels: 1 for each row of the class that is looked for, else 0.
        scores: Its probability for each row.

    Returns:
        0 to 1; NaN where all rows have one class.
    """
    if len(set(labels)) < 2:
        return math.nan
    points = roc(labels, scores)
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(points, points[1:], strict=False))


def calibration(labels: Sequence[int], scores: Sequence[float]) -> list[tuple[float, float]]:
    """Mean probability and true share of rows with similar probabilities; bins with few rows are left out.

    Args:
        labels: 1 for each row of the class, else 0.
        scores: Its probability for each row.
    """
    bins: dict[int, list[tuple[float, int]]] = {}
    for score, label in zip(scores, labels, strict=True):
        bins.setdefault(min(BINS - 1, int(score * BINS)), []).append((score, label))
    usable = [each for _, each in sorted(bins.items()) if len(each) >= BIN_ROWS]
    return [(fmean(score for score, _ in each), fmean(label for _, label in each)) for each in usable]


def plots(evaluations: Sequence[Evaluation]) -> Drawing:
    """ROC curves and calibration of versions; the newest stands out.

    Args:
        evaluations: One for each version, the oldest first.
    """
    curves = [Series("chance", [(0.0, 0.0), (1.0, 1.0)], "stopped")]
    honest = [Series("as often as it says", [(0.0, 0.0), (1.0, 1.0)], "stopped")]
    for each in evaluations:
        newest = each is evaluations[-1]
        labels, scores, style = each.labels(), each.scores(), "best" if newest else "other"
        curves.append(Series(f"{each.title}, AUC {each.auc():.3f}", roc(labels, scores), style))  # type: ignore[arg-type]
        honest.append(Series(each.title, calibration(labels, scores), style))  # type: ignore[arg-type]
    name = evaluations[-1].classes[1]
    return side_by_side(
        [
            Plot(curves, "ROC curve", "share of false alarms", f"share of '{name}' that is found"),
            Plot(honest, "Calibration", f"probability of '{name}'", "share that it is true for"),
        ]
    )


def comparison(evaluations: Sequence[Evaluation]) -> Table:
    """AUC of versions, of all rows and of each group.

    Args:
        evaluations: One for each version, on the same rows; the oldest first.
    """
    groups = evaluations[0].groups
    rows = [
        (each.title, each.commit, f"{each.auc():.3f}", *(f"{each.auc(group):.3f}" for group in groups))
        for each in evaluations
    ]
    caption = f"AUC on {len(evaluations[0].judged)} rows that neither was trained with"
    return Table(("Version", "Commit", "All", *groups), rows, caption=caption)


@dataclass(frozen=True)
class Drift:
    """How a new arrival differs from the old one.

    Attributes:
        old: Name of the arrival that the model knows.
        new: Name of the new one.
        shifts: For each column: old and new value, as text, and what has shifted, in words; empty without a shift.
    """

    old: str
    new: str
    shifts: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)

    @property
    def table(self) -> Table:
        """Every column, old against new."""
        rows = [(name, *values) for name, values in self.shifts.items()]
        return Table(("Column", self.old, self.new, "Shift"), rows)

    def __str__(self) -> str:
        found = [said for _, _, said in self.shifts.values() if said]
        if not found:
            return f"No drift: {self.new} resembles {self.old}."
        return f"Drift from {self.old} to {self.new}: {'; '.join(found)}."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import html

        return f"{self.table._repr_html_()}<p>{html.escape(str(self))}</p>"


def drift_between(old: TableArrival, new: TableArrival) -> Drift:
    """Compare a new arrival with an old one, column by column.

    Args:
        old: The rows that the model knows.
        new: The new ones.
    """
    shifts = {}
    for column in old.layout.columns:
        name = str(column["name"])
        before, after = ([row.values[name] for row in each.rows] for each in (old, new))
        shifts[name] = _shares(name, before, after) if column["kind"] == "category" else _means(name, before, after)
    return Drift(old.name, new.name, shifts)


def _means(name: str, before: Sequence[float], after: Sequence[float]) -> tuple[str, str, str]:
    mean, spread, other = fmean(before), pstdev(before) or 1.0, fmean(after)
    shift = (other - mean) / spread
    said = f"{name} is {'higher' if shift > 0 else 'lower'} ({shift:+.1f} deviations)" if abs(shift) > SHIFT else ""
    return f"mean {mean:.4g}", f"mean {other:.4g}", said


def _shares(name: str, before: Sequence[str], after: Sequence[str]) -> tuple[str, str, str]:
    old, new = ({value: count / len(values) for value, count in Counter(values).items()} for values in (before, after))
    said = [
        f"{name} is {value} in {new.get(value, 0):.0%} instead of {old.get(value, 0):.0%}"
        for value in sorted({*old, *new})
        if abs(new.get(value, 0) - old.get(value, 0)) > SHARE
    ]
    shown = [", ".join(f"{value} {share:.0%}" for value, share in sorted(each.items())) for each in (old, new)]
    return shown[0], shown[1], "; ".join(said)
