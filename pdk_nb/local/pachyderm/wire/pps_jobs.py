"""PPS calls about jobs, datums, logs and secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from google.protobuf import empty_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.local.pachyderm.engine import Engine
from pdk_nb.local.pachyderm.faults import Fault, NotFound, Unimplemented
from pdk_nb.local.pachyderm.names import DEFAULT_PROJECT
from pdk_nb.local.pachyderm.pfs.changes import Change
from pdk_nb.local.pachyderm.pfs.lookup import get_commit
from pdk_nb.local.pachyderm.pps import jobs, pipelines
from pdk_nb.local.pachyderm.pps.context import Context
from pdk_nb.local.pachyderm.pps.datums import make_datums
from pdk_nb.local.pachyderm.pps.jobs import FROM_JOBS, Job, job_of
from pdk_nb.local.pachyderm.pps.logs import Filter
from pdk_nb.local.pachyderm.pps.specs import complete
from pdk_nb.local.pachyderm.store.database import now_ns
from pdk_nb.local.pachyderm.wire import convert, pps_convert
from pdk_nb.local.pachyderm.wire.dispatch import Call
from pdk_nb.local.pachyderm.wire.transactions import Transactions


def _project(message: pps_pb2.Pipeline) -> str:
    return message.project.name or DEFAULT_PROJECT


class JobCalls:
    """Jobs, datums, logs, secrets."""

    context: Context
    transactions: Transactions

    @property
    def _engine(self) -> Engine:
        return self.context.engine

    def _get(self, connection: sqlite3.Connection, message: pps_pb2.Job) -> Job:
        return jobs.get_job(connection, _project(message.pipeline), message.pipeline.name, message.id)

    def InspectJob(self, request: pps_pb2.InspectJobRequest, call: Call) -> pps_pb2.JobInfo:
        with self._engine.read() as connection:
            found = self._get(connection, request.job)
            if not request.wait or found.is_over:
                return pps_convert.job_info(connection, found, request.details)
        self._wait(found, call)
        with self._engine.read() as connection:
            return pps_convert.job_info(connection, self._get(connection, request.job), request.details)

    def _wait(self, job: Job, call: Call) -> None:
        def probe(connection: sqlite3.Connection) -> bool | None:
            return True if jobs.job_by_pk(connection, job.pk).is_over else None

        self._engine.wait_for(probe, call.active)

    def _of_set(self, connection: sqlite3.Connection, set_id: str) -> list[Job]:
        rows = connection.execute(f"{FROM_JOBS} WHERE jobs.id = ? ORDER BY jobs.pk", (set_id,))
        return [job_of(row) for row in rows]

    def InspectJobSet(self, request: pps_pb2.InspectJobSetRequest, call: Call) -> Iterator[pps_pb2.JobInfo]:
        set_id = request.job_set.id
        with self._engine.read() as connection:
            members = self._of_set(connection, set_id)
            if not members:
                known = connection.execute("SELECT 1 FROM commits WHERE id = ?", (set_id,)).fetchone()
                if known is None:
                    raise NotFound(f"no commits found for commitset {set_id}")
        for job in members:
            if request.wait and not job.is_over:
                self._wait(job, call)
            with self._engine.read() as connection:
                info = pps_convert.job_info(connection, jobs.job_by_pk(connection, job.pk), request.details)
            yield info

    def ListJob(self, request: pps_pb2.ListJobRequest, call: Call) -> Iterator[pps_pb2.JobInfo]:
        if request.jqFilter:
            raise Unimplemented("jq filters are not implemented by the embedded Pachyderm")
        projects = [each.name or DEFAULT_PROJECT for each in request.projects]
        with self._engine.read() as connection:
            if request.pipeline.name:
                pipelines.get_pipeline(connection, _project(request.pipeline), request.pipeline.name)
                projects = [_project(request.pipeline)]
            wanted = self._input_filter(connection, request.input_commit)
            order = "ASC" if request.reverse else "DESC"
            marker = request.paginationMarker.ToNanoseconds() if request.HasField("paginationMarker") else 0
            sent = 0
            for row in connection.execute(f"{FROM_JOBS} ORDER BY jobs.pk {order}"):
                job = job_of(row)
                if projects and job.project not in projects:
                    continue
                if request.pipeline.name and job.pipeline != request.pipeline.name:
                    continue
                if wanted is not None and job.output not in wanted:
                    continue
                if marker and (job.created <= marker if request.reverse else job.created >= marker):
                    continue
                yield pps_convert.job_info(connection, job, request.details)
                sent += 1
                if request.number and sent >= request.number:
                    return

    def _input_filter(self, connection: sqlite3.Connection, inputs: Sequence[pfs_pb2.Commit]) -> set[int] | None:
        """Output commits that were made directly from all of the given commits."""
        found: set[int] | None = None
        for each in inputs:
            commit = get_commit(connection, convert.read_commit(each))
            rows = connection.execute("SELECT commit_pk FROM commit_provenance WHERE upstream = ?", (commit.pk,))
            outputs = {row["commit_pk"] for row in rows}
            found = outputs if found is None else found & outputs
        return found

    def ListJobSet(self, request: pps_pb2.ListJobSetRequest, call: Call) -> Iterator[pps_pb2.JobSetInfo]:
        if request.jqFilter:
            raise Unimplemented("jq filters are not implemented by the embedded Pachyderm")
        projects = [each.name or DEFAULT_PROJECT for each in request.projects]
        with self._engine.read() as connection:
            order = "ASC" if request.reverse else "DESC"
            rows = connection.execute(
                f"SELECT id, MAX(pk) AS newest FROM jobs GROUP BY id ORDER BY newest {order}"
            ).fetchall()
            sent = 0
            for row in rows:
                members = self._of_set(connection, row["id"])
                if projects and not any(job.project in projects for job in members):
                    continue
                yield pps_pb2.JobSetInfo(
                    job_set=pps_pb2.JobSet(id=row["id"]),
                    jobs=[pps_convert.job_info(connection, job, request.details) for job in members],
                )
                sent += 1
                if request.number and sent >= request.number:
                    return

    def SubscribeJob(self, request: pps_pb2.SubscribeJobRequest, call: Call) -> Iterator[pps_pb2.JobInfo]:
        with self._engine.read() as connection:
            pipeline = pipelines.get_pipeline(connection, _project(request.pipeline), request.pipeline.name)
        sent: dict[int, tuple[int, int]] = {}

        def probe(connection: sqlite3.Connection) -> list[Job] | None:
            rows = connection.execute(f"{FROM_JOBS} WHERE jobs.pipeline = ? ORDER BY jobs.pk", (pipeline.pk,))
            fresh = [job for job in map(job_of, rows) if sent.get(job.pk) != (job.state, job.processed)]
            return fresh or None

        while (fresh := self._engine.wait_for(probe, call.active)) is not None:
            for job in fresh:
                sent[job.pk] = (job.state, job.processed)
                with self._engine.read() as connection:
                    info = pps_convert.job_info(connection, job, request.details)
                yield info

    def StopJob(self, request: pps_pb2.StopJobRequest, call: Call) -> empty_pb2.Empty:
        self.transactions.run(call, "stop_job", request)
        return empty_pb2.Empty()

    def do_stop_job(self, change: Change, request: pps_pb2.StopJobRequest) -> None:
        """StopJob inside a change."""
        found = self._get(change.connection, request.job)
        jobs.end(change, found, pps_pb2.JOB_KILLED, request.reason or "job stopped")

    def do_update_job_state(self, change: Change, request: pps_pb2.UpdateJobStateRequest) -> None:
        """UpdateJobState inside a change."""
        found = self._get(change.connection, request.job)
        if request.state in jobs.TERMINAL:
            jobs.end(change, found, request.state, request.reason)
        else:
            jobs.set_state(change.connection, found.pk, request.state, request.reason)

    def DeleteJob(self, request: pps_pb2.DeleteJobRequest, call: Call) -> empty_pb2.Empty:
        with self._engine.change() as change:
            found = self._get(change.connection, request.job)
            jobs.end(change, found, pps_pb2.JOB_KILLED, "job deleted")
            change.connection.execute("DELETE FROM jobs WHERE pk = ?", (found.pk,))
        return empty_pb2.Empty()

    def ListDatum(self, request: pps_pb2.ListDatumRequest, call: Call) -> Iterator[pps_pb2.DatumInfo]:
        with self._engine.read() as connection:
            if request.HasField("input"):
                spec = complete(pps_pb2.CreatePipelineRequest(input=request.input))
                for datum in make_datums(connection, spec.input, ""):
                    yield pps_convert.datum_of_input(datum)
                return
            job = self._get(connection, request.job)
            order = "DESC" if request.reverse else "ASC"
            rows = connection.execute(f"SELECT * FROM datums WHERE job = ? ORDER BY position {order}", (job.pk,))
            # A page begins after its marker.
            wanted, sent = not request.paginationMarker, 0
            for row in rows:
                if not wanted:
                    wanted = row["id"] == request.paginationMarker
                    continue
                if request.filter.state and row["state"] not in request.filter.state:
                    continue
                yield pps_convert.datum_info(connection, job, row)
                sent += 1
                if request.number and sent >= request.number:
                    return

    def InspectDatum(self, request: pps_pb2.InspectDatumRequest, call: Call) -> pps_pb2.DatumInfo:
        with self._engine.read() as connection:
            job = self._get(connection, request.datum.job)
            row = connection.execute(
                "SELECT * FROM datums WHERE job = ? AND id = ?", (job.pk, request.datum.id)
            ).fetchone()
            if row is None:
                raise NotFound(f"datum {request.datum.id} not found in job {job}")
            return pps_convert.datum_info(connection, job, row)

    def RestartDatum(self, request: pps_pb2.RestartDatumRequest, call: Call) -> empty_pb2.Empty:
        with self._engine.read() as connection:
            self._get(connection, request.job)
        filters = " ".join(request.data_filters)
        raise Fault(f"datum matching filter [{filters}] could not be found for job ID {request.job.id}")

    def GetLogs(self, request: pps_pb2.GetLogsRequest, call: Call) -> Iterator[pps_pb2.LogMessage]:
        name = request.pipeline
        job_id = request.job.id or request.datum.job.id
        for other in (request.job.pipeline, request.datum.job.pipeline):
            if not name.name and other.name:
                name = other
        if not name.name:
            raise Fault("either pipeline or job must be given; the embedded Pachyderm keeps no other logs")
        with self._engine.read() as connection:
            pipeline = pipelines.get_pipeline(connection, _project(name), name.name)
            if job_id:
                jobs.get_job(connection, pipeline.project, pipeline.name, job_id)
        since = request.since.ToNanoseconds()
        wanted = Filter(
            job=job_id,
            datum=request.datum.id,
            data=tuple(request.data_filters),
            master=request.master,
            since=now_ns() - since if since else 0,
        )
        for line in self.context.logs.read(
            pipeline.pk, wanted, tail=request.tail, follow=request.follow, active=call.active
        ):
            yield pps_pb2.LogMessage(
                project_name=pipeline.project,
                pipeline_name=pipeline.name,
                job_id=line.job,
                worker_id=line.worker,
                datum_id=line.datum,
                master=line.master,
                data=[pps_pb2.InputFile(path=path) for path in line.data],
                user=line.user,
                ts=convert.stamp(line.ts),
                message=line.message,
            )

    def CreateSecret(self, request: pps_pb2.CreateSecretRequest, call: Call) -> empty_pb2.Empty:
        self.context.secrets.create(request.file)
        return empty_pb2.Empty()

    def DeleteSecret(self, request: pps_pb2.DeleteSecretRequest, call: Call) -> empty_pb2.Empty:
        self.context.secrets.delete(request.secret.name)
        return empty_pb2.Empty()

    def InspectSecret(self, request: pps_pb2.InspectSecretRequest, call: Call) -> pps_pb2.SecretInfo:
        found = self.context.secrets.find(request.secret.name)
        if found is None:
            raise NotFound(f'failed to get secret: secrets "{request.secret.name}" not found')
        return _secret_info(found.name, found.type, found.created)

    def ListSecret(self, request: empty_pb2.Empty, call: Call) -> pps_pb2.SecretInfos:
        return pps_pb2.SecretInfos(
            secret_info=[_secret_info(each.name, each.type, each.created) for each in self.context.secrets.list()]
        )


def _secret_info(name: str, kind: str, created: int) -> pps_pb2.SecretInfo:
    return pps_pb2.SecretInfo(secret=pps_pb2.Secret(name=name), type=kind, creation_timestamp=convert.stamp(created))
