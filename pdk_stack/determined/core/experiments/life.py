"""The life cycle of experiments and their trials: create, schedule, pause, stop, restart, end.

The stored state is coarse: an experiment is ACTIVE, PAUSED, STOPPING_*, or ended; a trial is ACTIVE while it should
run, whether or not a run is in progress. QUEUED, STARTING, and RUNNING are for display only (see ``views``).
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.common.polling import Deadline
from pdk_stack.determined.core.experiments.catalogue import TERMINAL, Catalogue, steps_of
from pdk_stack.determined.core.search import Create, Searcher, Shutdown, Stop
from pdk_stack.determined.core.trials.runs import Ended, Runs
from pdk_stack.determined.core.trials.slots import Request, Slots, pick
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.store.metrics import Metrics
from pdk_stack.determined.store.task_logs import Logs
from pdk_stack.determined.timestamps import now

__all__ = ["Experiments", "end_of"]

#: How long trials can take to write a last checkpoint when the stack stops.
SHUTDOWN_GRACE_S = 12.0


class Experiments(Catalogue):
    """All experiments.

    Args:
        store: The master's database.
        metrics: What trials reported.
        logs: Receives the master's own lines about a trial.
        slots: The machine's slots.
    """

    def __init__(self, store: Store, metrics: Metrics, logs: Logs, slots: Slots) -> None:
        super().__init__(store)
        self._metrics = metrics
        self._logs = logs
        self.slots = slots
        self.lock = threading.RLock()
        self._runs: Runs | None = None
        self._searchers: dict[int, Searcher] = {}
        self._waiting: dict[int, Request] = {}
        self._stopping = False
        #: Called with the id of each experiment that ends.
        self.on_end: Callable[[int], None] = lambda experiment_id: None

    @property
    def runs(self) -> Runs:
        """The runs in progress."""
        assert self._runs is not None
        return self._runs

    def waiting(self) -> list[Request]:
        """Trials that wait for slots, in no particular order."""
        with self.lock:
            return list(self._waiting.values())

    def slots_in_use(self) -> Counter[int]:
        """Count the slots in use by experiment id."""
        used = Counter[int]()
        for run in self.runs.active():
            used[run.experiment_id] += len(run.slots)
        return used

    def _searcher(self, experiment: Document) -> Searcher:
        key = experiment["id"]
        if key not in self._searchers:
            state = self._store.get("search", key)
            self._searchers[key] = Searcher(experiment["config"], state)
        return self._searchers[key]

    def forget_search(self, experiment_id: int) -> None:
        """Drop the cached search, so that the next use reads its stored state."""
        self._searchers.pop(experiment_id, None)

    def _save_search(self, experiment_id: int) -> None:
        self._store.put("search", experiment_id, self._searchers[experiment_id].state, parent=experiment_id)

    # -- start and stop of the master ----------------------------------------------------------------------------

    def start(self, runs: Runs) -> None:
        """Continue a previous master's unfinished experiments from their last checkpoints."""
        self._runs = runs
        runs.end_unfinished()
        with self.lock:
            for experiment in self._store.list("experiment"):
                if experiment["state"] in TERMINAL or experiment.get("unmanaged"):
                    continue
                for trial in self.trials(experiment["id"]):
                    self._resume(experiment, trial)
                self.check_end(experiment["id"])
        self.schedule()

    def _resume(self, experiment: Document, trial: Document) -> None:
        state = trial["state"]
        if state in TERMINAL:
            return
        if state.startswith("STOPPING_"):
            self.end_trial(trial, end_of(state))
        else:
            self.wait_for_slots(experiment, trial)

    def stop(self) -> None:
        """Let running trials write a last checkpoint, then end them; their experiments continue on the next start."""
        with self.lock:
            self._stopping = True
            active = self.runs.active()
            for run in active:
                self.runs.terminate(run.trial_id)
        deadline = Deadline(SHUTDOWN_GRACE_S)
        for run in active:
            run.over.wait(deadline.left)
        for run in self.runs.active():
            self.runs.kill(run.trial_id)
        for run in active:
            run.over.wait(3)

    # -- creation ------------------------------------------------------------------------------------------------

    def create(self, document: Document, model_definition: bytes, *, activate: bool) -> Document:
        """Store an experiment and start its search.

        Args:
            document: All fields except ``id``, ``state``, and times.
            model_definition: The code as ``.tar.gz``.
            activate: Whether to start it immediately.
        """
        with self.lock, self._store.write():
            key = self._store.next_id("experiment")
            experiment = {
                **document,
                "id": key,
                "state": "ACTIVE" if activate else "PAUSED",
                "startTime": now(),
                "endTime": None,
                "progress": 0.0,
                "archived": False,
                "jobId": str(uuid.uuid4()),
            }
            self._store.put("experiment", key, experiment, parent=experiment["projectId"])
            self._store.put_blob("model_definition", key, model_definition)
            if not experiment.get("unmanaged"):
                searcher = self._searcher(experiment)
                self._act(experiment, searcher.initial())
        self.schedule()
        return self.experiment(key)

    def search_again(self, experiment: Document) -> None:
        """Start the search of a continued experiment anew."""
        self._store.delete("search", experiment["id"])
        self.forget_search(experiment["id"])
        self._act(experiment, self._searcher(experiment).initial())
        self.check_end(experiment["id"])

    def create_trial(self, experiment: Document, request_id: str, hparams: dict[str, Any], seed: int) -> Document:
        """Store a trial and queue it for slots unless the experiment is unmanaged."""
        key = self._store.next_id("trial")
        task_id = f"{experiment['id']}.{request_id}"
        trial = {
            "id": key,
            "experimentId": experiment["id"],
            "requestId": request_id,
            "taskId": task_id,
            "taskIds": [task_id],
            "hparams": hparams,
            "seed": seed,
            "state": "ACTIVE",
            "restarts": 0,
            "runId": 0,
            "startTime": now(),
            "endTime": None,
            "runnerState": "",
            "progress": 0.0,
            "warmStart": experiment.get("warmStart"),
            "metadata": None,
        }
        self._store.put("trial", key, trial, parent=experiment["id"])
        self._create_task(trial, task_id)
        if not experiment.get("unmanaged"):
            self.wait_for_slots(experiment, trial)
        return trial

    def _create_task(self, trial: Document, task_id: str) -> None:
        task = {
            "taskId": task_id,
            "trialId": trial["id"],
            "experimentId": trial["experimentId"],
            "startTime": now(),
            "endTime": None,
        }
        self._store.put("task", task_id, task, parent=trial["experimentId"])

    def _continue_trial(self, experiment: Document, trial: Document, hparams: dict[str, Any]) -> None:
        """Queue a trial for slots again, with another task and the hyperparameters that the search now gives."""
        known = trial.get("taskIds") or [trial["taskId"]]
        task_id = f"{known[0]}-{len(known)}"
        trial = self._store.update(
            "trial", trial["id"], state="ACTIVE", taskId=task_id, taskIds=[*known, task_id], hparams=hparams
        )
        self._create_task(trial, task_id)
        self.wait_for_slots(experiment, trial)

    def wait_for_slots(self, experiment: Document, trial: Document) -> None:
        """Add a trial to the queue, or update its position there."""
        resources = experiment["config"]["resources"]
        self._waiting[trial["id"]] = Request(
            trial["id"], experiment["id"], int(resources["priority"] or 42), int(resources["slots_per_trial"])
        )

    def _act(self, experiment: Document, actions: list[Any]) -> None:
        """Carry out the search's actions."""
        key = experiment["id"]
        for action in actions:
            if isinstance(action, Create):
                self._create_or_continue(experiment, action)
            elif isinstance(action, Stop):
                self._stop_early(key, action.request_id)
            elif isinstance(action, Shutdown):
                self._shutdown(experiment, action)
        if key in self._searchers:
            self._save_search(key)

    def _create_or_continue(self, experiment: Document, action: Create) -> None:
        """Create a trial; in a continued experiment it can exist already."""
        found = next((each for each in self.trials(experiment["id"]) if each["requestId"] == action.request_id), None)
        if found is None:
            self.create_trial(experiment, action.request_id, action.hparams, action.seed)
        elif found["state"] == "COMPLETED":
            self._act(experiment, self._searcher(experiment).exited(action.request_id))
        else:
            self._continue_trial(experiment, found, action.hparams)

    def _stop_early(self, experiment_id: int, request_id: str) -> None:
        for trial in self.trials(experiment_id):
            if trial["requestId"] == request_id and trial["state"] == "ACTIVE":
                self._store.update("trial", trial["id"], state="STOPPING_COMPLETED")
                self._logs.write_line(trial["taskId"], "the search stops this trial")
                self.runs.terminate(trial["id"])

    # -- scheduling ----------------------------------------------------------------------------------------------

    def schedule(self) -> None:
        """Start waiting trials while slots are free."""
        with self.lock:
            while not self._stopping:
                active = [
                    request
                    for request in self._waiting.values()
                    if self.experiment(request.experiment_id)["state"] == "ACTIVE"
                ]
                request = pick(active, self.slots.free, self.slots.total, self.slots_in_use())
                if request is None:
                    return
                self._start_run(request)

    def _start_run(self, request: Request) -> None:
        del self._waiting[request.trial_id]
        experiment, trial = self.experiment(request.experiment_id), self.trial(request.trial_id)
        latest, steps = self.restore_point(trial)
        if trial["runId"]:
            # The trial reports again everything after its checkpoint.
            self._metrics.archive_after(trial["id"], steps)
        trial = self._store.update(
            "trial", trial["id"], runId=trial["runId"] + 1, restoreFrom=latest, restoreSteps=steps, runnerState=""
        )
        self.runs.begin(experiment, trial, self.slots.take(request.slots), self.slots.total)

    def restore_point(self, trial: Document) -> tuple[str | None, int]:
        """Return the checkpoint that a trial continues from, and its batches; a warm start begins at batch 0."""
        own = self.checkpoints(trial["id"], "STATE_COMPLETED")
        if own:
            latest = max(own, key=lambda each: (steps_of(each), each["reportTime"]))
            return latest["uuid"], steps_of(latest)
        return trial.get("warmStart"), 0

    # -- what trials report --------------------------------------------------------------------------------------

    def validated(self, trial_id: int, averages: dict[str, Any]) -> None:
        """Record validation metrics that a trial reported.

        Raises:
            ValueError: The searcher's metric is missing.
        """
        with self.lock:
            trial = self.trial(trial_id)
            experiment = self.experiment(trial["experimentId"])
            if trial["state"] in TERMINAL or experiment.get("unmanaged"):
                return
            searcher = self._searcher(experiment)
            self._act(experiment, searcher.validated(trial["requestId"], averages))
        self.schedule()

    def exited_early(self, trial_id: int, reason: str) -> None:
        """Record that a trial exits early; it gets a few seconds to end on its own."""
        with self.lock:
            trial = self.trial(trial_id)
            if trial["state"] != "ACTIVE":
                return
            experiment = self.experiment(trial["experimentId"])
            self._store.update("trial", trial_id, state="STOPPING_COMPLETED", earlyExit=reason)
            self._act(experiment, self._searcher(experiment).exited_early(trial["requestId"], reason))
            self.runs.kill_later(trial_id)
        self.schedule()

    def report_progress(self, trial_id: int, fraction: float) -> None:
        """Record a trial's progress, 0 to 1."""
        with self.lock:
            trial = self._store.update("trial", trial_id, progress=fraction)
            experiment = self.experiment(trial["experimentId"])
            if experiment.get("unmanaged") or experiment["state"] in TERMINAL:
                return
            searcher = self._searcher(experiment)
            searcher.report_progress(trial["requestId"], fraction)
            self._store.update("experiment", experiment["id"], progress=searcher.progress)

    # -- ends ----------------------------------------------------------------------------------------------------

    def run_ended(self, ended: Ended) -> None:
        """Decide, after all processes of a run have ended, whether its trial ends or restarts."""
        with self.lock:
            run = ended.run
            self.slots.give_back(run.slots)
            trial = self._store.get("trial", run.trial_id)
            if trial is None:
                return
            experiment = self.experiment(trial["experimentId"])
            if run.policies.matched:
                trial = self._store.update("trial", trial["id"], logPolicyMatched=run.policies.matched)
            state = trial["state"]
            interrupted = run.killed or run.acknowledged
            if state.startswith("STOPPING_"):
                self.end_trial(trial, end_of(state))
            elif self._stopping and (interrupted or ended.code != 0) or interrupted:
                self.wait_for_slots(experiment, trial)
            elif ended.code == 0:
                self.end_trial(trial, "COMPLETED")
            elif no_retry := run.policies.no_retry():
                for line in no_retry:
                    self._logs.write_line(trial["taskId"], line, level="ERROR")
                self.end_trial(trial, "ERROR")
            else:
                self._restart(experiment, trial, run.policies.excludes_node)
        self.schedule()

    def _restart(self, experiment: Document, trial: Document, excluded: bool) -> None:
        restarts = trial["restarts"] + 1
        most = int(experiment["config"]["max_restarts"])
        trial = self._store.update("trial", trial["id"], restarts=restarts)
        if restarts > most:
            self._logs.write_line(trial["taskId"], f"trial failed and reached max restarts ({most})", level="ERROR")
            self.end_trial(trial, "ERROR")
        elif excluded:
            # This machine is the only node.
            self._logs.write_line(trial["taskId"], "trial failed and no node is left to restart it on", level="ERROR")
            self.end_trial(trial, "ERROR")
        else:
            self._logs.write_line(
                trial["taskId"], f"trial failed, restarting (restart {restarts} of {most})", level="WARNING"
            )
            self.wait_for_slots(experiment, trial)

    def end_trial(self, trial: Document, state: str) -> None:
        """End a trial; the search can create another."""
        self._waiting.pop(trial["id"], None)
        moment = now()
        self._store.update("trial", trial["id"], state=state, endTime=moment)
        with contextlib.suppress(Refusal):
            self._store.update("task", trial["taskId"], endTime=moment)
        experiment = self.experiment(trial["experimentId"])
        if experiment.get("unmanaged"):
            return
        searcher = self._searcher(experiment)
        actions: list[Any] = []
        if state == "ERROR":
            actions += searcher.exited_early(trial["requestId"], "EXITED_REASON_ERRORED")
        elif state == "CANCELED":
            actions += searcher.exited_early(trial["requestId"], "EXITED_REASON_USER_CANCELED")
        if experiment["state"] in ("ACTIVE", "PAUSED"):
            self._act(experiment, actions + searcher.exited(trial["requestId"]))
        self.check_end(experiment["id"])

    def _shutdown(self, experiment: Document, action: Shutdown) -> None:
        experiment = self.experiment(experiment["id"])
        if experiment["state"] in ("ACTIVE", "PAUSED"):
            state = "CANCELED" if action.canceled else "ERROR" if action.failed else "COMPLETED"
            self._store.update("experiment", experiment["id"], state=f"STOPPING_{state}")

    def check_end(self, experiment_id: int) -> None:
        """End a stopping experiment once it has no trials left."""
        experiment = self.experiment(experiment_id)
        state = experiment["state"]
        if not state.startswith("STOPPING_"):
            return
        if any(trial["state"] not in TERMINAL for trial in self.trials(experiment_id)):
            return
        end = end_of(state)
        progress = 1.0 if end == "COMPLETED" else experiment["progress"]
        self._store.update("experiment", experiment_id, state=end, endTime=now(), progress=progress)
        self.forget_search(experiment_id)
        self.on_end(experiment_id)


def end_of(state: str) -> str:
    """Return the terminal state that follows a STOPPING state."""
    end = state.removeprefix("STOPPING_")
    return "CANCELED" if end == "KILLED" else end
