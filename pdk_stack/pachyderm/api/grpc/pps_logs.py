"""PPS calls about log lines."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.pps_convert import job_of_message, project_of
from pdk_stack.pachyderm.core.pps import pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.environment import pod_name
from pdk_stack.pachyderm.core.pps.logs import DAEMON, LogFilter, LogLine
from pdk_stack.pachyderm.errors import Fault, Unimplemented, wrapped
from pdk_stack.pachyderm.store.clock import now_ns


class LogCalls:
    """Calls about log lines."""

    context: Context

    def GetLogs(self, request: pps_pb2.GetLogsRequest, call: Call) -> Iterator[pps_pb2.LogMessage]:
        if request.use_loki_backend:
            raise Unimplemented("the embedded Pachyderm has no Loki; leave use_loki_backend out")
        wanted = LogFilter(
            job=request.job.id,
            datum=request.datum.id,
            data=tuple(request.data_filters),
            master=request.master,
        )
        if not request.HasField("pipeline") and not request.HasField("job"):
            if request.data_filters or request.HasField("datum"):
                raise Fault("must specify the Job or Pipeline that the datum is from to get logs for it")
            pk, project, name, pod = DAEMON, "", "", "pachd"
            wanted = LogFilter()
        else:
            with self.context.engine.read() as connection:
                found = self._pipeline(connection, request)
            pk, project, name, pod = found.pk, found.project, found.name, pod_name(found, 0)
        wanted = replace(wanted, since=_since(request, pod))
        lines = self.context.logs.read(pk, wanted, tail=request.tail, follow=request.follow, active=call.active)
        for line in lines:
            yield _message(line, project, name)

    def _pipeline(self, connection: sqlite3.Connection, request: pps_pb2.GetLogsRequest) -> pipelines.Pipeline:
        """Return the pipeline that wrote the lines."""
        name = request.pipeline
        if request.HasField("job"):
            if not request.job.pipeline.name:
                raise Fault("pipeline must be specified for the given job")
            if request.HasField("pipeline") and _parts(request.job.pipeline) != _parts(name):
                raise Fault("job is from the wrong pipeline")
            name = request.job.pipeline
            with wrapped(f'could not get job information for "{request.job.id}"'):
                job_of_message(connection, request)
        with wrapped(f"could not get pipeline information for {project_of(name)}/{name.name}"):
            return pipelines.get_pipeline(connection, project_of(name), name.name)


def _parts(name: pps_pb2.Pipeline) -> tuple[str, str]:
    return project_of(name), name.name


def _since(request: pps_pb2.GetLogsRequest, pod: str) -> int:
    """Return the time of the first line to show, in nanoseconds since the epoch; Kubernetes counts whole seconds."""
    nanoseconds = request.since.ToNanoseconds()
    if nanoseconds == 0:
        return 0
    seconds = int(nanoseconds / 1e9)
    if seconds <= 0:
        raise Fault(f'PodLogOptions "{pod}" is invalid: sinceSeconds: Invalid value: {seconds}: must be greater than 0')
    return now_ns() - nanoseconds


def _message(line: LogLine, project: str, pipeline: str) -> pps_pb2.LogMessage:
    return pps_pb2.LogMessage(
        project_name=project,
        pipeline_name=pipeline,
        job_id=line.job,
        worker_id=line.worker,
        datum_id=line.datum,
        master=line.master,
        data=[pps_pb2.InputFile(path=path, hash=bytes.fromhex(digest)) for path, digest in line.data],
        user=line.user,
        ts=pfs_convert.stamp(line.ts),
        message=line.message,
    )
