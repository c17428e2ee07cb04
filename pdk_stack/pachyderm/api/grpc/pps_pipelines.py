"""PPS calls about pipelines."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from google.protobuf import empty_pb2, json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pps_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.filters import MessageFilter
from pdk_stack.pachyderm.api.grpc.pps_convert import project_of
from pdk_stack.pachyderm.api.grpc.transactions import Transactions
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pps import lifecycle, pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.defaults import Defaults
from pdk_stack.pachyderm.core.pps.environment import secret_environment
from pdk_stack.pachyderm.core.pps.inputs import leaves
from pdk_stack.pachyderm.core.pps.ticks import tick
from pdk_stack.pachyderm.errors import Fault, InvalidArgument
from pdk_stack.pachyderm.names import DEFAULT_PROJECT

_ANCESTRY = re.compile(r"([^~^]+)((?:[~^]\d*)*)")
_STEP = re.compile(r"[~^](\d*)")


class PipelineCalls:
    """Calls about pipelines."""

    context: Context
    transactions: Transactions

    def CreatePipeline(self, request: pps_pb2.CreatePipelineRequest, call: Call) -> None:
        # Check before the change begins: the cluster may be slow to respond.
        secret_environment(self.context, request.transform)
        if request.dry_run:
            self.transactions.try_out(lambda change: self.create_in_change(change, request))
        else:
            self.transactions.run(call, "create_pipeline", request)

    def create_from_json(
        self, call: Call, text: str, *, update: bool, reprocess: bool, dry_run: bool
    ) -> pps_pb2.CreatePipelineRequest:
        """Create a pipeline from its author's JSON; return the spec with all defaults.

        Args:
            call: The call.
            text: The spec, as JSON.
            update: Whether the pipeline may already exist.
            reprocess: Whether an update reprocesses all datums.
            dry_run: Fill in the defaults without creating the pipeline.

        Raises:
            InvalidArgument: The spec is invalid.
        """
        try:
            content = json.loads(text)
            if not isinstance(content, dict):
                raise ValueError("it is not an object")
            json_format.ParseDict(content, pps_pb2.CreatePipelineRequest())
        except (ValueError, json_format.ParseError) as error:
            raise InvalidArgument(f"could not make effective spec: malformed pipeline spec: {error}") from error
        with self.context.engine.read() as connection:
            spec = effective_spec(connection, content)
        if not dry_run:
            secret_environment(self.context, spec.transform)
            request = pps_pb2.CreatePipelineRequest()
            request.CopyFrom(spec)
            request.update, request.reprocess = update, reprocess
            if call.transaction:
                self.transactions.run(call, "create_pipeline", request)
            else:
                with self.context.engine.change() as change:
                    lifecycle.create(change, request, text)
        return spec

    def create_in_change(self, change: Change, request: pps_pb2.CreatePipelineRequest) -> None:
        """Run CreatePipeline inside a change."""
        own = pps_pb2.CreatePipelineRequest()
        own.CopyFrom(request)
        for name in ("update", "reprocess", "dry_run"):
            own.ClearField(name)
        content = json_format.MessageToDict(own)
        spec = effective_spec(change.connection, content)
        spec.update, spec.reprocess = request.update, request.reprocess
        # Refuse a spec without a transform instead of running a default image.
        if not request.HasField("transform"):
            spec.ClearField("transform")
        lifecycle.create(change, spec, json.dumps(content))

    def InspectPipeline(self, request: pps_pb2.InspectPipelineRequest, call: Call) -> pps_pb2.PipelineInfo:
        with self.context.engine.read() as connection:
            found = _ancestor(connection, project_of(request.pipeline), request.pipeline.name)
            return pps_convert.pipeline_info(connection, found, request.details)

    def ListPipeline(self, request: pps_pb2.ListPipelineRequest, call: Call) -> Iterator[pps_pb2.PipelineInfo]:
        fits = MessageFilter(request.jqFilter, request.projects)
        name, set_id = request.pipeline.name, request.commit_set.id
        wanted = [project_of(request.pipeline)] if name else []
        with self.context.engine.read() as connection:
            for found in pipelines.list_pipelines(connection, wanted, request.history, name):
                shown: pipelines.Pipeline | None = found
                if set_id:
                    shown = pipelines.as_of(connection, found, set_id)
                if shown is None:
                    continue
                info = pps_convert.pipeline_info(connection, shown, details=True)
                if fits(info):
                    yield info

    def _delete(self, change: Change, project: str, name: str, force: bool, keep_repo: bool) -> pps_pb2.Pipeline | None:
        found = pipelines.find_pipeline(change.connection, project, name)
        if found is None:
            return None
        lifecycle.delete(change, found, force=force, keep_repo=keep_repo)
        self.context.logs.forget(found.pk)
        return pps_convert.pipeline_name(found.project, found.name)

    def DeletePipeline(self, request: pps_pb2.DeletePipelineRequest, call: Call) -> None:
        if request.all:
            self._delete_many(None, request.force, request.keep_repo)
            return
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            self._delete(change, pipeline.project.name, pipeline.name, request.force, request.keep_repo)

    def DeletePipelines(self, request: pps_pb2.DeletePipelinesRequest, call: Call) -> pps_pb2.DeletePipelinesResponse:
        wanted = None if request.all else [each.name or DEFAULT_PROJECT for each in request.projects]
        return pps_pb2.DeletePipelinesResponse(pipelines=self._delete_many(wanted, request.force, request.keep_repo))

    def _delete_many(self, projects: list[str] | None, force: bool, keep_repo: bool) -> list[pps_pb2.Pipeline]:
        deleted = []
        with self.context.engine.change() as change:
            # Newest first: a pipeline is always older than the pipelines that read its output.
            for each in pipelines.list_pipelines(change.connection):
                if projects is None or each.project in projects:
                    name = self._delete(change, each.project, each.name, force, keep_repo)
                    deleted += [name] if name else []
        return deleted

    def StartPipeline(self, request: pps_pb2.StartPipelineRequest, call: Call) -> None:
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            lifecycle.start(change, pipelines.get_pipeline(change.connection, pipeline.project.name, pipeline.name))

    def StopPipeline(self, request: pps_pb2.StopPipelineRequest, call: Call) -> None:
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            found = pipelines.find_pipeline(change.connection, pipeline.project.name, pipeline.name)
            # As on a cluster, a pipeline that doesn't exist counts as stopped.
            if found is not None:
                lifecycle.stop(change, found)

    def RunCron(self, request: pps_pb2.RunCronRequest, call: Call) -> None:
        with self.context.engine.change() as change:
            name = request.pipeline
            found = pipelines.get_pipeline(change.connection, name.project.name, name.name)
            ticks = [leaf for leaf in leaves(found.details.input) if isinstance(leaf, pps_pb2.CronInput)]
            if not ticks:
                raise Fault("pipeline doesn't have a cron input")
            for leaf in ticks:
                tick(self.context.engine, change, leaf)

    def DeleteAll(self, request: empty_pb2.Empty, call: Call) -> None:
        self._delete_many(None, force=True, keep_repo=False)
        for each in self.context.secrets.list():
            self.context.secrets.delete(each.name)


def effective_spec(connection: sqlite3.Connection, content: dict[str, Any]) -> pps_pb2.CreatePipelineRequest:
    """Merge a spec with the defaults of its project and of the cluster.

    Raises:
        InvalidArgument: The merged spec is invalid.
    """
    spec = pps_pb2.CreatePipelineRequest()
    try:
        json_format.ParseDict(Defaults(connection).effective(content), spec)
    except json_format.ParseError as error:
        raise InvalidArgument(f"could not make effective spec: {error}") from error
    return spec


def _ancestor(connection: sqlite3.Connection, project: str, text: str) -> pipelines.Pipeline:
    """Return a pipeline by name; a suffix ``^`` or ``~n`` selects an older version.

    Raises:
        NotFound: No pipeline has that name.
        Fault: The pipeline has fewer versions.
    """
    matched = _ANCESTRY.fullmatch(text)
    if matched is None:
        return pipelines.get_pipeline(connection, project, text)
    steps = sum(int(number or 1) for number in _STEP.findall(matched[2]))
    found = pipelines.get_pipeline(connection, project, matched[1])
    if steps == 0:
        return found
    if found.version - steps < 1:
        raise Fault(f'pipeline "{found}" has only {found.version} versions, not enough to find ancestor {steps}')
    return pipelines.pipeline_by_pk(connection, found.pk, found.version - steps)
