"""Checkpoint removal: by an experiment's ``save_*`` policy, on request, or with the whole experiment."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from pathlib import Path

from pdk_stack.determined.core.checkpoints import storage
from pdk_stack.determined.core.checkpoints.policy import Candidate, to_delete
from pdk_stack.determined.core.experiments.catalogue import TERMINAL, steps_of
from pdk_stack.determined.core.experiments.life import Experiments
from pdk_stack.determined.errors import failed_precondition, invalid
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.store.metrics import Metrics, number
from pdk_stack.determined.store.task_logs import Logs

__all__ = ["Removal"]

log = logging.getLogger(__name__)


class Removal:
    """Deletes checkpoints and experiments.

    Args:
        store: The master's database.
        metrics: What trials reported.
        logs: All logs.
        experiments: All experiments; each one that ends triggers a collection.
        cluster_id: Part of the TensorBoard path.
    """

    def __init__(self, store: Store, metrics: Metrics, logs: Logs, experiments: Experiments, cluster_id: str) -> None:
        self._store = store
        self._metrics = metrics
        self._logs = logs
        self._experiments = experiments
        self._cluster_id = cluster_id
        experiments.on_end = self.collect_later

    def registered(self) -> set[str]:
        """Return the checkpoints that model versions refer to, which are never deleted."""
        return self._store.values("model_version", "checkpointUuid")

    def metric(self, checkpoint: Document, name: str) -> float | None:
        """Return a validation metric at a checkpoint's step."""
        report = self._metrics.at(checkpoint["trialId"], "validation", steps_of(checkpoint))
        return number(report.averages.get(name)) if report else None

    def collect_later(self, experiment_id: int) -> None:
        """Run :meth:`collect` in the background."""

        def run() -> None:
            try:
                self.collect(experiment_id)
            except Exception:
                log.exception("garbage collection of experiment %s failed", experiment_id)

        threading.Thread(target=run, daemon=True).start()

    def collect(self, experiment_id: int) -> list[str]:
        """Delete the checkpoints that the experiment's policy does not keep.

        Returns:
            The deleted checkpoints.
        """
        # Atomic with respect to registration: a checkpoint is either deleted before it can be registered, or kept.
        with self._store.write():
            experiment = self._experiments.experiment(experiment_id)
            policy, searcher = experiment["config"]["checkpoint_storage"], experiment["config"]["searcher"]
            found = [
                checkpoint
                for trial in self._experiments.trials(experiment_id)
                for checkpoint in self._experiments.checkpoints(trial["id"], "STATE_COMPLETED")
            ]
            doomed = to_delete(
                [
                    Candidate(each["uuid"], each["trialId"], steps_of(each), self.metric(each, searcher["metric"]))
                    for each in found
                ],
                experiment_best=policy["save_experiment_best"],
                trial_best=policy["save_trial_best"],
                trial_latest=policy["save_trial_latest"],
                smaller_is_better=searcher["smaller_is_better"],
                kept=self.registered() | self._store.values("experiment", "warmStart"),
            )
            for uuid in doomed:
                self.delete_checkpoint(uuid, None)
            return doomed

    def delete_checkpoint(self, uuid: str, globs: list[str] | None) -> None:
        """Delete all of a checkpoint's files, or those that match.

        Raises:
            Refusal: The checkpoint doesn't exist.
        """
        checkpoint = self._store.need("checkpoint", uuid)
        config = self._experiments.experiment(checkpoint["experimentId"])["config"]
        left = storage.delete_files(storage.checkpoint_folder(config["checkpoint_storage"], uuid), globs)
        # A deleted checkpoint still shows what it held.
        if not left:
            self._store.update("checkpoint", uuid, state="STATE_DELETED")
        elif left != checkpoint["resources"]:
            self._store.update("checkpoint", uuid, state="STATE_PARTIALLY_DELETED", resources=left)

    def delete_tensorboard(self, experiment_id: int) -> None:
        """Delete an experiment's TensorBoard files."""
        config = self._experiments.experiment(experiment_id)["config"]
        folder = storage.tensorboard_folder(config["checkpoint_storage"], self._cluster_id, experiment_id)
        shutil.rmtree(folder, ignore_errors=True)

    def delete_experiment(self, key: int) -> None:
        """Remove an ended experiment with its trials, logs, checkpoints and files.

        Raises:
            Refusal: It has not ended, or one of its checkpoints is registered.
        """
        with self._experiments.lock:
            experiment = self._experiments.experiment(key)
            trials = self._experiments.trials(key)
            uuids = [each["uuid"] for trial in trials for each in self._experiments.checkpoints(trial["id"])]
            if self.registered().intersection(uuids):
                raise invalid("checkpoints are registered as model versions")
            if experiment["state"] not in TERMINAL:
                raise failed_precondition(f"cannot delete experiment in STATE_{experiment['state']} state")
            folders = self._folders(experiment, uuids)
            with self._store.write():
                for uuid in uuids:
                    self._store.delete("checkpoint", uuid)
                for trial in trials:
                    self._forget(trial)
                self._store.delete_blob("model_definition", key)
                self._store.delete("search", key)
                self._store.delete("experiment", key)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def delete_trial(self, key: int) -> None:
        """Remove an ended trial with its logs, checkpoints and files, and leave its experiment.

        Raises:
            Refusal: One of its checkpoints is registered.
        """
        with self._experiments.lock:
            trial = self._experiments.trial(key)
            experiment = self._experiments.experiment(trial["experimentId"])
            uuids = [each["uuid"] for each in self._experiments.checkpoints(key)]
            blocked = sorted(self.registered().intersection(uuids))
            if blocked:
                raise failed_precondition(
                    f"cannot delete run {key}: its checkpoints are registered as model versions: {blocked}"
                )
            folders = [storage.checkpoint_folder(experiment["config"]["checkpoint_storage"], uuid) for uuid in uuids]
            with self._store.write():
                for uuid in uuids:
                    self._store.delete("checkpoint", uuid)
                self._forget(trial)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _folders(self, experiment: Document, uuids: list[str]) -> list[Path]:
        config = experiment["config"]["checkpoint_storage"]
        folders: list[Path] = []
        with contextlib.suppress(Exception):  # this master stores nothing in storage that it can't reach
            folders += [storage.checkpoint_folder(config, uuid) for uuid in uuids]
            folders.append(storage.tensorboard_folder(config, self._cluster_id, experiment["id"]))
        return folders

    def _forget(self, trial: Document) -> None:
        for task_id in trial.get("taskIds") or [trial["taskId"]]:
            for allocation in self._store.list("allocation", task_id):
                self._store.delete("allocation", allocation["allocationId"])
            self._logs.delete(task_id)
            self._store.delete("task", task_id)
        self._experiments.forget(trial["id"])
        self._metrics.delete(trial["id"])
        self._store.delete("trial", trial["id"])
