"""Experiments and trials by their numbers."""

from __future__ import annotations

from pdk_stack.determined.errors import not_found
from pdk_stack.determined.store.documents import Document, Store

__all__ = ["TERMINAL", "Catalogue"]

#: States in which an experiment or a trial has ended.
TERMINAL = frozenset({"COMPLETED", "CANCELED", "ERROR"})


class Catalogue:
    """Looks documents up.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._goals: dict[int, tuple[str, bool]] = {}

    def experiment(self, key: int) -> Document:
        """An experiment's document.

        Raises:
            ApiError: There is none.
        """
        found = self._store.get("experiment", key)
        if found is None:
            raise not_found(f"experiment '{key}' not found")
        return found

    def trial(self, key: int) -> Document:
        """A trial's document.

        Raises:
            ApiError: There is none.
        """
        found = self._store.get("trial", key)
        if found is None:
            raise not_found(f"trial '{key}' not found")
        return found

    def trials(self, experiment_id: int) -> list[Document]:
        """An experiment's trials, oldest first."""
        return self._store.list("trial", experiment_id)

    def goal(self, trial_id: int) -> tuple[str, bool]:
        """The searcher's metric of a trial, and whether smaller is better; asked for every report.

        Raises:
            ApiError: There is no such trial.
        """
        found = self._goals.get(trial_id)
        if found is None:
            searcher = self.experiment(self.trial(trial_id)["experimentId"])["config"]["searcher"]
            found = self._goals[trial_id] = (searcher["metric"], searcher["smaller_is_better"])
        return found

    def forget(self, trial_id: int) -> None:
        """A trial was deleted."""
        self._goals.pop(trial_id, None)
