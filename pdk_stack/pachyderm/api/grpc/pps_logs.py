"""PPS calls about log lines."""

from __future__ import annotations

from collections.abc import Iterator

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.pps_convert import project_of
from pdk_stack.pachyderm.core.pps import jobs, pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.logs import DAEMON, LogFilter, LogLine
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.store.clock import now_ns


class LogCalls:
    """Calls about log lines."""

    context: Context

    def GetLogs(self, request: pps_pb2.GetLogsRequest, call: Call) -> Iterator[pps_pb2.LogMessage]:
        name = request.pipeline
        job_id = request.job.id or request.datum.job.id
        for other in (request.job.pipeline, request.datum.job.pipeline):
            if not name.name and other.name:
                name = other
        since = request.since.ToNanoseconds()
        wanted = LogFilter(
            job=job_id,
            datum=request.datum.id,
            data=tuple(request.data_filters),
            master=request.master,
            since=now_ns() - since if since else 0,
        )
        if not name.name:
            if job_id:
                raise Fault("pipeline must be specified for the given job")
            if request.data_filters or request.datum.id:
                raise Fault("must specify the Job or Pipeline that the datum is from to get logs for it")
            for line in self.context.logs.read(
                DAEMON, LogFilter(since=wanted.since), tail=request.tail, follow=request.follow, active=call.active
            ):
                yield _message(line, "", "")
            return
        if request.job.pipeline.name and request.pipeline.name and request.job.pipeline.name != request.pipeline.name:
            raise Fault("job is from the wrong pipeline")
        with self.context.engine.read() as connection:
            pipeline = pipelines.get_pipeline(connection, project_of(name), name.name)
            if job_id:
                jobs.get_job(connection, pipeline.project, pipeline.name, job_id)
        for line in self.context.logs.read(
            pipeline.pk, wanted, tail=request.tail, follow=request.follow, active=call.active
        ):
            yield _message(line, pipeline.project, pipeline.name)


def _message(line: LogLine, project: str, pipeline: str) -> pps_pb2.LogMessage:
    return pps_pb2.LogMessage(
        project_name=project,
        pipeline_name=pipeline,
        job_id=line.job,
        worker_id=line.worker,
        datum_id=line.datum,
        master=line.master,
        data=[pps_pb2.InputFile(path=path) for path in line.data],
        user=line.user,
        ts=pfs_convert.stamp(line.ts),
        message=line.message,
    )
