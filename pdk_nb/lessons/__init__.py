"""The lessons: one module for each notebook, with its requirements, actions, check, and exercises.

A lesson may use code of an earlier lesson, never of a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from pdk_nb.display.tables import Note
from pdk_nb.lessons import (
    n00_environment,
    n01_pipelines,
    n02_data,
    n03_training,
    n04_deployment,
    n05_prediction,
    n06_second_arrival,
    n07_search,
    n08_batch,
    n99_clean_up,
)
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Lesson
from pdk_shared.errors import PdkError, UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = [
    "EXERCISES",
    "EXPLANATIONS",
    "LESSONS",
    "Exercise",
    "Explanation",
    "Lesson",
    "find_exercise",
    "find_explanation",
    "find_lesson",
    "start",
]

Found = TypeVar("Found")

LESSONS: dict[str, Lesson] = {
    module.LESSON.number: module.LESSON
    for module in (
        n00_environment,
        n01_pipelines,
        n02_data,
        n03_training,
        n04_deployment,
        n05_prediction,
        n06_second_arrival,
        n07_search,
        n08_batch,
        n99_clean_up,
    )
}
EXPLANATIONS: dict[str, Explanation] = {each.name: each for lesson in LESSONS.values() for each in lesson.explanations}
EXERCISES: dict[str, Exercise] = {each.name: each for lesson in LESSONS.values() for each in lesson.exercises}


def find_lesson(number: str) -> Lesson:
    """The lesson of a notebook.

    Args:
        number: Number of the notebook, e.g. ``03``.

    Raises:
        PdkError: There is no lesson of that number.
    """
    if number not in LESSONS:
        raise PdkError(f"There is no check {number}.", fix=f"Use one of: {', '.join(LESSONS)}")
    return LESSONS[number]


def find_exercise(name: str) -> Exercise:
    """An exercise by name.

    Args:
        name: Number of its notebook and a word, e.g. ``03-best``.

    Raises:
        UsageError: There is none of that name.
    """
    return _find(EXERCISES, "exercise", name)


def find_explanation(name: str) -> Explanation:
    """The explanation of a real object by name.

    Args:
        name: Number of its notebook and a word, e.g. ``01-spec``.

    Raises:
        UsageError: There is none of that name.
    """
    return _find(EXPLANATIONS, "explanation", name)


def _find(known: Mapping[str, Found], what: str, name: str) -> Found:
    if name not in known:
        raise UsageError(f"There is no {what} {name}.", fix=f"Use one of: {', '.join(known)}")
    return known[name]


def start(session: Session, number: str) -> Note:
    """Check that the cluster has what a notebook needs, so that you can continue the lab at any notebook.

    Args:
        session: The session.
        number: Number of the notebook.

    Returns:
        A note that the notebook can start.

    Raises:
        PdkError: An earlier notebook must run first; the text says which.
    """
    for needed in find_lesson(number).needs:
        reason = LESSONS[needed].missing(session)
        if reason:
            raise PdkError(
                f"Notebook {number} can't start: {reason}.",
                fix=f"Run notebook {needed} first: pdk-nb run --only {needed}, or open it in JupyterLab.",
            )
    return Note("ok", f"Notebook {number} has everything it needs.")
