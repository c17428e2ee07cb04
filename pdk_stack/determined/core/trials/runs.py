"""Starts, watches, preempts, and kills runs of trials; their output goes to the task's log."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.common.errors import Refusal
from pdk_stack.common.processes import ProcessGroup
from pdk_stack.determined.core.accounts import Accounts
from pdk_stack.determined.core.masking import secret_values
from pdk_stack.determined.core.trials import launch
from pdk_stack.determined.core.trials.launch import Cluster, Run
from pdk_stack.determined.core.trials.log_policies import LogPolicies
from pdk_stack.determined.core.trials.output import OutputLog
from pdk_stack.determined.core.trials.processes import end_tree, start
from pdk_stack.determined.core.trials.without_effect import without_effect
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.store.task_logs import Logs
from pdk_stack.determined.timestamps import now

__all__ = ["ActiveRun", "Ended", "Runs"]

log = logging.getLogger(__name__)

#: Time for a trial that reported invalid hyperparameters to end on its own.
INVALID_HP_GRACE_S = 10.0
PREEMPTION_TIMEOUT_S = 3600.0


@dataclass
class ActiveRun:
    """A run in progress.

    Attributes:
        ready: Its processes have met, so it counts as running.
        polling: The trial polls for preemption signals, so it can be asked to stop.
        killed: The master killed it.
        acknowledged: The trial confirmed that it is stopping because of the preemption.
        preempt: Set to ask the trial to stop.
        over: Set when all its processes have ended.
        policies: What the trial's output means.
    """

    allocation_id: str
    task_id: str
    trial_id: int
    experiment_id: int
    slots: tuple[int, ...]
    first_port: int
    preemption_timeout: float
    ready: bool = False
    polling: bool = False
    killed: bool = False
    acknowledged: bool = False
    preempt: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    process: ProcessGroup | None = None
    timer: threading.Timer | None = None
    policies: LogPolicies = field(default_factory=lambda: LogPolicies([]))


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: Exit code; negative for a signal.
    """

    run: ActiveRun
    code: int


class Runs:
    """All runs in progress.

    Args:
        store: The master's database.
        accounts: Issues the trials' tokens.
        logs: Receives their output.
        cluster: The master as its trials see it.
        on_end: Called from the run's thread when all processes of the run have ended.
    """

    def __init__(
        self, store: Store, accounts: Accounts, logs: Logs, cluster: Cluster, on_end: Callable[[Ended], None]
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._logs = logs
        self.cluster = cluster
        self._on_end = on_end
        self._lock = threading.Lock()
        self._by_trial: dict[int, ActiveRun] = {}
        self._by_allocation: dict[str, ActiveRun] = {}

    def of_trial(self, trial_id: int) -> ActiveRun | None:
        """Return a trial's run, or None."""
        return self._by_trial.get(trial_id)

    def of_allocation(self, allocation_id: str) -> ActiveRun | None:
        """Return the run of an allocation, or None when it is over."""
        return self._by_allocation.get(allocation_id)

    def active(self) -> list[ActiveRun]:
        """Return all runs in progress."""
        with self._lock:
            return list(self._by_trial.values())

    def begin(self, experiment: Document, trial: Document, slots: tuple[int, ...], total_slots: int) -> ActiveRun:
        """Start a run of a trial and return immediately.

        Args:
            slots: The slots that the run holds.
            total_slots: Number of slots on the machine.
        """
        run_id = int(trial["runId"])
        allocation_id = f"{trial['taskId']}.{run_id}"
        with self._lock:
            taken = {
                port
                for run in self._by_trial.values()
                for port in range(run.first_port, run.first_port + launch.PORTS_PER_RUN)
            }
            active = ActiveRun(
                allocation_id=allocation_id,
                task_id=trial["taskId"],
                trial_id=trial["id"],
                experiment_id=experiment["id"],
                slots=slots,
                first_port=launch.choose_ports(taken),
                preemption_timeout=float(experiment["config"].get("preemption_timeout") or PREEMPTION_TIMEOUT_S),
                policies=LogPolicies(experiment["config"].get("log_policies") or []),
            )
            self._by_trial[active.trial_id] = active
            self._by_allocation[allocation_id] = active
            busy = sum(len(run.slots) for run in self._by_trial.values())
        # A trial that runs alone gets all cores; otherwise each trial gets a share proportional to its slots.
        share = max(len(slots), 1) / max(busy, len(slots), 1)
        threads = max(1, int(self.cluster.cores * share) // max(1, len(slots)))
        self._store.put(
            "allocation",
            allocation_id,
            {
                "allocationId": allocation_id,
                "taskId": active.task_id,
                "trialId": active.trial_id,
                "experimentId": active.experiment_id,
                "state": "STATE_ASSIGNED",
                "slots": list(slots),
                "startTime": now(),
                "endTime": None,
                "isReady": False,
                "exitReason": None,
                "statusCode": None,
            },
            parent=active.task_id,
        )
        thread = threading.Thread(
            target=self._run, args=(active, experiment, trial, threads), name=allocation_id, daemon=True
        )
        thread.start()
        return active

    def _run(self, active: ActiveRun, experiment: Document, trial: Document, threads: int) -> None:
        name = f"Trial {active.trial_id} (Experiment {active.experiment_id})"
        say = self._logs.write_line
        code = 1
        token = self._accounts.open_allocation(active.allocation_id, experiment["userId"])
        user_token = self._accounts.open_session(experiment["userId"])
        try:
            say(active.task_id, f"Scheduling {name} (id: {active.allocation_id})", allocation_id=active.allocation_id)
            say(active.task_id, f"{name} was assigned to an agent", allocation_id=active.allocation_id)
            code = self._execute(active, experiment, trial, threads, token, user_token)
        except OSError as error:
            say(active.task_id, f"{name} cannot be started: {error}", level="ERROR")
        except Exception:
            log.exception("the master failed to run %s", active.allocation_id)
            say(active.task_id, f"{name} failed in the master", level="ERROR")
        finally:
            if active.timer is not None:
                active.timer.cancel()
            self._accounts.close_allocation(token)
            with contextlib.suppress(Exception):
                self._accounts.close_session(user_token)
            with contextlib.suppress(Exception):
                launch.clean_up(self.cluster, active.allocation_id)
            self._finish(active, name, code)

    def _execute(
        self,
        active: ActiveRun,
        experiment: Document,
        trial: Document,
        threads: int,
        token: str,
        user_token: str,
    ) -> int:
        container_id = str(uuid.uuid4())
        run = Run(
            allocation_id=active.allocation_id,
            task_id=active.task_id,
            container_id=container_id,
            run_id=int(trial["runId"]),
            slots=active.slots,
            first_port=active.first_port,
            threads=threads,
            session_token=token,
            user_token=user_token,
            username=self._accounts.get(experiment["userId"])["username"],
            latest_checkpoint=trial.get("restoreFrom"),
            steps_completed=int(trial.get("restoreSteps") or 0),
        )
        folder = launch.prepare(self.cluster, run)
        environment = launch.environment_of(self.cluster, run, folder, experiment, trial)
        for sentence in without_effect(experiment["config"]):
            self._logs.write_line(active.task_id, sentence, level="WARNING", allocation_id=active.allocation_id)
        output = OutputLog(self._logs, run, secret_values(experiment["config"]), active.policies.watch)
        if active.killed:
            return -9
        process, readers = start(launch.command_of(self.cluster, folder), environment, folder / "workdir", output.take)
        active.process = process
        if active.killed:
            end_tree(process, self.cluster.cluster_id, active.allocation_id)
        self._change(active, state="STATE_RUNNING")
        self._logs.write_line(
            active.task_id,
            f"Resources for Trial {active.trial_id} (Experiment {active.experiment_id}) have started",
            allocation_id=active.allocation_id,
        )
        try:
            return process.wait() or 0
        finally:
            end_tree(process, self.cluster.cluster_id, active.allocation_id)
            for reader in readers:
                reader.join(5)

    def _finish(self, active: ActiveRun, name: str, code: int) -> None:
        if code == 0:
            reason = "resources exited successfully with a zero exit code"
        elif active.killed:
            reason = f"{name} was terminated: allocation killed"
        else:
            shown = 128 - code if code < 0 else code
            reason = f"resources failed with non-zero exit code: {shown}"
        level = "INFO" if code == 0 or active.killed else "ERROR"
        self._logs.write_line(active.task_id, reason, level=level, allocation_id=active.allocation_id)
        self._change(active, state="STATE_TERMINATED", endTime=now(), exitReason=reason, statusCode=code)
        with self._lock:
            self._by_trial.pop(active.trial_id, None)
            self._by_allocation.pop(active.allocation_id, None)
        active.preempt.set()
        try:
            self._on_end(Ended(active, code))
        finally:
            active.over.set()

    def _change(self, active: ActiveRun, **changes: Any) -> None:
        with contextlib.suppress(Refusal):  # the experiment has been deleted
            self._store.update("allocation", active.allocation_id, **changes)

    # -- signals -------------------------------------------------------------------------------------------------

    def mark_ready(self, active: ActiveRun) -> None:
        """Record that the trial's processes have met (``persistRendezvousComplete`` in ``task/allocation.go``)."""
        if not active.ready:
            active.ready = True
            self._change(active, isReady=True)

    def mark_polling(self, active: ActiveRun) -> None:
        """Record that the trial polls for preemption signals."""
        active.polling = True
        self.mark_ready(active)

    def terminate(self, trial_id: int) -> None:
        """Ask a trial to write a checkpoint and stop; kill it if it does not poll for signals yet."""
        active = self._by_trial.get(trial_id)
        if active is None:
            return
        if not active.polling:
            self.kill(trial_id)
            return
        active.preempt.set()
        if active.timer is None:
            active.timer = threading.Timer(active.preemption_timeout, self._kill_late, args=(active,))
            active.timer.daemon = True
            active.timer.start()

    def _kill_late(self, active: ActiveRun) -> None:
        if self._by_trial.get(active.trial_id) is active:
            self._logs.write_line(active.task_id, "the trial did not stop in time and is killed", level="ERROR")
            self.kill(active.trial_id)

    def kill(self, trial_id: int) -> None:
        """Kill a trial's processes immediately."""
        active = self._by_trial.get(trial_id)
        if active is None:
            return
        active.killed = True
        if active.process is not None:
            end_tree(active.process, self.cluster.cluster_id, active.allocation_id)

    def kill_later(self, trial_id: int, seconds: float = INVALID_HP_GRACE_S) -> None:
        """Kill a trial's processes unless they end on their own in time."""
        active = self._by_trial.get(trial_id)
        if active is not None and active.timer is None:
            active.timer = threading.Timer(seconds, self._kill_late, args=(active,))
            active.timer.daemon = True
            active.timer.start()

    def end_unfinished(self) -> None:
        """Mark the runs of a crashed master as ended."""
        for document in self._store.list("allocation"):
            if document["state"] != "STATE_TERMINATED":
                document.update(state="STATE_TERMINATED", endTime=now(), exitReason="the master was restarted")
                self._store.put("allocation", document["allocationId"], document)
                launch.clean_up(self.cluster, document["allocationId"])
