"""PPS calls about jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert, pps_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.filters import MessageFilter
from pdk_stack.pachyderm.api.grpc.pps_convert import job_of_message, project_of
from pdk_stack.pachyderm.api.grpc.transactions import Transactions, transactional
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import IN_REPO
from pdk_stack.pachyderm.core.pps import jobs, pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.jobs import Job, select_jobs
from pdk_stack.pachyderm.errors import Fault, NotFound, wrapped

# Orders jobs by the first job of their set: those of one set belong together.
_BY_SET = "(SELECT MIN(first.pk) FROM jobs AS first WHERE first.id = jobs.id)"


_COUNTERS = ("processed", "skipped", "failed", "recovered", "total")


class JobCalls:
    """Calls about jobs."""

    context: Context
    transactions: Transactions

    @property
    def _engine(self) -> Engine:
        return self.context.engine

    def InspectJob(self, request: pps_pb2.InspectJobRequest, call: Call) -> pps_pb2.JobInfo:
        with self._engine.read() as connection:
            found = job_of_message(connection, request)
            if not request.wait or found.is_over:
                return pps_convert.job_info(connection, found, request.details, self.context.running)
        self._wait(found, call)
        with self._engine.read() as connection:
            return pps_convert.job_info(
                connection, job_of_message(connection, request), request.details, self.context.running
            )

    def _wait(self, job: Job, call: Call) -> None:
        def probe(connection: sqlite3.Connection) -> bool | None:
            return True if jobs.job_by_pk(connection, job.pk).is_over else None

        self._engine.wait_for(probe, call.active)

    def _of_set(self, connection: sqlite3.Connection, set_id: str) -> list[Job]:
        return list(select_jobs(connection, "WHERE jobs.id = ? ORDER BY jobs.pk", set_id))

    def InspectJobSet(self, request: pps_pb2.InspectJobSetRequest, call: Call) -> Iterator[pps_pb2.JobInfo]:
        set_id = request.job_set.id
        with self._engine.read() as connection:
            members = self._of_set(connection, set_id)
        for job in members:
            if request.wait and not job.is_over:
                self._wait(job, call)
            with self._engine.read() as connection:
                info = pps_convert.job_info(
                    connection, jobs.job_by_pk(connection, job.pk), request.details, self.context.running
                )
            yield info

    def ListJob(self, request: pps_pb2.ListJobRequest, call: Call) -> Iterator[pps_pb2.JobInfo]:
        fits = MessageFilter(request.jqFilter, request.projects)
        with self._engine.read() as connection:
            versions = self._versions(connection, request)
            wanted = self._input_sets(connection, request.input_commit)
            found = (
                pps_convert.job_info(connection, job, request.details, self.context.running)
                for job in select_jobs(connection, f"ORDER BY {_BY_SET} {_order(request)}, jobs.pk")
                if job.version >= versions.get(job.pipeline_pk, job.version + 1)
                and (wanted is None or job.id in wanted)
                and _in_page(request, job.created)
            )
            with wrapped("error filtering job"):
                yield from islice(filter(fits, found), request.number if request.number > 0 else None)

    def _versions(self, connection: sqlite3.Connection, request: pps_pb2.ListJobRequest) -> dict[int, int]:
        """Return the oldest version whose jobs are included, by pipeline key."""
        name, project = request.pipeline.name, project_of(request.pipeline)
        known = pipelines.list_pipelines(connection, [project] if name else (), request.history, name)
        if name and not known:
            raise NotFound(pipelines.not_found(f"{project}/{name}"))
        found: dict[int, int] = {}
        for each in known:
            found[each.pk] = min(each.version, found.get(each.pk, each.version))
        return found

    def _input_sets(self, connection: sqlite3.Connection, inputs: Sequence[pfs_pb2.Commit]) -> set[str] | None:
        """Return the IDs of the commit sets that read all of the given commits; None if none are given."""
        found: set[str] | None = None
        for each in inputs:
            ref = pfs_convert.read_commit(each)
            rows = connection.execute(
                "SELECT DISTINCT commits.id FROM commit_provenance JOIN commits ON commits.pk = commit_pk"
                " JOIN commits AS up ON up.pk = upstream JOIN repos ON repos.id = up.repo"
                f" WHERE up.id = ? AND {IN_REPO}",
                (ref.id, *ref.repo.parts),
            )
            sets = {row["id"] for row in rows}
            found = sets if found is None else found & sets
        return found

    def ListJobSet(self, request: pps_pb2.ListJobSetRequest, call: Call) -> Iterator[pps_pb2.JobSetInfo]:
        if request.number < 0:
            raise Fault("number must be non-negative")
        fits = MessageFilter(request.jqFilter, request.projects)
        with self._engine.read() as connection:
            yield from islice(self._sets(connection, request, fits), request.number if request.number > 0 else None)

    def _sets(
        self, connection: sqlite3.Connection, request: pps_pb2.ListJobSetRequest, fits: MessageFilter
    ) -> Iterator[pps_pb2.JobSetInfo]:
        query = f"SELECT id, MAX(created) AS newest FROM jobs GROUP BY id ORDER BY MAX(pk) {_order(request)}"
        for row in connection.execute(query).fetchall():
            if not _in_page(request, row["newest"]):
                continue
            members = (
                pps_convert.job_info(connection, job, request.details, self.context.running)
                for job in self._of_set(connection, row["id"])
            )
            kept = list(filter(fits, members))
            if kept:
                yield pps_pb2.JobSetInfo(job_set=pps_pb2.JobSet(id=row["id"]), jobs=kept)

    def SubscribeJob(self, request: pps_pb2.SubscribeJobRequest, call: Call) -> Iterator[pps_pb2.JobInfo]:
        if not request.pipeline.name:
            raise Fault("pipeline must be specified")
        name = (project_of(request.pipeline), request.pipeline.name)
        ours = "pipelines.project = ? AND pipelines.name = ?"
        with self._engine.read() as connection:
            newest = connection.execute("SELECT MAX(pk) AS pk FROM jobs").fetchone()["pk"] or 0
        sent: set[int] = set()

        def probe(connection: sqlite3.Connection) -> list[Job] | None:
            # Of the jobs that exist already, only the unfinished ones; each job comes once, with its first state.
            known = select_jobs(connection, f"WHERE {ours} ORDER BY jobs.pk", *name)
            return [job for job in known if job.pk not in sent and (job.pk > newest or not job.is_over)] or None

        while (fresh := self._engine.wait_for(probe, call.active)) is not None:
            for job in fresh:
                sent.add(job.pk)
                with self._engine.read() as connection:
                    info = pps_convert.job_info(connection, job, request.details, self.context.running)
                yield info

    @transactional("stop_job")
    def StopJob(self, change: Change, request: pps_pb2.StopJobRequest) -> None:
        found = job_of_message(change.connection, request, "Job must be specified")
        jobs.end(change, found, pps_pb2.JOB_KILLED, request.reason or "job stopped")

    @transactional("update_job_state")
    def UpdateJobState(self, change: Change, request: pps_pb2.UpdateJobStateRequest) -> None:
        found = job_of_message(change.connection, request)
        if found.is_over:
            raise Fault(f"job {found} has already finished")
        counters = {name: getattr(request, f"data_{name}") for name in _COUNTERS}
        stats = pps_convert.read_stats(request.stats) if request.HasField("stats") else None
        jobs.set_counters(change.connection, found.pk, {**counters, "restart": request.restart}, stats)
        if request.state in jobs.TERMINAL:
            jobs.end(change, found, request.state, request.reason)
        else:
            jobs.set_state(change.connection, found.pk, request.state, request.reason)

    def DeleteJob(self, request: pps_pb2.DeleteJobRequest, call: Call) -> None:
        with self._engine.change() as change:
            found = job_of_message(change.connection, request, "job cannot be nil")
            jobs.end(change, found, pps_pb2.JOB_KILLED, "job deleted")
            change.connection.execute("DELETE FROM jobs WHERE pk = ?", (found.pk,))


def _order(request: Any) -> str:
    return "ASC" if request.reverse else "DESC"


def _in_page(request: Any, created: int) -> bool:
    """Whether an item comes after the page's start time, in the order of the list."""
    marker = request.paginationMarker.ToNanoseconds()
    return marker == 0 or (created > marker if request.reverse else created < marker)
