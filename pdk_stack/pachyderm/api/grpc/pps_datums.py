"""PPS calls about datums."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pps_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.pps_convert import job_of_message
from pdk_stack.pachyderm.core.pfs.globs import compile_glob
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, get_commit
from pdk_stack.pachyderm.core.pfs.trees import check_base
from pdk_stack.pachyderm.core.pfs.types import CommitRef
from pdk_stack.pachyderm.core.pps import records
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.datums import make_datums
from pdk_stack.pachyderm.core.pps.inputs import branch_of, leaves, visit
from pdk_stack.pachyderm.core.pps.jobs import Job, meta_commit
from pdk_stack.pachyderm.core.pps.specs import complete
from pdk_stack.pachyderm.errors import Fault

_NO_CRON = "can't list datums with a cron input, there will be no datums until the pipeline is created"


class DatumCalls:
    """Calls about datums."""

    context: Context

    def ListDatum(self, request: pps_pb2.ListDatumRequest, call: Call) -> Iterator[pps_pb2.DatumInfo]:
        if request.HasField("job") and request.HasField("input"):
            raise Fault("cannot specify both job and input")
        if request.reverse and not request.number:
            raise Fault("number must be > 0 when reverse is set")
        with self.context.engine.read() as connection:
            infos = self._of_input(connection, request.input) if request.HasField("input") else None
            if infos is None:
                infos = self._of_job(connection, job_of_message(connection, request))
            yield from islice(_page(request, infos), request.number if request.number > 0 else None)

    def _of_input(self, connection: sqlite3.Connection, message: pps_pb2.Input) -> Iterator[pps_pb2.DatumInfo]:
        """Yield the datums that an input would give, by ID."""
        spec = complete(pps_pb2.CreatePipelineRequest(input=message))
        for each in visit(spec.input):
            if each.HasField("cron"):
                raise Fault(_NO_CRON)
            if each.HasField("pfs"):
                self._check_head(connection, each.pfs)
        # An input that combines others in two ways at once has leaves that the server does not visit.
        found_leaves = list(leaves(spec.input))
        if any(isinstance(leaf, pps_pb2.CronInput) for leaf in found_leaves):
            raise Fault(_NO_CRON)
        try:
            for leaf in found_leaves:
                compile_glob(leaf.glob)
        except Fault as error:
            # The server's worker calls the server here.
            raise Fault(f"rpc error: code = Unknown desc = {error.message}") from error
        found = make_datums(connection, spec.input, "")
        for datum in sorted(found, key=lambda each: each.id):
            yield pps_convert.datum_of_input(datum)

    def _check_head(self, connection: sqlite3.Connection, leaf: pps_pb2.PFSInput) -> None:
        """Check that an input's branch has a commit; the server's error loses its code here."""
        branch = branch_of(leaf)
        try:
            get_commit(connection, CommitRef(branch.repo, branch=branch.name))
        except Fault as error:
            raise Fault(error.message) from error

    def _of_job(self, connection: sqlite3.Connection, job: Job) -> Iterator[pps_pb2.DatumInfo]:
        """Yield the datums of a job that are done, by ID."""
        self._check_base(connection, job)
        for source, row in records.finished_datums(connection, job):
            yield pps_convert.datum_info(connection, source, job, row, self.context.images)

    def _check_base(self, connection: sqlite3.Connection, job: Job) -> None:
        """Check that the server could read a job's datums: it reads them from the meta commit (``collectDatums``)."""
        meta = meta_commit(connection, commit_by_pk(connection, job.output)) if job.output is not None else None
        if meta is not None:
            try:
                check_base(connection, meta)
            except Fault as error:
                raise Fault(f"next: rpc error: code = Unknown desc = {error.message}") from error

    def InspectDatum(self, request: pps_pb2.InspectDatumRequest, call: Call) -> pps_pb2.DatumInfo:
        if not request.datum.id:
            raise Fault("must specify a datum")
        with self.context.engine.read() as connection:
            job = job_of_message(connection, request.datum)
            self._check_base(connection, job)
            for source, row in records.finished_datums(connection, job, request.datum.id):
                info = pps_convert.datum_info(connection, source, job, row, self.context.images)
                info.pfs_state.CopyFrom(pps_convert.pfs_state(connection, job, row["id"]))
                return info
        raise Fault(f"datum {request.datum.id} not found in job {job}")

    def RestartDatum(self, request: pps_pb2.RestartDatumRequest, call: Call) -> None:
        with self.context.engine.read() as connection:
            job = job_of_message(connection, request)
        if not self.context.running.cancel(job.pk, request.data_filters):
            filters = " ".join(request.data_filters)
            raise Fault(f"datum matching filter [{filters}] could not be found for job ID {request.job.id}")


def _page(request: pps_pb2.ListDatumRequest, infos: Iterable[pps_pb2.DatumInfo]) -> Iterator[pps_pb2.DatumInfo]:
    """Yield what a filter and a page's start leave of a list by ID, in the order that the client asks for."""
    marker, states = request.paginationMarker, request.filter.state
    if request.reverse:
        infos = reversed(list(infos))
    for each in infos:
        after = each.datum.id < marker if request.reverse else each.datum.id > marker
        if (not marker or after) and (not states or each.state in states):
            yield each
