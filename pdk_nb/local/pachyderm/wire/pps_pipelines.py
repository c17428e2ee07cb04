"""PPS calls about pipelines."""

from __future__ import annotations

import json
from collections.abc import Iterator

from google.protobuf import empty_pb2, json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.local.pachyderm.faults import Fault, Unimplemented
from pdk_nb.local.pachyderm.names import DEFAULT_PROJECT
from pdk_nb.local.pachyderm.pfs.changes import Change
from pdk_nb.local.pachyderm.pps import pipelines
from pdk_nb.local.pachyderm.pps.context import Context
from pdk_nb.local.pachyderm.pps.inputs import leaves
from pdk_nb.local.pachyderm.pps.ticks import tick
from pdk_nb.local.pachyderm.pps.worker import secret_environment
from pdk_nb.local.pachyderm.wire import pps_convert
from pdk_nb.local.pachyderm.wire.dispatch import Call
from pdk_nb.local.pachyderm.wire.transactions import Transactions


class PipelineCalls:
    """Pipelines."""

    context: Context
    transactions: Transactions

    def CreatePipeline(self, request: pps_pb2.CreatePipelineRequest, call: Call) -> empty_pb2.Empty:
        # Asked before the change begins: the cluster may take its time to answer.
        secret_environment(self.context, request.transform)
        if request.dry_run:
            self._try(request)
        else:
            self.transactions.run(call, "create_pipeline", request)
        return empty_pb2.Empty()

    def _try(self, request: pps_pb2.CreatePipelineRequest) -> None:
        class TakeBack(Exception):
            pass

        try:
            with self.context.engine.change() as change:
                pipelines.create(change, request)
                raise TakeBack
        except TakeBack:
            return

    def do_create_pipeline(self, change: Change, request: pps_pb2.CreatePipelineRequest) -> None:
        """CreatePipeline inside a change."""
        kept = pps_pb2.CreatePipelineRequest()
        kept.CopyFrom(request)
        for name in ("update", "reprocess", "dry_run"):
            kept.ClearField(name)
        pipelines.create(change, request, json.dumps(json_format.MessageToDict(kept)))

    def InspectPipeline(self, request: pps_pb2.InspectPipelineRequest, call: Call) -> pps_pb2.PipelineInfo:
        with self.context.engine.read() as connection:
            project, name = request.pipeline.project.name, request.pipeline.name
            found = pipelines.get_pipeline(connection, project, name)
            return pps_convert.pipeline_info(connection, found, request.details)

    def ListPipeline(self, request: pps_pb2.ListPipelineRequest, call: Call) -> Iterator[pps_pb2.PipelineInfo]:
        if request.jqFilter:
            raise Unimplemented("jq filters are not implemented by the embedded Pachyderm")
        with self.context.engine.read() as connection:
            wanted = [each.name or DEFAULT_PROJECT for each in request.projects]
            if request.pipeline.name:
                wanted = [request.pipeline.project.name or DEFAULT_PROJECT]
            for found in pipelines.list_pipelines(connection, wanted, request.history, request.pipeline.name):
                yield pps_convert.pipeline_info(connection, found, details=True)

    def _delete(self, change: Change, project: str, name: str, force: bool, keep_repo: bool) -> pps_pb2.Pipeline | None:
        found = pipelines.find_pipeline(change.connection, project, name)
        if found is None:
            return None
        pipelines.delete(change, found, force=force, keep_repo=keep_repo)
        self.context.logs.forget(found.pk)
        return pps_convert.pipeline_name(found.project, found.name)

    def DeletePipeline(self, request: pps_pb2.DeletePipelineRequest, call: Call) -> empty_pb2.Empty:
        if request.all:
            self._delete_many(None, request.force, request.keep_repo)
            return empty_pb2.Empty()
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            self._delete(change, pipeline.project.name, pipeline.name, request.force, request.keep_repo)
        return empty_pb2.Empty()

    def DeletePipelines(self, request: pps_pb2.DeletePipelinesRequest, call: Call) -> pps_pb2.DeletePipelinesResponse:
        wanted = None if request.all else [each.name or DEFAULT_PROJECT for each in request.projects]
        return pps_pb2.DeletePipelinesResponse(pipelines=self._delete_many(wanted, request.force, request.keep_repo))

    def _delete_many(self, projects: list[str] | None, force: bool, keep_repo: bool) -> list[pps_pb2.Pipeline]:
        deleted = []
        with self.context.engine.change() as change:
            # Newest first: a pipeline is always older than those that read its output.
            for each in pipelines.list_pipelines(change.connection):
                if projects is None or each.project in projects:
                    name = self._delete(change, each.project, each.name, force, keep_repo)
                    deleted += [name] if name else []
        return deleted

    def StartPipeline(self, request: pps_pb2.StartPipelineRequest, call: Call) -> empty_pb2.Empty:
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            pipelines.start(change, pipelines.get_pipeline(change.connection, pipeline.project.name, pipeline.name))
        return empty_pb2.Empty()

    def StopPipeline(self, request: pps_pb2.StopPipelineRequest, call: Call) -> empty_pb2.Empty:
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            pipelines.stop(change, pipelines.get_pipeline(change.connection, pipeline.project.name, pipeline.name))
        return empty_pb2.Empty()

    def RunCron(self, request: pps_pb2.RunCronRequest, call: Call) -> empty_pb2.Empty:
        with self.context.engine.change() as change:
            name = request.pipeline
            found = pipelines.get_pipeline(change.connection, name.project.name, name.name)
            ticks = [leaf for leaf in leaves(found.details.input) if isinstance(leaf, pps_pb2.CronInput)]
            if not ticks:
                raise Fault("pipeline doesn't have a cron input")
            for leaf in ticks:
                tick(self.context.engine, change, leaf)
        return empty_pb2.Empty()

    def DeleteAll(self, request: empty_pb2.Empty, call: Call) -> empty_pb2.Empty:
        self._delete_many(None, force=True, keep_repo=False)
        for each in self.context.secrets.list():
            self.context.secrets.delete(each.name)
        return empty_pb2.Empty()
