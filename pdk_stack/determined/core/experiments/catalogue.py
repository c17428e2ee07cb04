"""Experiments and trials by their numbers."""

from __future__ import annotations

from pdk_stack.determined.store.documents import Document, Store

__all__ = ["TERMINAL", "Catalogue", "steps_of"]

#: States in which an experiment or a trial has ended.
TERMINAL = frozenset({"COMPLETED", "CANCELED", "ERROR"})


def steps_of(checkpoint: Document) -> int:
    """The batches that were done when a checkpoint was written."""
    return int(checkpoint["metadata"].get("steps_completed") or 0)


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
            Refusal: There is none.
        """
        return self._store.need("experiment", key)

    def trial(self, key: int) -> Document:
        """A trial's document.

        Raises:
            Refusal: There is none.
        """
        return self._store.need("trial", key)

    def task(self, key: str) -> Document:
        """A task's document.

        Raises:
            Refusal: There is none.
        """
        return self._store.need("task", key)

    def checkpoints(self, trial_id: int, state: str = "") -> list[Document]:
        """A trial's checkpoints.

        Args:
            state: Only those in this state.
        """
        return [each for each in self._store.list("checkpoint", trial_id) if not state or each["state"] == state]

    def trials(self, experiment_id: int) -> list[Document]:
        """An experiment's trials, oldest first."""
        return self._store.list("trial", experiment_id)

    def goal(self, trial_id: int) -> tuple[str, bool]:
        """The searcher's metric of a trial, and whether smaller is better; asked for every report.

        Raises:
            Refusal: There is no such trial.
        """
        found = self._goals.get(trial_id)
        if found is None:
            searcher = self.experiment(self.trial(trial_id)["experimentId"])["config"]["searcher"]
            found = self._goals[trial_id] = (searcher["metric"], searcher["smaller_is_better"])
        return found

    def forget(self, trial_id: int) -> None:
        """A trial was deleted."""
        self._goals.pop(trial_id, None)
