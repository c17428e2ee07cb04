"""User actions on experiments: pause, activate, cancel, kill, archive, change priority, continue."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.core.expconf.completion import overridden
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.core.experiments.life import Experiments, end_of
from pdk_stack.determined.errors import failed_precondition
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Control"]


class Control:
    """Changes the state of experiments on request.

    Args:
        store: The master's database.
        experiments: All experiments.
    """

    def __init__(self, store: Store, experiments: Experiments) -> None:
        self._store = store
        self._experiments = experiments

    def activate(self, key: int) -> None:
        """Activate a paused experiment."""
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            if experiment["state"] == "PAUSED":
                self._store.update("experiment", key, state="ACTIVE")
            elif experiment["state"] != "ACTIVE":
                raise failed_precondition(f"experiment in incompatible state {experiment['state']}")
        self._experiments.schedule()

    def pause(self, key: int) -> None:
        """Pause an experiment: its trials write a checkpoint and release their slots."""
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            if experiment["state"] == "ACTIVE":
                self._store.update("experiment", key, state="PAUSED")
            elif experiment["state"] != "PAUSED":
                raise failed_precondition(f"experiment in incompatible state {experiment['state']}")
            for trial in self._experiments.trials(key):
                self._experiments.runs.terminate(trial["id"])

    def cancel(self, key: int) -> None:
        """Cancel an experiment after its trials write a checkpoint."""
        self._end_by_request(key, "STOPPING_CANCELED", kill=False)

    def kill(self, key: int) -> None:
        """Kill an experiment immediately."""
        self._end_by_request(key, "STOPPING_KILLED", kill=True)

    def _end_by_request(self, key: int, state: str, *, kill: bool) -> None:
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            if experiment["state"] in TERMINAL:
                return
            if experiment.get("unmanaged"):
                self._store.update("experiment", key, state="CANCELED", endTime=now())
                return
            self._store.update("experiment", key, state=state)
            for trial in self._experiments.trials(key):
                self._stop_trial(trial, state, kill=kill)
            self._experiments.check_end(key)
        self._experiments.schedule()

    def _stop_trial(self, trial: Document, state: str, *, kill: bool) -> None:
        if trial["state"] in TERMINAL:
            return
        trial = self._store.update("trial", trial["id"], state=state)
        if self._experiments.runs.of_trial(trial["id"]) is None:
            self._experiments.end_trial(trial, end_of(state))
        elif kill:
            self._experiments.runs.kill(trial["id"])
        else:
            self._experiments.runs.terminate(trial["id"])

    def kill_trial(self, key: int) -> None:
        """Kill one trial immediately."""
        with self._experiments.lock:
            self._stop_trial(self._experiments.trial(key), "STOPPING_KILLED", kill=True)
        self._experiments.schedule()

    def archive(self, key: int, archived: bool) -> None:
        """Archive or unarchive an ended experiment."""
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            if experiment["state"] not in TERMINAL:
                raise failed_precondition("cannot archive experiment in non terminal state")
            self._store.update("experiment", key, archived=archived)

    def set_resources(self, key: int, **changes: Any) -> None:
        """Change an experiment's priority or weight, and reorder its waiting trials."""
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            config = {**experiment["config"], "resources": {**experiment["config"]["resources"], **changes}}
            experiment = self._store.update("experiment", key, config=config)
            for request in self._experiments.waiting():
                if request.experiment_id == key:
                    self._experiments.wait_for_slots(experiment, self._experiments.trial(request.trial_id))
        self._experiments.schedule()

    def resume(self, key: int, override: str) -> Document:
        """Continue an ended experiment: restart failed trials, or train a completed single trial further.

        Args:
            override: Configuration text merged over the experiment's; empty changes nothing.

        Raises:
            Refusal: The experiment has not ended, or its search is complete.
        """
        with self._experiments.lock, self._store.write():
            experiment = self._experiments.experiment(key)
            if experiment["state"] not in TERMINAL or experiment.get("unmanaged"):
                raise failed_precondition(f"experiment in state {experiment['state']} can not be continued")
            trials = self._experiments.trials(key)
            again = [each for each in trials if each["state"] != "COMPLETED"]
            if experiment["config"]["searcher"]["name"] == "single":
                again = trials
            elif experiment["state"] == "COMPLETED" or override:
                raise failed_precondition(
                    "only unfinished searches can be continued, and without a changed configuration"
                )
            config = experiment["config"]
            if override:
                config = overridden(config, override)
            state = self._store.get("search", key) or {}
            for trial in again:
                for name in ("closed", "exits", "cancels", "failures"):
                    state.get(name, {}).pop(trial["requestId"], None)
            self._store.put("search", key, state, parent=key)
            self._experiments.forget_search(key)
            experiment = self._store.update("experiment", key, state="ACTIVE", endTime=None, config=config)
            for trial in again:
                trial = self._store.update("trial", trial["id"], state="ACTIVE", endTime=None, restarts=0)
                self._store.update("task", trial["taskId"], endTime=None)
                self._experiments.wait_for_slots(experiment, trial)
        self._experiments.schedule()
        return self._experiments.experiment(key)
