"""A job's worker: writes a datum's files below ``/pfs``, runs the code, and retries it on failure."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.core.pps.batch import Batch
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.environment import Setting, datum_environment, worker_environment
from pdk_stack.pachyderm.core.pps.jobs import Job, Stats
from pdk_stack.pachyderm.core.pps.process import Outcome, run_command
from pdk_stack.pachyderm.core.pps.sandbox_child import MARK
from pdk_stack.pachyderm.core.pps.secrets import is_key
from pdk_stack.pachyderm.core.pps.workspace import Workspace
from pdk_stack.pachyderm.errors import Fault

STOPPED = "job stopped"


@dataclass
class DatumResult:
    """The result of a datum.

    Attributes:
        state: A ``DatumState``.
        stats: The processing statistics.
        reason: Why the datum failed, or empty.
    """

    state: int
    stats: Stats = field(default_factory=Stats)
    reason: str = ""


class Worker:
    """Processes a job's datums one after another.

    Args:
        setting: The environment that the code runs in.
        job: The job; None for code without a job, such as a spout's.
        index: The worker's number.
        folder: A private folder for this worker.
        cancelled: Stops running code when set.
    """

    def __init__(self, setting: Setting, job: Job | None, index: int, folder: Path, cancelled: threading.Event) -> None:
        self._setting = setting
        self._context = setting.context
        self._pipeline = setting.pipeline
        self._transform = setting.pipeline.details.transform
        self._job = job
        self._cancelled = cancelled
        self._datum: Datum | None = None
        self._batch: Batch | None = None
        self.name = setting.worker_name(index)
        self.space = Workspace(folder)

    def close(self) -> None:
        """Stop running code and remove all folders."""
        if self._batch is not None:
            self._batch.close()
            self._batch = None
        self.space.clear()

    def finish(self, message: str) -> None:
        """Log a line that concerns no datum, and :meth:`close`."""
        self._datum = None
        self.log(message)
        self.close()

    def log(self, message: str, user: bool = False) -> None:
        """Write a log line for the current datum."""
        datum = self._datum
        self._context.logs.write(
            self._pipeline.pk,
            message,
            job=self._job.id if self._job else "",
            datum=datum.id if datum else "",
            worker=self.name,
            user=user,
            data=tuple((each.found.path, each.found.entry.hash.hex()) for each in datum.inputs) if datum else (),
        )

    def process(self, job: Job, datum: Datum) -> DatumResult:
        """Run the code on a datum; on success, the workspace holds its output."""
        self._datum = datum
        tries = max(1, int(self._pipeline.details.datum_tries))
        result = DatumResult(pps_pb2.FAILED)
        recovered = False
        for attempt in range(1, tries + 1):
            with self._context.running.datum(job.pk, self.name, datum) as active:

                def stop() -> bool:
                    return self._cancelled.is_set() or active.cancelled.is_set()

                result = self._try(datum, result.stats, stop)
                if self._cancelled.is_set():
                    return replace(result, state=pps_pb2.FAILED, reason=STOPPED)
                if result.state == pps_pb2.SUCCESS:
                    return result
                if self._transform.err_cmd:
                    recovered = self._handle_error(datum)
            if attempt < tries:
                self.log(f"failed processing datum: {result.reason}, retrying ({attempt} of {tries} attempts)")
        return replace(result, state=pps_pb2.RECOVERED) if recovered else result

    def _try(self, datum: Datum, stats: Stats, stop: Callable[[], bool]) -> DatumResult:
        started = time.monotonic()
        variables = self._variables(datum)
        try:
            size = self.space.lay_out(self._context.engine, datum, variables)
        except Refusal as error:
            self.log(f"errored downloading data: {error.message}")
            return DatumResult(pps_pb2.FAILED, stats, error.message)
        loaded = time.monotonic()
        stats += Stats(download_s=loaded - started, download_bytes=size)
        self.log("beginning to run user code")
        if self._transform.datum_batching:
            outcome = self._run_in_batch(variables, stop)
        else:
            outcome = self.run(list(self._transform.cmd), list(self._transform.stdin), stop, variables)
        took = time.monotonic() - loaded
        stats += Stats(process_s=took)
        reason = self.why(outcome)
        if reason:
            self.log(f"errored running user code after {took:.3f}s: {reason}")
            return DatumResult(pps_pb2.FAILED, stats, reason)
        self.log(f"finished running user code after {took:.3f}s")
        return DatumResult(pps_pb2.SUCCESS, stats)

    def _handle_error(self, datum: Datum) -> bool:
        """Run the error handler; return whether it succeeds, which makes the datum count as recovered."""
        self.log("beginning to run user error handling code")
        command, stdin = list(self._transform.err_cmd), list(self._transform.err_stdin)
        outcome = self.run(command, stdin, self._cancelled.is_set, self._variables(datum))
        return not self.why(outcome)

    def _variables(self, datum: Datum) -> dict[str, str]:
        root = "/pfs" if self._context.sandbox.has_namespace else str(self.space.pfs)
        return datum_environment(datum, self._job.id if self._job else "", root)

    @property
    def _limit(self) -> float:
        return float(self._pipeline.details.datum_timeout.ToNanoseconds() / 1e9)

    def why(self, outcome: Outcome) -> str:
        """Return why a command failed, or an empty string."""
        if outcome.problem:
            return outcome.problem
        if outcome.timed_out:
            return f"datum timed out after {self._pipeline.details.datum_timeout.ToSeconds()}s"
        if outcome.cancelled:
            return "context canceled"
        if outcome.code == 0 or outcome.code in self._transform.accept_return_code:
            return ""
        if outcome.code < 0:
            return f"signal: {signal.Signals(-outcome.code).name}"
        return f"exit status {outcome.code}"

    def _run_in_batch(self, variables: dict[str, str], stop: Callable[[], bool]) -> Outcome:
        if self._batch is None:
            command, stdin = list(self._transform.cmd), list(self._transform.stdin)
            self._batch = Batch(
                self._context.serve_datums,
                lambda port, ended: self.run(command, stdin, ended, {}, worker_port=port, limited=False),
            )
        return self._batch.next(variables, stop, self._limit)

    def run(
        self,
        command: list[str],
        stdin: list[str],
        stop: Callable[[], bool],
        variables: dict[str, str],
        *,
        worker_port: int = 0,
        limited: bool = True,
    ) -> Outcome:
        """Run a command that sees the workspace as ``/pfs``.

        Args:
            command: The program and its arguments.
            stdin: Lines for its standard input.
            stop: Returns whether to kill the command.
            variables: Environment variables in addition to the worker's own.
            worker_port: The port that serves ``NextDatum``.
            limited: Whether the datum's time limit applies.
        """
        image = self._setting.image
        workdir = self._transform.working_dir
        if image.workdir:
            workdir = os.path.join(image.workdir, workdir) if workdir else image.workdir
        if workdir and not Path(workdir).is_dir():
            return Outcome(127, problem=f"working directory {workdir} does not exist")
        space = self.space
        try:
            mounts = self._secret_mounts()
            wrapped = self._context.sandbox.wrap(space.root, space.pfs, workdir, command, mounts)
        except Refusal as error:
            return Outcome(127, problem=error.message)
        return run_command(
            wrapped,
            {**worker_environment(self._setting, self.name, worker_port), **variables},
            stdin,
            space.root,
            lambda line: self.log(line.removeprefix(MARK), user=not line.startswith(MARK)),
            stop,
            self._limit if limited else 0.0,
        )

    def _secret_mounts(self) -> dict[str, Path]:
        """Write secrets to folders; return each folder by the path where the code sees it."""
        mounts: dict[str, Path] = {}
        for position, each in enumerate(self._transform.secrets):
            if not each.mount_path:
                continue
            found = self._context.secrets.find(each.name)
            if found is None:
                raise Fault(f"missing Kubernetes secret {each.name}")
            folder = self.space.root / "secrets" / str(position)
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            for key, value in found.data.items():
                if not is_key(key):
                    raise Fault(f"Kubernetes secret {each.name} has an invalid key: {key}")
                (folder / key).write_bytes(value)
            mounts[each.mount_path] = folder
        return mounts
