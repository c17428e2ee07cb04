"""How good a version is: its answers for pictures whose class is known, and how two versions differ."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pdk_nb.counting import counted
from pdk_nb.display.contact_sheet import Group, Shot, contact_sheet
from pdk_nb.display.tables import Markup

__all__ = ["Change", "Evaluation", "Judged", "by_chance", "change", "sheet"]

# Below this probability, a difference is called more than chance.
LEVEL = 0.05
# Pictures of a kind on a contact sheet; more only where more are wrong.
SHOWN = 8
# Name of the kind of pictures whose names give none.
COMMON = "common"


@dataclass(frozen=True)
class Judged:
    """One picture with a version's answer.

    Attributes:
        picture: The picture.
        true: Its class.
        label: The class that the version says; ``no answer`` when it gave none.
        kind: What the name says about the picture beside its class, such as ``night``; often empty.
    """

    picture: Path
    true: str
    label: str
    kind: str = ""

    @property
    def right(self) -> bool:
        """Whether the answer is the picture's class."""
        return self.label == self.true


@dataclass(frozen=True)
class Evaluation:
    """The result of one version on a set of pictures.

    Attributes:
        title: What is evaluated.
        commit: The version: the commit that its model was trained with.
        judged: One entry for each picture.
        classes: Class names in order.
    """

    title: str
    commit: str
    judged: tuple[Judged, ...] = ()
    classes: tuple[str, ...] = ()

    @cached_property
    def counts(self) -> Counter[tuple[str, str]]:
        """Pictures by (true class, predicted class)."""
        return Counter((each.true, each.label) for each in self.judged)

    @property
    def total(self) -> int:
        """Number of pictures."""
        return len(self.judged)

    @property
    def accuracy(self) -> float:
        """Share of correct answers."""
        return sum(each.right for each in self.judged) / self.total if self.total else 0.0

    @property
    def kinds(self) -> dict[str, tuple[Judged, ...]]:
        """The pictures by kind, the most wrong kind last; a single group when the names tell no kinds apart."""
        groups: dict[str, list[Judged]] = {}
        for each in self.judged:
            groups.setdefault(each.kind or COMMON, []).append(each)
        # Other people's names give each picture a kind of its own: then they say nothing.
        if len(groups) > self.total / 2:
            groups = {COMMON: list(self.judged)}
        ordered = sorted(groups.items(), key=lambda group: -sum(each.right for each in group[1]) / len(group[1]))
        return {kind: tuple(found) for kind, found in ordered}

    def __str__(self) -> str:
        return f"{self.title}: {self.accuracy:.1%} of {self.total} pictures right ({self.commit[:12]}…)"

    __repr__ = __str__


@dataclass(frozen=True)
class Change:
    """How the answers of two versions differ.

    Attributes:
        better: Pictures that only the new version gets right.
        worse: Pictures that only the old version gets right.
        probability: Probability of a difference at least as large, if both versions were equally good.
    """

    better: tuple[Judged, ...]
    worse: tuple[Judged, ...]
    probability: float

    def __str__(self) -> str:
        sides = len(self.better) + len(self.worse)
        if not sides:
            return "No picture changed sides: on these pictures, both versions are equally good."
        verdict = "more than chance" if self.probability < LEVEL else "perhaps only chance"
        return (
            f"{counted(sides, 'picture')} changed sides: {len(self.better)} became right, {len(self.worse)} became "
            f"wrong. Between equally good versions, a difference this large has a probability of "
            f"{_percent(self.probability)} (McNemar's exact test): it is {verdict}."
        )


def _percent(probability: float) -> str:
    if probability < 0.001:
        return "less than 0.1%"
    return f"{100 * probability:.0f}%" if probability >= 0.1 else f"{100 * probability:.2g}%"


def by_chance(better: int, worse: int) -> float:
    """Probability that pictures which change sides do so at least this unevenly, each side being equally likely.

    This is McNemar's exact test (two-sided): a binomial test of the pictures that only one of two versions gets right.

    Args:
        better: Pictures that only the new version gets right.
        worse: Pictures that only the old version gets right.
    """
    sides = better + worse
    tail: float = sum(math.comb(sides, count) for count in range(min(better, worse) + 1)) / 2**sides
    return min(1.0, 2 * tail)


def change(old: Evaluation, new: Evaluation) -> Change:
    """Compare two versions picture by picture; pictures that only one of them was asked about don't count.

    Args:
        old: The version to beat.
        new: The other one.
    """
    before = {each.picture: each.right for each in old.judged}
    both = [each for each in new.judged if each.picture in before]
    better = tuple(each for each in both if each.right and not before[each.picture])
    worse = tuple(each for each in both if not each.right and before[each.picture])
    return Change(better, worse, by_chance(len(better), len(worse)))


def sheet(evaluation: Evaluation) -> Markup:
    """A contact sheet by kind: every wrong answer, and some of the right ones.

    Args:
        evaluation: The version's answers.
    """
    groups = []
    for kind, found in evaluation.kinds.items():
        wrong = [each for each in found if not each.right]
        right = [each for each in found if each.right][: max(0, SHOWN - len(wrong))]
        title = f"{kind}: {len(found) - len(wrong)} of {len(found)} right"
        groups.append(Group(title, tuple(_shot(each) for each in (*wrong, *right))))
    return contact_sheet(groups, str(evaluation))


def _shot(each: Judged) -> Shot:
    text = each.label if each.right else f"{each.label}, is {each.true}"
    return Shot(each.picture, text, marked=not each.right)
