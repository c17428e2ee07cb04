"""The common form of a lesson: the notebook's requirements, its closing check, and its exercises.

A check looks at the cluster and never at the notebook's variables, so it gives the same result tomorrow. A finding is
``ok``, ``not yet`` (an earlier step is missing), or ``wrong`` (something exists but isn't right). Each comes with the
next action.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pdk_nb.display.tables import Note
from pdk_nb.headless import is_headless, log_event
from pdk_nb.lessons.explanation import Explanation
from pdk_shared.errors import CheckFailed, PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Exercise", "Findings", "Lesson", "WrittenExercise", "expect", "read_written"]

Findings = Iterator[Note]


def expect(condition: bool, good: str, bad: str, fix: str, *, state: str = "wrong") -> Note:
    """One finding of a check.

    Args:
        condition: What must be true.
        good: One sentence for when it's true.
        bad: One sentence for when it's false.
        fix: What to do when it's false.
        state: The finding's state when it's false: ``wrong`` or ``not yet``.
    """
    return Note("ok", good) if condition else Note(state, bad, fix)


class Exercise(ABC):
    """One exercise: question, hint, solution, and judgment.

    Attributes:
        name: Number of its notebook and a word.
        kind: What it asks for: to ``Find``, ``Predict``, ``Measure``, ``Change``, or ``Repair`` something.
        question: The question, as the notebook asks it.
        hint: Where to look.
        solution: Code that sets ``answer``, given ``lab``.
        why: What the answer teaches.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
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

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong with an answer, as the end of a sentence; empty when it's right.

        Args:
            session: The session.
            answer: The learner's answer.
        """
        return "" if _same(answer, self.expected(session)) else f"{_said(answer)} isn't right"

    def judge(self, session: Session, answer: Any) -> Note:
        """Judge an answer: ``not yet`` (not tried), ``wrong``, or ``ok``.

        Args:
            session: The session.
            answer: The learner's answer; ``...``, None, and an empty text mean that there is none yet.
        """
        name = self.name
        if answer is ... or answer is None or answer == "":
            text = f"Exercise {name}: not tried yet."
            return Note("not yet", text, f'Replace the dots with your answer. For a hint, use lab.hint("{name}").')
        fault = self.fault(session, answer)
        if not fault:
            return Note("ok", f"Exercise {name}: {_said(answer)} is right. {self.why}")
        fix = f'Use lab.hint("{name}") or lab.solution("{name}").'
        return Note("wrong", f"Exercise {name}: {fault}.", fix)

    def show_hint(self) -> None:
        """Show the hint, wherever the call stands in its cell."""
        from IPython.display import display

        display(Note("hint", self.hint))

    def show_solution(self) -> None:
        """Show the solution as code for the exercise's cell."""
        from IPython.display import display

        display(Note("solution", self.solution))

    def check(self, session: Session, answer: Any) -> None:
        """Show the judgment. Exercises are optional, so only a wrong answer ends a headless run.

        Args:
            session: The session.
            answer: The learner's answer.

        Raises:
            CheckFailed: The answer is wrong, in a headless run.
        """
        from IPython.display import display

        note = self.judge(session, answer)
        display(note)
        if note.state == "wrong" and is_headless():
            raise CheckFailed(note.text, where=f"exercise {self.name}", fix=note.fix)


class WrittenExercise(Exercise):
    """An exercise whose answer is a piece of a spec, written by hand: YAML or JSON text, or a dictionary.

    ``expected`` gives the fields that must be there; an answer may have others.
    """

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong with the text or with one of its fields; see :meth:`Exercise.fault`."""
        written, fault = read_written(answer)
        return fault or _difference(written, self.expected(session))


def read_written(answer: Any) -> tuple[Any, str]:
    """The content of a written answer, and why it can't be read; that is empty when it can.

    Args:
        answer: YAML or JSON text, or the content itself.
    """
    import yaml

    if not isinstance(answer, str):
        return answer, ""
    try:
        return yaml.safe_load(answer), ""
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        return None, f"the text isn't valid YAML{where}: {getattr(error, 'problem', None) or 'it cannot be read'}"


def _difference(answer: Any, right: Any, path: str = "") -> str:
    """The first field that differs from what must be there; the right value isn't given away."""
    if not isinstance(right, Mapping):
        return "" if _same(answer, right) or answer is right else f"{path} is {answer!r}, which isn't right"
    if not isinstance(answer, Mapping):
        return f"{path or 'the answer'} must be a mapping: `key: value` lines"
    for key, value in right.items():
        below = f"{path}.{key}" if path else str(key)
        if key not in answer:
            return f"the field {below} is missing"
        if found := _difference(answer[key], value, below):
            return found
    return ""


def _said(answer: Any) -> str:
    """An answer as a judgment repeats it: written answers have many lines."""
    return "your text" if isinstance(answer, str) and "\n" in answer else repr(answer)


def _same(answer: Any, right: Any) -> bool:
    if isinstance(right, str):
        return isinstance(answer, str) and answer.strip().lower() == right.lower()
    return not isinstance(answer, bool) and bool(answer == right)


def _nothing_missing(session: Session) -> str:
    return ""


@dataclass(frozen=True)
class Lesson:
    """Everything that belongs to one notebook except its text.

    Attributes:
        number: Number of the notebook, e.g. ``03``.
        examine: Yields the findings of the closing check. Takes the session and, by keyword, the notebook's
            measurements.
        needs: Numbers of the notebooks whose outcome this one builds on, in order.
        missing: Describes which part of this notebook's outcome is missing on the cluster; empty when it's complete.
        exercises: Its exercises, in the notebook's order.
        explanations: The real objects that it explains, in the notebook's order.
    """

    number: str
    examine: Callable[..., Findings]
    needs: tuple[str, ...] = ()
    missing: Callable[[Session], str] = _nothing_missing
    exercises: tuple[Exercise, ...] = ()
    explanations: tuple[Explanation, ...] = ()

    def check(self, session: Session, **facts: Any) -> None:
        """Show the findings. In a headless run, raise if one of them isn't ok.

        Args:
            session: The session.
            facts: Values of the notebook that the check judges, e.g. ``min_right``.

        Raises:
            CheckFailed: A finding isn't ok, in a headless run.
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
