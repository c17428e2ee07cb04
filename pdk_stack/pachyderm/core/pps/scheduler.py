"""Starts jobs, one at a time per pipeline, and notices stopped ones."""

from __future__ import annotations

import logging
import shutil
import threading

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.common.processes import kill_noted
from pdk_stack.pachyderm.core.pps import jobs, pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.jobrun import JobRun
from pdk_stack.pachyderm.core.pps.process import PROCESS_NOTE
from pdk_stack.pachyderm.core.pps.serving import Spout
from pdk_stack.pachyderm.errors import NotFound

log = logging.getLogger("pdk_stack.pachyderm.scheduler")

IDLE_S = 1.0
STOP_S = 10.0


class Scheduler:
    """Runs all unfinished jobs.

    Args:
        context: The workers' shared context.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._runs: dict[int, tuple[JobRun, threading.Thread]] = {}
        # Keyed by pipeline and version, so that an update starts the new code.
        self._spouts: dict[tuple[int, int], Spout] = {}
        self._present: list[tuple[int, ...]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Clean up after a killed daemon and start; its unfinished jobs run again from the beginning."""
        context = self._context
        context.work.mkdir(parents=True, exist_ok=True)
        left = sum(kill_noted(note) for note in context.work.glob(f"*/*/{PROCESS_NOTE}"))
        if left:
            log.info("killed %d processes of the last run", left)
        shutil.rmtree(context.work, ignore_errors=True)
        context.work.mkdir(parents=True, exist_ok=True)
        with context.engine.change() as change:
            change.connection.execute(
                "UPDATE jobs SET restart = restart + 1, processed = 0, skipped = 0, failed = 0,"
                " recovered = 0, total = 0, stats = ''"
                f" WHERE state != ? AND state NOT IN ({jobs.TERMINAL_SQL})",
                (int(pps_pb2.JOB_CREATED),),
            )
        self._thread.start()

    def stop(self) -> None:
        """Stop all processes; unfinished jobs run again at the next start."""
        self._stopping.set()
        self._context.engine.database.bell.ring()
        self._thread.join(STOP_S)
        runs = list(self._runs.values())
        for run, _ in runs:
            run.cancelled.set()
        self._context.engine.database.bell.ring()
        for spout in self._spouts.values():
            spout.stop(STOP_S)
        for _, thread in runs:
            thread.join(STOP_S)

    def _loop(self) -> None:
        bell = self._context.engine.database.bell
        while not self._stopping.is_set():
            seen = bell.count
            for step in (self._check_pipelines, self._check_spouts, self._check_jobs):
                try:
                    step()
                except Exception:
                    log.exception("scheduling failed")
            bell.wait(seen, IDLE_S)

    def _check_jobs(self) -> None:
        """Start jobs, one per pipeline at a time, and cancel those that ended from outside."""
        with self._context.engine.read() as connection:
            waiting = jobs.open_jobs(connection)
        alive = {job.pk for job in waiting}
        for pk, (run, thread) in list(self._runs.items()):
            if pk not in alive:
                run.cancelled.set()
            if not thread.is_alive():
                del self._runs[pk]
        busy: set[int] = set()
        for job in waiting:
            if job.pipeline_pk in busy:
                continue
            busy.add(job.pipeline_pk)
            if job.pk not in self._runs:
                self._start(job)

    def _start(self, job: jobs.Job) -> None:
        try:
            run = JobRun(self._context, job)
        except NotFound:
            return
        except Exception as error:
            # One job that can't start must not keep all others from starting.
            log.exception("job %s cannot start", job)
            with self._context.engine.change() as change:
                jobs.abandon(change, job, f"{type(error).__name__}: {error}")
            return
        if not run.has_image:
            return
        thread = threading.Thread(target=run.run, name=f"job-{job.id[:8]}", daemon=True)
        self._runs[job.pk] = (run, thread)
        thread.start()

    def _check_spouts(self) -> None:
        """Run the current version of every spout that isn't stopped."""
        with self._context.engine.read() as connection:
            rows = connection.execute("SELECT id, version, stopped FROM pipelines").fetchall()
            # This runs after every change, and reading all specs is slow.
            present = [tuple(row) for row in rows]
            if present == self._present:
                return
            self._present = present
            wanted = {
                (each.pk, each.version): each
                for each in pipelines.list_pipelines(connection)
                if each.is_spout and not each.stopped and self._can_run(each)
            }
        for key in [each for each in self._spouts if each not in wanted]:
            self._spouts.pop(key).stop(STOP_S)
        for key, pipeline in wanted.items():
            if key not in self._spouts:
                self._spouts[key] = Spout(self._context, pipeline)
                self._spouts[key].start()

    def _can_run(self, pipeline: pipelines.Pipeline) -> bool:
        transform = pipeline.details.transform
        return bool(transform.cmd) and self._context.images.find(transform.image) is not None

    def _check_pipelines(self) -> None:
        """Set new pipelines to running, or record why they can't run."""
        engine = self._context.engine
        with engine.read() as connection:
            rows = connection.execute(
                "SELECT id FROM pipelines WHERE state = ?", (int(pps_pb2.PIPELINE_STARTING),)
            ).fetchall()
            fresh = [pipelines.pipeline_by_pk(connection, row["id"]) for row in rows]
        for pipeline in fresh:
            image = pipeline.details.transform.image
            state, reason = pipelines.resting_state(pipeline.details), ""
            if not pipeline.details.transform.cmd:
                state, reason = int(pps_pb2.PIPELINE_FAILURE), pipelines.NOTHING_TO_RUN
            elif self._context.images.find(image) is None:
                state, reason = int(pps_pb2.PIPELINE_CRASHING), self._context.images.why_not(image)
            if reason:
                self._context.logs.write(pipeline.pk, reason, master=True)
            with engine.change() as change:
                change.connection.execute(
                    "UPDATE pipelines SET state = ?, reason = ? WHERE id = ? AND state = ? AND version = ?",
                    (state, reason, pipeline.pk, int(pps_pb2.PIPELINE_STARTING), pipeline.version),
                )
            self._context.logs.write(
                pipeline.pk, f"pipeline {pipeline} is {pps_pb2.PipelineState.Name(state)}", master=True
            )
