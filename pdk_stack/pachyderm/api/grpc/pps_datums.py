"""PPS calls about datums."""

from __future__ import annotations

from collections.abc import Iterator

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pps_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.pps_convert import job_of_message
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.datums import make_datums
from pdk_stack.pachyderm.core.pps.specs import complete
from pdk_stack.pachyderm.errors import Fault


class DatumCalls:
    """Calls about datums."""

    context: Context

    def ListDatum(self, request: pps_pb2.ListDatumRequest, call: Call) -> Iterator[pps_pb2.DatumInfo]:
        with self.context.engine.read() as connection:
            if request.HasField("input"):
                spec = complete(pps_pb2.CreatePipelineRequest(input=request.input))
                for datum in make_datums(connection, spec.input, ""):
                    yield pps_convert.datum_of_input(datum)
                return
            job = job_of_message(connection, request.job)
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
        with self.context.engine.read() as connection:
            job = job_of_message(connection, request.datum.job)
            row = connection.execute(
                "SELECT * FROM datums WHERE job = ? AND id = ?", (job.pk, request.datum.id)
            ).fetchone()
            if row is None:
                raise Fault(f"datum {request.datum.id} not found in job {job}")
            return pps_convert.datum_info(connection, job, row)

    def RestartDatum(self, request: pps_pb2.RestartDatumRequest, call: Call) -> None:
        with self.context.engine.read() as connection:
            job = job_of_message(connection, request.job)
        if not self.context.running.cancel(job.pk, request.data_filters):
            filters = " ".join(request.data_filters)
            raise Fault(f"datum matching filter [{filters}] could not be found for job ID {request.job.id}")
