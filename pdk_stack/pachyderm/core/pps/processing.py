"""Runs a job's datums in its workers and collects their output."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.core.pfs.upload import Upload
from pdk_stack.pachyderm.core.pps import records
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.environment import Setting
from pdk_stack.pachyderm.core.pps.jobs import Job, Stats
from pdk_stack.pachyderm.core.pps.worker import DatumResult, Worker

MAX_WORKERS = 16
# The server's own words, with its spaces.
TIMED_OUT = " jobtimed out"


@dataclass(frozen=True)
class Failure:
    """Why a job didn't succeed.

    Attributes:
        state: The job's final state.
        reason: The reason that clients see.
    """

    state: int
    reason: str


class Processing:
    """Processing of one job's datums.

    Args:
        setting: The environment that the code runs in.
        job: The job.
        upload: Receives the output.
        cancelled: Ends the processing when set.

    Attributes:
        upload: The output, tagged with the datums' IDs.
        meta: The files of the meta repo.
    """

    def __init__(self, setting: Setting, job: Job, upload: Upload, cancelled: threading.Event) -> None:
        self._setting = setting
        self._engine = setting.context.engine
        self._job = job
        self._cancelled = cancelled
        self._collecting = threading.Lock()
        self._failed: list[Datum] = []
        self.upload = upload
        self.meta = Upload(upload.pack)

    def discard(self) -> None:
        """Discard the output."""
        self.upload.pack.discard()

    def run(self, datums: list[Datum], known: Collection[str]) -> Failure | None:
        """Process datums; return why the job fails, or None.

        As on a cluster, a failed datum doesn't keep the others from being processed, except those that an earlier job
        had, too: they come last.

        Args:
            datums: The datums.
            known: The IDs of the datums whose earlier output the new commit starts with.
        """
        limit = self._setting.pipeline.details.job_timeout.ToNanoseconds() / 1e9
        fresh = [each for each in datums if each.id not in known]
        with _time_limit(limit, self._cancelled) as expired:
            self._process_all(fresh)
            if not self._failed:
                self._process_all([each for each in datums if each.id in known])
        if expired.is_set():
            self._cancelled.clear()
            return Failure(pps_pb2.JOB_KILLED, TIMED_OUT)
        if self._failed:
            return Failure(pps_pb2.JOB_FAILURE, f"datum {self._failed[0].id} failed")
        return None

    def _process_all(self, datums: list[Datum]) -> None:
        if not datums:
            return
        wanted = int(self._setting.pipeline.details.parallelism_spec.constant or 1)
        number = max(1, min(MAX_WORKERS, wanted, len(datums)))
        idle: SimpleQueue[Worker] = SimpleQueue()
        folder = self._setting.context.work / str(self._job.pk)
        workers = [Worker(self._setting, self._job, n, folder / str(n), self._cancelled) for n in range(number)]
        for worker in workers:
            worker.log("started process datum set task")
            idle.put(worker)
        broken = threading.Event()

        def one(datum: Datum) -> None:
            if self._cancelled.is_set() or broken.is_set():
                return
            worker = idle.get()
            try:
                self._process(worker, datum)
            except BaseException:
                # The job is lost: the other datums must not make its end wait.
                broken.set()
                raise
            finally:
                idle.put(worker)

        try:
            with ThreadPoolExecutor(number, thread_name_prefix=f"job-{self._job.id[:8]}") as pool:
                for _ in pool.map(one, datums):
                    pass
        finally:
            for worker in workers:
                worker.finish("finished process datum set task")

    def _process(self, worker: Worker, datum: Datum) -> None:
        result = worker.process(self._job, datum)
        if self._cancelled.is_set():
            return
        with self._collecting:
            before = len(self.upload.changes)
            if result.state == pps_pb2.SUCCESS:
                result = self._collect(worker, datum, result)
            if result.state == pps_pb2.FAILED:
                self._failed.append(datum)
            path, content = records.meta_file(self._job, datum, result)
            self.meta.add(path, content, datum.id)
            self.meta.add(f"{records.pfs_folder(datum.id)}/.env", worker.space.environment(), datum.id)
            self.meta.close()
            self.meta.changes += records.datum_files(datum, self.upload.changes[before:])
        records.record(self._engine, self._job, datum, result)

    def _collect(self, worker: Worker, datum: Datum, result: DatumResult) -> DatumResult:
        """Add a datum's output to the job's; where that fails, nothing of it stays."""
        started, before = time.monotonic(), len(self.upload.changes)
        try:
            size = worker.space.collect(self.upload, datum.id)
        except Refusal as error:
            del self.upload.changes[before:]
            worker.log(f"errored uploading output: {error.message}")
            return DatumResult(pps_pb2.FAILED, result.stats, error.message)
        result.stats += Stats(upload_s=time.monotonic() - started, upload_bytes=size)
        return result


@contextmanager
def _time_limit(seconds: float, cancelled: threading.Event) -> Iterator[threading.Event]:
    """Set ``cancelled`` if the block runs too long; the yielded event tells whether that happened."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        cancelled.set()

    timer = threading.Timer(seconds, expire) if seconds else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield expired
    finally:
        if timer is not None:
            timer.cancel()
