"""User actions on experiments: pause, activate, cancel, kill, archive, change priority, continue."""

from __future__ import annotations

from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.determined.core.expconf.completion import overridden
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.core.experiments.life import Experiments, end_of
from pdk_stack.determined.errors import failed_precondition, not_found
from pdk_stack.determined.store.documents import Document, Store

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
        """Activate a paused experiment, also one that is archived.

        Raises:
            Refusal: It doesn't exist, isn't run by this master, or is stopping.
        """
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            if not _is_run(experiment):
                # The master looks among the experiments that it runs.
                raise not_found(f"experiment '{key}' not found")
            self._change(experiment, "PAUSED", "ACTIVE")
        self._experiments.schedule()

    def reactivate(self, key: int) -> None:
        """Activate one of many paused experiments.

        Raises:
            Refusal: It isn't run by this master, or is stopping.
        """
        self._editable(key)
        self.activate(key)

    def pause(self, key: int) -> None:
        """Pause an experiment: its trials write a checkpoint and release their slots.

        Raises:
            Refusal: It doesn't exist, is archived, isn't run by this master, or is stopping.
        """
        with self._experiments.lock:
            self._change(self._editable(key), "ACTIVE", "PAUSED")
            for trial in self._experiments.trials(key):
                self._experiments.runs.terminate(trial["id"])

    def _editable(self, key: int) -> Document:
        """Return an experiment that may be activated or paused.

        Raises:
            Refusal: It doesn't exist, is archived, or isn't run by this master.
        """
        experiment = self._visible(key)
        if not _is_run(experiment):
            raise failed_precondition("experiment in terminal state")
        return experiment

    def _visible(self, key: int) -> Document:
        """Return an experiment; archived ones can't be paused, canceled, or killed (``bulk_action.go``)."""
        experiment = self._experiments.experiment(key)
        if experiment["archived"]:
            raise not_found(f"experiment '{key}' not found")
        return experiment

    def _change(self, experiment: Document, before: str, after: str) -> None:
        if experiment["state"] == before:
            self._store.update("experiment", experiment["id"], state=after)
        elif experiment["state"] != after:
            raise failed_precondition(f"experiment in incompatible state {experiment['state']}")

    def cancel(self, key: int) -> None:
        """Cancel an experiment after its trials write a checkpoint; an ended one is left alone.

        Raises:
            Refusal: It doesn't exist, or is archived.
        """
        self._end_by_request(key, "STOPPING_CANCELED", kill=False)

    def kill(self, key: int) -> None:
        """Kill an experiment immediately; an ended one is left alone.

        Raises:
            Refusal: It doesn't exist, or is archived.
        """
        self._end_by_request(key, "STOPPING_KILLED", kill=True)

    def _end_by_request(self, key: int, state: str, *, kill: bool) -> None:
        with self._experiments.lock:
            experiment = self._visible(key)
            stopping = experiment["state"].startswith("STOPPING_")
            if not _is_run(experiment) or (stopping and not kill) or experiment["state"] == state:
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
        """Archive or unarchive an ended experiment.

        Raises:
            Refusal: It doesn't exist, hasn't ended, or already is what it should be.
        """
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            if experiment["archived"] == archived:
                raise failed_precondition(f"Experiment is {'already' if archived else 'not'} archived.")
            if experiment["state"] not in TERMINAL:
                raise failed_precondition("Experiment is not in terminal state.")
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
        """Continue an ended experiment: train trials on that haven't completed, or a single one in any case.

        The search starts anew. Its random numbers are those of the first time, so it asks for the same trials again;
        completed ones count as such, and the others get a new task. Source: ``ContinueExperiment`` in
        ``master/internal/api_experiment.go``.

        Args:
            override: Configuration text merged over the experiment's; empty changes nothing.

        Raises:
            Refusal: The experiment has not ended, its search is complete, or the override doesn't fit.
        """
        with self._experiments.lock, self._store.write():
            experiment = self._experiments.experiment(key)
            config, state = overridden(experiment["config"], override), experiment["state"]
            if state not in TERMINAL or experiment.get("unmanaged"):
                raise _not_continued(f"experiment in non terminal state '{state}', try again later")
            trials = self._experiments.trials(key)
            single = config["searcher"]["name"] == "single"
            if state == "COMPLETED" and not single and all(trial["state"] == "COMPLETED" for trial in trials):
                raise _not_continued("experiment has been completed, cannot continue this experiment")
            for trial in trials:
                if single or trial["state"] != "COMPLETED":
                    self._store.update("trial", trial["id"], restarts=0, endTime=None, state="PAUSED")
            experiment = self._store.update(
                "experiment", key, state="ACTIVE", endTime=None, progress=0.0, config=config
            )
            self._experiments.search_again(experiment)
        self._experiments.schedule()
        return self._experiments.experiment(key)


def _is_run(experiment: Document) -> bool:
    """Return whether the master runs an experiment's trials."""
    return experiment["state"] not in TERMINAL and not experiment.get("unmanaged")


def _not_continued(why: str) -> Refusal:
    return failed_precondition(
        f"experiment continue database updates: rpc error: code = FailedPrecondition desc = {why}"
    )
