"""What a task tells the notebooks and the panel: the interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from pdk_nb.display.tables import Markup, Note, Table
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

__all__ = ["Arrival", "Findings", "LabTask"]

Findings = Iterator["Note"]


class Arrival(Protocol):
    """Data that become one commit."""

    @property
    def name(self) -> str:
        """``data1`` and so on."""

    @property
    def size(self) -> int:
        """Bytes of all files."""

    def files(self) -> Mapping[str, Path]:
        """Local files by their path in the commit's folder."""


class LabTask(ABC):
    """A kind of data and of answers, as the notebooks see it.

    An item is what a model is asked about: the notebooks only pass it on. ``session`` is the session everywhere.

    Attributes:
        name: The task's name in an example's contract.
        files: What a commit's files are called, in the plural.
    """

    name: ClassVar[str]
    files: ClassVar[str]

    @abstractmethod
    def choose_classes(self, session: Session, named: str, source: str) -> tuple[str, ...]:
        """Class names, in the order of the model's outputs.

        Args:
            session: The session.
            named: Names, separated by commas; may be empty.
            source: Data that will be committed; the sample data when empty.

        Raises:
            DataError: The names are invalid, or the data give none.
        """

    @abstractmethod
    def open(self, session: Session, source: str, arrival: str, small: bool) -> Arrival:
        """Inspect the data of a folder or file.

        Args:
            session: The session.
            source: Folder or file; the sample data when empty.
            arrival: Name of the arrival, of which a source may hold several.
            small: Whether to use only a little of it.

        Raises:
            DataError: The data can't be used for training.
        """

    @abstractmethod
    def hold_out(self, session: Session, arrivals: Sequence[Any]) -> Sequence[Any]:
        """Items that are never used for training, selected like the experiment's validation set.

        Args:
            session: The session.
            arrivals: The committed arrivals.
        """

    @abstractmethod
    def samples(self, session: Session, source: str) -> Sequence[Any]:
        """A few items that are never used for training.

        Args:
            session: The session.
            source: Data that the model was trained with; the lab's own when empty.
        """

    @abstractmethod
    def show_request(self, item: Any) -> Markup:
        """An item next to the JSON that the service gets for it."""

    @abstractmethod
    def ask(self, session: Session, items: Sequence[Any]) -> list[tuple[Any, Prediction]]:
        """Every item with the service's answer."""

    @abstractmethod
    def predict(self, session: Session, items: Sequence[Any]) -> Table:
        """Predictions of items, each compared with what is known about it."""

    @abstractmethod
    def evaluate(self, session: Session, items: Sequence[Any], title: str) -> Any:
        """Send every item to the service, and judge the answers.

        Args:
            session: The session.
            items: Items whose class is known.
            title: What is evaluated; the beginning of the commit's id when empty.
        """

    @abstractmethod
    def show_evaluation(self, evaluation: Any) -> Any:
        """One evaluation, drawn."""

    @abstractmethod
    def compare(self, evaluations: Sequence[Any]) -> Table:
        """Several evaluations of the same items, the oldest version first."""

    @abstractmethod
    def drift(self, old: Any, new: Any) -> Any:
        """How a new arrival differs from the one that the model was trained with."""

    @abstractmethod
    def instance(self, item: Any) -> Mapping[str, Any] | Path:
        """What :func:`pdk_nb.platforms.serving.predict` takes for an item."""

    @abstractmethod
    def check_commit(self, session: Session, **facts: Any) -> Findings:
        """Notebook 02's check: the newest commit holds usable data."""

    @abstractmethod
    def check_answers(self, session: Session, **facts: Any) -> Findings:
        """Notebook 05's check: the service answers, and rightly."""
