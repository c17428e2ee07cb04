"""Execution of one job, from its creation to its end."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.core.egress import send
from pdk_stack.pachyderm.core.pfs import commits
from pdk_stack.pachyderm.core.pfs.files import FileRef
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, commit_provenance
from pdk_stack.pachyderm.core.pfs.objectstore import parse_url
from pdk_stack.pachyderm.core.pfs.types import SPEC_REPO, Commit
from pdk_stack.pachyderm.core.pps import jobs, pipelines, records
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.datums import Datum, make_datums
from pdk_stack.pachyderm.core.pps.environment import Setting, wait_for_secrets
from pdk_stack.pachyderm.core.pps.inputs import branch_of, leaves
from pdk_stack.pachyderm.core.pps.job_gateway import job_gateway
from pdk_stack.pachyderm.core.pps.jobs import Job
from pdk_stack.pachyderm.core.pps.processing import Processing
from pdk_stack.pachyderm.core.pps.serving import serve
from pdk_stack.pachyderm.core.pps.specs import REPROCESS_EVERY_JOB
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.store.blobs import insert_locations
from pdk_stack.pachyderm.store.tree_edits import Delete, DropTags, TreeEdit

log = logging.getLogger("pdk_stack.pachyderm.jobs")

RETRY_S = 0.5
MAX_PAUSE_S = 60.0


class JobRun:
    """Runs a job in the calling thread.

    Args:
        context: The workers' shared context.
        job: The job.
    """

    def __init__(self, context: Context, job: Job) -> None:
        self._context = context
        self._engine = context.engine
        self._job = job
        self.cancelled = threading.Event()
        with self._engine.read() as connection:
            self._pipeline = pipelines.pipeline_by_pk(connection, job.pipeline_pk, job.version)

    @property
    def has_image(self) -> bool:
        """Whether the pipeline's image can run here; if not, the job waits and the pipeline's reason says why."""
        return self._context.images.find(self._pipeline.details.transform.image) is not None

    def _log(self, message: str) -> None:
        self._context.logs.write(self._pipeline.pk, message, job=self._job.id, master=True)

    def run(self) -> None:
        """Run the job to its end, whatever happens."""
        try:
            self._run()
        except Exception as error:
            # If its pipeline, job, or commit was deleted in the meantime, the failure doesn't matter.
            if self._still_open():
                log.exception("job %s failed", self._job)
                self._give_up(error.message if isinstance(error, Refusal) else f"{type(error).__name__}: {error}")
        finally:
            shutil.rmtree(self._context.work / str(self._job.pk), ignore_errors=True)

    def _give_up(self, reason: str) -> None:
        """End the job after an error that nothing foresaw; what waits for it must not wait forever."""
        try:
            self._end(pps_pb2.JOB_FAILURE, reason)
        except Exception:
            log.exception("the commits of job %s cannot be finished", self._job)
            with self._engine.change() as change:
                jobs.abandon(change, self._job, reason)

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
        if not self._pipeline.details.transform.cmd:
            self._set_pipeline(pps_pb2.PIPELINE_FAILURE, pipelines.NOTHING_TO_RUN)
            self._end(pps_pb2.JOB_KILLED, "job stopped")
            return
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
            if not self._go_on_sending():
                self._process(secrets)
        finally:
            self._rest()

    def _go_on_sending(self) -> bool:
        """Resume egress after a daemon crash; return whether the output was already complete."""
        if not self._pipeline.details.HasField("egress") or self._job.output is None:
            return False
        with self._engine.read() as connection:
            output = commit_by_pk(connection, self._job.output)
        if output.is_open:
            return False
        self._egress(output)
        return True

    def _rest(self) -> None:
        if not self._pipeline.details.autoscaling:
            return
        with self._engine.change() as change:
            change.connection.execute(
                "UPDATE pipelines SET state = ? WHERE id = ? AND state = ? AND version = ?",
                (
                    int(pps_pb2.PIPELINE_STANDBY),
                    self._pipeline.pk,
                    int(pps_pb2.PIPELINE_RUNNING),
                    self._pipeline.version,
                ),
            )

    def _inputs(self) -> list[Commit] | None:
        with self._engine.read() as connection:
            return self._ready_inputs(connection)

    def _ready_inputs(self, connection: sqlite3.Connection) -> list[Commit] | None:
        """Return the commits that the job reads, once all of them are finished."""
        if self._job.output is None:
            return []
        found = commit_provenance(connection, self._job.output)
        return found if all(each.finished for each in found) else None

    def _input_names(self, failed: list[Commit]) -> list[str]:
        repos = {each.repo for each in failed if each.repo.type != SPEC_REPO}
        names = [leaf.name for leaf in leaves(self._pipeline.details.input) if branch_of(leaf).repo in repos]
        return names or [str(each.repo) for each in failed]

    def _wait_secrets(self) -> dict[str, str] | None:
        """Wait for the environment variables from secrets; report missing secrets in the pipeline's reason."""
        complained = False

        def complain(reason: str) -> None:
            nonlocal complained
            complained = True
            self._set_pipeline(pps_pb2.PIPELINE_CRASHING, reason)

        details = self._pipeline.details
        found = wait_for_secrets(self._context, details.transform, self.cancelled, complain)
        if complained and found is not None:
            self._set_pipeline(pipelines.resting_state(details), "")
        return found

    def _set_pipeline(self, state: int, reason: str) -> None:
        with self._engine.change() as change:
            pipelines.set_state(change.connection, self._pipeline, state, reason)

    def _process(self, secrets: dict[str, str]) -> None:
        details = self._pipeline.details
        image = self._context.images.find(details.transform.image)
        if image is None:
            raise Fault(self._context.images.why_not(details.transform.image))
        with self._engine.read() as connection:
            datums = make_datums(connection, details.input, self._job.id, details.salt)
            base = records.base_hashes(connection, self._job)
        kept = self._unchanged(datums, base)
        todo = [each for each in datums if each.id not in kept]
        with self._engine.change() as change:
            jobs.set_state(change.connection, self._job.pk, pps_pb2.JOB_RUNNING)
            if details.autoscaling:
                pipelines.set_state(change.connection, self._pipeline, pps_pb2.PIPELINE_RUNNING)
            records.write_datums(change.connection, self._job, datums, kept)
        self._log(f"processing {len(todo)} of {len(datums)} datums, {len(kept)} skipped")
        with job_gateway(self._context, self._pipeline, self._job) as endpoint:
            setting = Setting(self._context, self._pipeline, image, secrets, endpoint)
            if details.HasField("service"):
                self._serve(setting, datums)
                return
            with self._processing(setting) as processing:
                failure = processing.run(todo, base or {})
                if self.cancelled.is_set():
                    processing.discard()
                elif failure is not None and failure.state != pps_pb2.JOB_FAILURE:
                    processing.discard()
                    self._end(failure.state, failure.reason)
                elif failure is not None:
                    self._fail(processing, failure.reason)
                else:
                    self._finish(processing, None if base is None else frozenset(base) - kept, bool(kept))

    def _unchanged(self, datums: list[Datum], base: dict[str, str] | None) -> set[str]:
        """Return the IDs of datums to skip: the parent commit already has their output."""
        details = self._pipeline.details
        if base is None or details.s3_out or details.HasField("service"):
            return set()
        if details.reprocess_spec == REPROCESS_EVERY_JOB:
            return set()
        return {each.id for each in datums if base.get(each.id) == each.hash}

    @contextmanager
    def _processing(self, setting: Setting) -> Iterator[Processing]:
        with self._engine.upload(lasting=True) as upload:
            yield Processing(setting, self._job, upload, self.cancelled)

    def _serve(self, setting: Setting, datums: list[Datum]) -> None:
        """Run a service until a newer job exists; it has no output."""
        if len(datums) != 1:
            self._end(pps_pb2.JOB_FAILURE, "services must have a single datum")
            return
        serve(setting, self._job, datums[0], self.cancelled)
        if not self.cancelled.is_set():
            with self._processing(setting) as processing:
                self._finish(processing, frozenset(), False)

    def _finish(self, processing: Processing, stale: frozenset[str] | None, inherits: bool) -> None:
        """Finish the output commit and the job in one change, so that no reader sees one without the other."""
        prefix: list[TreeEdit] = []
        if stale is None or not inherits:
            prefix.append(Delete("/", None))
        elif stale:
            prefix.append(DropTags(stale))
        # Files written through the gateway of an ``s3_out`` job are already in the commit.
        before = [] if self._pipeline.details.s3_out else prefix
        upload = processing.upload
        upload.seal()
        egress = self._pipeline.details.HasField("egress")
        with self._engine.change() as change:
            connection = change.connection
            jobs.set_state(connection, self._job.pk, pps_pb2.JOB_EGRESSING if egress else pps_pb2.JOB_FINISHING)
            job = jobs.job_by_pk(connection, self._job.pk)
            if job.is_over or job.output is None:
                return
            insert_locations(connection, upload.pack.locations)
            output = commits.finish(change, commit_by_pk(connection, job.output), changes=[*before, *upload.changes])
            meta = jobs.meta_commit(connection, output)
            if meta is not None and meta.is_open:
                commits.finish(change, meta, error=output.error, changes=[*prefix, *processing.meta.changes])
            if output.error:
                jobs.set_state(connection, job.pk, pps_pb2.JOB_FAILURE, output.error)
            elif not egress:
                jobs.set_state(connection, job.pk, pps_pb2.JOB_SUCCESS)
        if egress and not output.error:
            self._egress(output)
        self._log(f"finished processing job {self._job.id}")

    def _fail(self, processing: Processing, reason: str) -> None:
        """End the job with what its other datums gave: their output stays readable, but no later job builds on it."""
        upload = processing.upload
        upload.seal()
        with self._engine.change() as change:
            connection = change.connection
            if jobs.set_state(connection, self._job.pk, pps_pb2.JOB_FAILURE, reason) and self._job.output is not None:
                insert_locations(connection, upload.pack.locations)
                output = commit_by_pk(connection, self._job.output)
                parts = ((output, upload), (jobs.meta_commit(connection, output), processing.meta))
                for commit, given in parts:
                    if commit is not None and commit.is_open:
                        commits.finish(change, commit, error=reason, changes=given.changes)
        self._log(f"job {self._job.id} ended: JOB_FAILURE {reason}")

    def _egress(self, output: Commit) -> None:
        """Send the output to the egress target, retrying on failure; only then does the job end.

        Raises:
            Fault: The target can't be reached by any number of tries.
        """
        url = self._pipeline.details.egress.URL or self._pipeline.details.egress.object_storage.url
        parse_url(url)
        pause = RETRY_S
        while not self.cancelled.is_set():
            try:
                sent = send(self._engine, FileRef(output, "/"), url)
            except NotFound:
                sent = 0  # an empty commit
            except Refusal as error:
                self._log(f"error processing egress: {error.message}, retrying in {pause:g}s")
                self.cancelled.wait(pause)
                pause = min(2 * pause, MAX_PAUSE_S)
                continue
            self._log(f"sent {sent} bytes to {url}")
            with self._engine.change() as change:
                jobs.set_state(change.connection, self._job.pk, pps_pb2.JOB_SUCCESS)
            return
