"""Exercises of the notebooks: one source for question, hint, solution and judgement.

The notebooks ask the questions, ``lab.check`` judges an answer by looking at the cluster, and the solutions in
``docs/instructor.md`` are written from here by ``python -m pdk_nb.exercises``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb.display.tables import Note
from pdk_nb.exercises.catalogue import EXERCISES, Exercise
from pdk_nb.headless import is_headless
from pdk_shared.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["EXERCISES", "Exercise", "check", "find", "hint", "judge", "solution"]


def find(name: str) -> Exercise:
    """An exercise by name.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in EXERCISES:
        raise UsageError(f"There is no exercise {name}.", fix=f"Use one of: {', '.join(EXERCISES)}")
    return EXERCISES[name]


def judge(session: Session, name: str, answer: Any) -> Note:
    """Whether an answer is right, in one note: ``not yet`` (not tried), ``wrong`` or ``ok``."""
    exercise = find(name)
    if answer is ... or answer is None or answer == "":
        return Note(
            "not yet", f"Exercise {name}: not tried yet.", f'Put your answer in place of the dots; lab.hint("{name}").'
        )
    right = exercise.expected(session)
    if _same(answer, right):
        return Note("ok", f"Exercise {name}: {answer!r} is right. {exercise.why}")
    return Note("wrong", f"Exercise {name}: {answer!r} is not it.", f'lab.hint("{name}"), or lab.solution("{name}").')


def _same(answer: Any, right: Any) -> bool:
    if isinstance(right, str):
        return isinstance(answer, str) and answer.strip().lower() == right.lower()
    return not isinstance(answer, bool) and bool(answer == right)


def check(session: Session, name: str, answer: Any) -> None:
    """Show the judgement; exercises are optional, so that only a wrong answer ends a headless run.

    Raises:
        CheckFailed: The answer is wrong, and nobody is there to read the hint.
    """
    from IPython.display import display

    note = judge(session, name, answer)
    display(note)
    if note.state == "wrong" and is_headless():
        raise CheckFailed(note.text, where=f"exercise {name}", fix=note.fix)


def hint(name: str) -> Note:
    """A hint."""
    return Note("hint", find(name).hint)


def solution(name: str) -> Note:
    """The solution as code for the exercise's cell."""
    return Note("solution", find(name).solution)
