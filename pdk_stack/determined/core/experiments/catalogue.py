"""Looks up experiments and trials by id."""

from __future__ import annotations

from pdk_stack.determined.store.documents import Copies, Document, Store

__all__ = ["TERMINAL", "Catalogue", "steps_of"]

#: Terminal states of an experiment or a trial.
TERMINAL = frozenset({"COMPLETED", "CANCELED", "ERROR"})


def steps_of(checkpoint: Document) -> int:
    """Return the number of batches completed when a checkpoint was written."""
    return int(checkpoint["metadata"].get("steps_completed") or 0)


class Catalogue:
    """Looks up documents.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._goals: dict[int, tuple[str, bool]] = {}
        self._run_ids: Copies[int, int] = Copies(store, "trial", self._read_run_id)

    def experiment(self, key: int) -> Document:
        """Return an experiment's document.

        Raises:
            Refusal: The document doesn't exist.
        """
        return self._store.need("experiment", key)

    def trial(self, key: int) -> Document:
        """Return a trial's document.

        Raises:
            Refusal: The document doesn't exist.
        """
        return self._store.need("trial", key)

    def task(self, key: str) -> Document:
        """Return a task's document.

        Raises:
            Refusal: The document doesn't exist.
        """
        return self._store.need("task", key)

    def checkpoints(self, trial_id: int, state: str = "") -> list[Document]:
        """List a trial's checkpoints.

        Args:
            state: Return only checkpoints in this state.
        """
        return [each for each in self._store.list("checkpoint", trial_id) if not state or each["state"] == state]

    def trials(self, experiment_id: int) -> list[Document]:
        """List an experiment's trials, oldest first."""
        return self._store.list("trial", experiment_id)

    def goal(self, trial_id: int) -> tuple[str, bool]:
        """Return the searcher's metric for a trial, and whether smaller is better; called for every report.

        Raises:
            Refusal: The trial doesn't exist.
        """
        found = self._goals.get(trial_id)
        if found is None:
            searcher = self.experiment(self.trial(trial_id)["experimentId"])["config"]["searcher"]
            found = self._goals[trial_id] = (searcher["metric"], searcher["smaller_is_better"])
        return found

    def run_id(self, trial_id: int) -> int:
        """Return the number of a trial's current or last run; called for every report.

        Raises:
            Refusal: The trial doesn't exist.
        """
        found = self._run_ids.get(trial_id)
        return int(self.trial(trial_id)["runId"]) if found is None else found

    def _read_run_id(self, trial_id: int) -> int | None:
        found = self._store.get("trial", trial_id)
        return None if found is None else int(found["runId"])

    def forget(self, trial_id: int) -> None:
        """Drop the cached goal of a deleted trial."""
        self._goals.pop(trial_id, None)
