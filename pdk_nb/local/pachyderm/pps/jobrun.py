"""One job from its creation to its end."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.local.pachyderm.faults import Fault, NotFound
from pdk_nb.local.pachyderm.pfs import commits
from pdk_nb.local.pachyderm.pfs.lookup import ancestors, commit_by_pk, commit_provenance
from pdk_nb.local.pachyderm.pfs.types import SPEC_REPO, Commit
from pdk_nb.local.pachyderm.pfs.upload import Upload
from pdk_nb.local.pachyderm.pps import jobs, pipelines
from pdk_nb.local.pachyderm.pps.context import Context
from pdk_nb.local.pachyderm.pps.datums import Datum, make_datums
from pdk_nb.local.pachyderm.pps.inputs import branch_of, leaves
from pdk_nb.local.pachyderm.pps.jobs import Job, Stats
from pdk_nb.local.pachyderm.pps.specs import REPROCESS_EVERY_JOB
from pdk_nb.local.pachyderm.pps.worker import DatumRun, Result, secret_environment
from pdk_nb.local.pachyderm.store.blobs import insert_locations
from pdk_nb.local.pachyderm.store.changes import Change as FileChange
from pdk_nb.local.pachyderm.store.changes import Delete, DropTags

log = logging.getLogger("pdk_nb.local.pachyderm.jobs")

MAX_WORKERS = 16
RETRY_S = 0.5
INHERITED = (int(pps_pb2.SUCCESS), int(pps_pb2.SKIPPED))


class JobRun:
    """Runs a job in the calling thread.

    Args:
        context: What all workers share.
        job: The job.
    """

    def __init__(self, context: Context, job: Job) -> None:
        self._context = context
        self._engine = context.engine
        self._job = job
        self.cancelled = threading.Event()
        with self._engine.read() as connection:
            self._pipeline = pipelines.pipeline_by_pk(connection, job.pipeline_pk, job.version)

    def _log(self, message: str) -> None:
        self._context.logs.write(self._pipeline.pk, message, job=self._job.id, master=True)

    def run(self) -> None:
        """Bring the job to its end, whatever happens."""
        try:
            self._run()
        except Exception as error:
            # Its pipeline, job or commit may have been deleted under it: then nobody asks any more.
            if self._still_open():
                log.exception("job %s failed", self._job)
                reason = error.what if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
                self._end(pps_pb2.JOB_FAILURE, reason)
        finally:
            shutil.rmtree(self._context.work / str(self._job.pk), ignore_errors=True)

    def _still_open(self) -> bool:
        if self.cancelled.is_set():
            return False
        with self._engine.read() as connection:
            try:
                return not jobs.job_by_pk(connection, self._job.pk).is_over
            except NotFound:
                return False

    def _end(self, state: int, reason: str) -> None:
        with self._engine.change() as change:
            jobs.end(change, self._job, state, reason)
        self._log(f"job {self._job.id} ended: {pps_pb2.JobState.Name(state)} {reason}".rstrip())

    def _run(self) -> None:
        self._log(f"started processing job {self._job.id}")
        inputs = self._inputs()
        if inputs is None:
            with self._engine.change() as change:
                jobs.set_state(change.connection, self._job.pk, pps_pb2.JOB_STARTING)
            inputs = self._engine.wait_for(self._ready_inputs, lambda: not self.cancelled.is_set())
        if inputs is None:
            return
        failed = [each for each in inputs if each.error]
        if failed:
            names = self._input_names(failed)
            self._end(
                pps_pb2.JOB_UNRUNNABLE,
                f"unrunnable because the following upstream pipelines failed: {', '.join(names)}",
            )
            return
        secrets = self._wait_secrets()
        if secrets is None:
            return
        try:
            self._process(secrets)
        finally:
            self._rest()

    def _rest(self) -> None:
        if not self._pipeline.details.autoscaling:
            return
        with self._engine.change() as change:
            change.connection.execute(
                "UPDATE pipelines SET state = ? WHERE id = ? AND state = ?",
                (int(pps_pb2.PIPELINE_STANDBY), self._pipeline.pk, int(pps_pb2.PIPELINE_RUNNING)),
            )

    def _inputs(self) -> list[Commit] | None:
        with self._engine.read() as connection:
            return self._ready_inputs(connection)

    def _ready_inputs(self, connection: sqlite3.Connection) -> list[Commit] | None:
        """The commits that the job was made from, once all of them are finished."""
        if self._job.output is None:
            return []
        found = commit_provenance(connection, self._job.output)
        return found if all(each.finished for each in found) else None

    def _input_names(self, failed: list[Commit]) -> list[str]:
        repos = {each.repo for each in failed if each.repo.type != SPEC_REPO}
        names = [leaf.name for leaf in leaves(self._pipeline.details.input) if branch_of(leaf).repo in repos]
        return names or [str(each.repo) for each in failed]

    def _wait_secrets(self) -> dict[str, str] | None:
        """The variables from secrets; a missing one is said in the pipeline's reason, and waited for."""
        complained = ""
        while not self.cancelled.is_set():
            try:
                found = secret_environment(self._context, self._pipeline.details.transform)
            except Fault as error:
                if error.what != complained:
                    complained = error.what
                    self._set_pipeline(pps_pb2.PIPELINE_CRASHING, complained)
                self.cancelled.wait(RETRY_S)
                continue
            if complained:
                self._set_pipeline(pipelines.resting_state(self._pipeline.details), "")
            return found
        return None

    def _set_pipeline(self, state: int, reason: str) -> None:
        with self._engine.change() as change:
            pipelines.set_state(change.connection, self._pipeline.pk, state, reason)

    def _process(self, secrets: dict[str, str]) -> None:
        details = self._pipeline.details
        image = self._context.images.find(details.transform.image)
        if image is None:
            raise Fault(self._context.images.why_not(details.transform.image))
        with self._engine.read() as connection:
            datums = make_datums(connection, details.input, self._job.id, details.salt)
            base = self._base(connection)
        kept = {
            each.id
            for each in datums
            if base is not None and base.get(each.id) == each.hash and details.reprocess_spec != REPROCESS_EVERY_JOB
        }
        todo = [each for each in datums if each.id not in kept]
        with self._engine.change() as change:
            jobs.set_state(change.connection, self._job.pk, pps_pb2.JOB_RUNNING)
            if details.autoscaling:
                pipelines.set_state(change.connection, self._pipeline.pk, pps_pb2.PIPELINE_RUNNING)
            self._write_datums(change.connection, datums, kept)
            change.connection.execute(
                "UPDATE jobs SET total = ?, skipped = ? WHERE pk = ?", (len(datums), len(kept), self._job.pk)
            )
        self._log(f"processing {len(todo)} of {len(datums)} datums, {len(kept)} skipped")
        stale = None if base is None else frozenset(base) - kept
        with self._engine.upload(lasting=True) as upload:
            runs = [
                DatumRun(
                    self._context,
                    self._pipeline,
                    self._job,
                    image,
                    secrets,
                    datum,
                    index % self._workers,
                    self.cancelled,
                )
                for index, datum in enumerate(todo)
            ]
            outcome = self._run_all(runs, todo, upload)
            if self.cancelled.is_set():
                upload.pack.discard()
                return
            if isinstance(outcome, str):
                upload.pack.discard()
                self._end(pps_pb2.JOB_FAILURE, outcome)
                return
            self._finish(upload, stale, bool(kept))

    @property
    def _workers(self) -> int:
        return max(1, min(MAX_WORKERS, int(self._pipeline.details.parallelism_spec.constant or 1)))

    def _base(self, connection: sqlite3.Connection) -> dict[str, str] | None:
        """Hash by id of the datums whose output the new commit starts with; None where that is not known."""
        if self._job.output is None:
            return None
        output = commit_by_pk(connection, self._job.output)
        for commit in ancestors(connection, output)[1:]:
            if commit.error or not commit.finished:
                continue
            row = connection.execute(
                "SELECT pk FROM jobs WHERE output = ? AND state = ?",
                (commit.pk, int(pps_pb2.JOB_SUCCESS)),
            ).fetchone()
            if row is None:
                return None
            rows = connection.execute(
                "SELECT id, hash FROM datums WHERE job = ? AND state IN (?, ?)", (row["pk"], *INHERITED)
            )
            return {each["id"]: each["hash"] for each in rows}
        return {}

    def _write_datums(self, connection: sqlite3.Connection, datums: list[Datum], kept: set[str]) -> None:
        connection.execute("DELETE FROM datums WHERE job = ?", (self._job.pk,))
        connection.executemany(
            "INSERT INTO datums (job, position, id, hash, state, inputs) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    self._job.pk,
                    position,
                    datum.id,
                    datum.hash,
                    int(pps_pb2.SKIPPED if datum.id in kept else pps_pb2.STARTING),
                    json.dumps([[each.commit.pk, each.found.path] for each in datum.inputs]),
                )
                for position, datum in enumerate(datums)
            ],
        )

    def _run_all(self, runs: list[DatumRun], todo: list[Datum], upload: Upload) -> str | None:
        """Process datums; the reason of the job's failure, or None."""
        limit = self._pipeline.details.job_timeout.ToNanoseconds() / 1e9
        timer = None
        expired = threading.Event()
        if limit:

            def expire() -> None:
                expired.set()
                self.cancelled.set()

            timer = threading.Timer(limit, expire)
            timer.daemon = True
            timer.start()
        collecting = threading.Lock()
        failed: list[tuple[Datum, Result]] = []

        def one(run: DatumRun, datum: Datum) -> None:
            if self.cancelled.is_set() or failed:
                return
            result = run.process()
            if result.out is not None:
                started = time.monotonic()
                with collecting:
                    try:
                        size = run.collect(result.out, upload)
                    except Fault as error:
                        run.log(f"errored uploading output: {error.what}")
                        result = Result(pps_pb2.FAILED, result.stats, error.what)
                    else:
                        result.stats += Stats(upload_s=time.monotonic() - started, upload_bytes=size)
            run.clear()
            if self.cancelled.is_set():
                return
            if result.state == pps_pb2.FAILED:
                failed.append((datum, result))
            self._record(datum, result)

        with ThreadPoolExecutor(self._workers, thread_name_prefix=f"job-{self._job.id[:8]}") as pool:
            for future in [pool.submit(one, run, datum) for run, datum in zip(runs, todo, strict=True)]:
                future.result()
        if timer is not None:
            timer.cancel()
        if expired.is_set():
            self.cancelled.clear()
            return "job exceeded timeout"
        return f"datum {failed[0][0].id} failed" if failed else None

    def _record(self, datum: Datum, result: Result) -> None:
        counters = Counter({"processed": 0, "failed": 0, "recovered": 0})
        name = {int(pps_pb2.SUCCESS): "processed", int(pps_pb2.RECOVERED): "recovered"}
        counters[name.get(result.state, "failed")] += 1
        with self._engine.change() as change:
            connection = change.connection
            connection.execute(
                "UPDATE datums SET state = ?, stats = ? WHERE job = ? AND id = ?",
                (result.state, result.stats.dump(), self._job.pk, datum.id),
            )
            row = connection.execute("SELECT stats FROM jobs WHERE pk = ?", (self._job.pk,)).fetchone()
            if row is None:
                return
            connection.execute(
                "UPDATE jobs SET processed = processed + ?, failed = failed + ?, recovered = recovered + ?,"
                " stats = ? WHERE pk = ?",
                (
                    counters["processed"],
                    counters["failed"],
                    counters["recovered"],
                    (Stats.load(row["stats"]) + result.stats).dump(),
                    self._job.pk,
                ),
            )

    def _finish(self, upload: Upload, stale: frozenset[str] | None, inherits: bool) -> None:
        """Close the output commit and the job in one step, so that nobody sees one without the other."""
        changes: list[FileChange] = []
        if stale is None or not inherits:
            changes.append(Delete("/", None))
        elif stale:
            changes.append(DropTags(stale))
        changes += upload.changes
        upload.seal()
        with self._engine.change() as change:
            connection = change.connection
            jobs.set_state(connection, self._job.pk, pps_pb2.JOB_FINISHING)
            job = jobs.job_by_pk(connection, self._job.pk)
            if job.is_over or job.output is None:
                return
            insert_locations(connection, upload.pack.locations)
            output = commits.finish(change, commit_by_pk(connection, job.output), changes=changes)
            meta = jobs.meta_commit(connection, output)
            if meta is not None and meta.is_open:
                commits.finish(change, meta, error=output.error)
            if output.error:
                jobs.set_state(connection, job.pk, pps_pb2.JOB_FAILURE, output.error)
            else:
                jobs.set_state(connection, job.pk, pps_pb2.JOB_SUCCESS)
        self._log(f"finished processing job {self._job.id}")
