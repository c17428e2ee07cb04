"""The common form of a lesson: what its notebook needs, how its outcome is checked, and its exercises.

A check looks at the cluster and never at the notebook's variables, so that it says the same tomorrow. It knows three
answers: ``ok``, ``not yet`` (something earlier has to be done first) and ``wrong`` (it is there, but not as it should
be), each with the next thing to do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pdk_nb.display.tables import Note
from pdk_nb.headless import is_headless, log_event
from pdk_shared.errors import CheckFailed, PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Exercise", "Findings", "Lesson", "expect"]

Findings = Iterator[Note]


def expect(condition: bool, good: str, bad: str, fix: str, *, state: str = "wrong") -> Note:
    """One finding of a check.

    Args:
        condition: What has to hold.
        good: One sentence for when it does.
        bad: One sentence for when it does not.
        fix: What to do then.
        state: The finding's state then: ``wrong``, or ``not yet``.
    """
    return Note("ok", good) if condition else Note(state, bad, fix)


class Exercise(ABC):
    """One exercise: question, hint, solution and judgement.

    Attributes:
        name: Number of its notebook and a word.
        question: What is asked.
        hint: Where to look.
        solution: Code that sets ``answer``, with ``lab`` at hand.
        why: What the answer teaches.
    """

    name: ClassVar[str]
    question: ClassVar[str]
    hint: ClassVar[str]
    solution: ClassVar[str]
    why: ClassVar[str]

    @property
    def notebook(self) -> str:
        """Number of its notebook."""
        return self.name[:2]

    @abstractmethod
    def expected(self, session: Session) -> Any:
        """The right answer, read from the cluster.

        Args:
            session: The session.
        """

    def judge(self, session: Session, answer: Any) -> Note:
        """Whether an answer is right, in one note: ``not yet`` (not tried), ``wrong`` or ``ok``.

        Args:
            session: The session.
            answer: What the learner gave; ``...``, None and an empty text mean that nothing was tried.
        """
        name = self.name
        if answer is ... or answer is None or answer == "":
            text = f"Exercise {name}: not tried yet."
            return Note("not yet", text, f'Put your answer in place of the dots; lab.hint("{name}").')
        if _same(answer, self.expected(session)):
            return Note("ok", f"Exercise {name}: {answer!r} is right. {self.why}")
        fix = f'lab.hint("{name}"), or lab.solution("{name}").'
        return Note("wrong", f"Exercise {name}: {answer!r} is not it.", fix)

    def show_hint(self) -> Note:
        """The hint."""
        return Note("hint", self.hint)

    def show_solution(self) -> Note:
        """The solution as code for the exercise's cell."""
        return Note("solution", self.solution)

    def check(self, session: Session, answer: Any) -> None:
        """Show the judgement; exercises are optional, so only a wrong answer ends a headless run.

        Args:
            session: The session.
            answer: What the learner gave.

        Raises:
            CheckFailed: The answer is wrong, and nobody is there to read the hint.
        """
        from IPython.display import display

        note = self.judge(session, answer)
        display(note)
        if note.state == "wrong" and is_headless():
            raise CheckFailed(note.text, where=f"exercise {self.name}", fix=note.fix)


def _same(answer: Any, right: Any) -> bool:
    if isinstance(right, str):
        return isinstance(answer, str) and answer.strip().lower() == right.lower()
    return not isinstance(answer, bool) and bool(answer == right)


def _nothing_missing(session: Session) -> str:
    return ""


@dataclass(frozen=True)
class Lesson:
    """What belongs to one notebook besides its text.

    Attributes:
        number: Number of the notebook, e.g. ``03``.
        examine: Yields the findings of the closing check. Takes the session and, by keyword, what the notebook
            measured.
        needs: Numbers of the notebooks whose outcome this one builds on, in order.
        missing: Says what of this notebook's own outcome is not on the cluster; empty when all of it is.
        exercises: Its exercises, in the notebook's order.
    """

    number: str
    examine: Callable[..., Findings]
    needs: tuple[str, ...] = ()
    missing: Callable[[Session], str] = _nothing_missing
    exercises: tuple[Exercise, ...] = ()

    def check(self, session: Session, **facts: Any) -> None:
        """Show the findings; raise when one is not ok and nobody is there to read it.

        Args:
            session: The session.
            facts: What the notebook measured and the check judges, e.g. ``min_accuracy``.

        Raises:
            CheckFailed: A finding is not ok, in a headless run.
        """
        from IPython.display import display

        notes = []
        try:
            for note in self.examine(session, **facts):
                notes.append(note)
        except PdkError as error:
            notes.append(Note("wrong", error.what, error.fix))
        for note in notes:
            log_event("check", notebook=self.number, state=note.state, text=note.text, fix=note.fix)
            display(note)
        failed = [note for note in notes if note.state != "ok"]
        if failed and is_headless():
            raise CheckFailed(failed[0].text, where=f"check {self.number}", fix=failed[0].fix)
