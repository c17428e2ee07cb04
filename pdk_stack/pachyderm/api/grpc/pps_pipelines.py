"""PPS calls about pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import empty_pb2, json_format
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pps_convert
from pdk_stack.pachyderm.api.grpc.access import AUTH_OFF
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.api.grpc.filters import MessageFilter
from pdk_stack.pachyderm.api.grpc.pps_convert import project_of
from pdk_stack.pachyderm.api.grpc.transactions import Transactions
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pps import lifecycle, pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.core.pps.defaults import Defaults
from pdk_stack.pachyderm.core.pps.environment import secret_environment
from pdk_stack.pachyderm.core.pps.go_json import compact
from pdk_stack.pachyderm.core.pps.inputs import leaves
from pdk_stack.pachyderm.core.pps.limits import check_limits
from pdk_stack.pachyderm.core.pps.ticks import tick
from pdk_stack.pachyderm.errors import Fault, NotFound, Unimplemented, wrapped
from pdk_stack.pachyderm.names import DEFAULT_PROJECT


class PipelineCalls:
    """Calls about pipelines."""

    context: Context
    transactions: Transactions

    def CreatePipeline(self, request: pps_pb2.CreatePipelineRequest, call: Call) -> None:
        self.create_from_json(
            call,
            compact(json_format.MessageToDict(request)),
            update=request.update,
            reprocess=request.reprocess,
            dry_run=request.dry_run,
        )

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
            Fault: The pipeline can't be created.
        """
        engine = self.context.engine
        with engine.read() as connection:
            effective = Defaults(connection).effective(text)
            spec = effective.request
            spec.update, spec.reprocess = update, reprocess
            if not spec.HasField("pipeline"):
                raise Fault("request.Pipeline cannot be nil")
            spec.pipeline.project.name = spec.pipeline.project.name or DEFAULT_PROJECT
            if dry_run:
                return spec
            # Authentication is an enterprise feature: a cluster that has it has no limits.
            if not self.context.tokens.on:
                check_limits(connection, spec)
        # Not inside a change: the cluster may be slow to respond.
        secret_environment(self.context, spec.transform)
        self._check_determined(spec)
        if call.transaction:
            self.transactions.run(call, "create_pipeline", spec)
        else:
            with engine.change() as change:
                lifecycle.create(change, spec, text, effective.text, self._user(call))
        return spec

    def _check_determined(self, spec: pps_pb2.CreatePipelineRequest) -> None:
        if not spec.HasField("determined"):
            return
        with wrapped("create det pipeline side effects"):
            if not self.context.tokens.on:
                raise Unimplemented(f"who am i: rpc error: code = Unimplemented desc = {AUTH_OFF}")
            raise Unimplemented(
                "the embedded Pachyderm makes no users in Determined; leave the field determined out and take the "
                "credentials from a secret"
            )

    def _user(self, call: Call) -> str:
        """Return the caller's name for the reason of a job that the call ends."""
        return call.identity.name if self.context.tokens.on else lifecycle.UNKNOWN_USER

    def create_in_change(self, change: Change, request: pps_pb2.CreatePipelineRequest) -> None:
        """Run CreatePipeline inside a change."""
        text = compact(json_format.MessageToDict(request))
        effective = Defaults(change.connection).effective(text)
        lifecycle.create(change, effective.request, text, effective.text)

    def InspectPipeline(self, request: pps_pb2.InspectPipelineRequest, call: Call) -> pps_pb2.PipelineInfo:
        with self.context.engine.read() as connection:
            found = pipelines.get_pipeline(connection, project_of(request.pipeline), request.pipeline.name)
            info = pps_convert.pipeline_info(connection, found)
            if request.details:
                pps_convert.add_workers(found, info)
            else:
                info.ClearField("details")
            return info

    def ListPipeline(self, request: pps_pb2.ListPipelineRequest, call: Call) -> Iterator[pps_pb2.PipelineInfo]:
        fits = MessageFilter(request.jqFilter, request.projects)
        name, set_id = request.pipeline.name, request.commit_set.id
        wanted = [project_of(request.pipeline)] if name else []
        with self.context.engine.read() as connection:
            known = pipelines.list_pipelines(connection, wanted, request.history, name)
            if name and not known:
                full = f"{wanted[0]}/{name}"
                raise NotFound(f"could not list pipeline info: {pipelines.not_found(full)}")
            for found in known:
                shown = pipelines.as_of(connection, found, set_id) if set_id else found
                if shown is None:
                    continue
                info = pps_convert.pipeline_info(connection, shown)
                with wrapped("could not list pipeline info: error filtering pipeline"):
                    if not fits(info):
                        continue
                yield info

    def _delete(self, change: Change, found: pipelines.Pipeline, force: bool, keep_repo: bool) -> pps_pb2.Pipeline:
        lifecycle.delete(change, found, force=force, keep_repo=keep_repo)
        self.context.logs.forget(found.pk)
        return pps_convert.pipeline_name(found.project, found.name)

    def DeletePipeline(self, request: Any, call: Call) -> None:
        pipeline = request.pipeline
        project, name = project_of(pipeline), pipeline.name
        # As on a cluster, the field `all` deletes nothing: DeletePipelines and DeleteAll do that.
        if request.all:
            return
        with wrapped(f"error stopping pipeline {project}/{name}"):
            self._stop(call, project, name, bool(request.must_exist))
        with self.context.engine.change() as change:
            found = pipelines.find_pipeline(change.connection, project, name)
            if found is not None:
                self._delete(change, found, request.force, request.keep_repo)

    def DeletePipelines(self, request: pps_pb2.DeletePipelinesRequest, call: Call) -> pps_pb2.DeletePipelinesResponse:
        wanted = None if request.all else [each.name for each in request.projects]
        return pps_pb2.DeletePipelinesResponse(pipelines=self._delete_many(wanted, request.force, request.keep_repo))

    def _delete_many(self, projects: list[str] | None, force: bool, keep_repo: bool) -> list[pps_pb2.Pipeline]:
        with self.context.engine.change() as change:
            # Newest first: a pipeline is always older than the pipelines that read its output.
            found = sorted(pipelines.list_pipelines(change.connection), key=lambda each: -each.pk)
            return [
                self._delete(change, each, force, keep_repo)
                for each in found
                if projects is None or each.project in projects
            ]

    def StartPipeline(self, request: pps_pb2.StartPipelineRequest, call: Call) -> None:
        _require_pipeline(request)
        with self.context.engine.change() as change:
            pipeline = request.pipeline
            lifecycle.start(change, pipelines.get_pipeline(change.connection, pipeline.project.name, pipeline.name))

    def StopPipeline(self, request: Any, call: Call) -> None:
        _require_pipeline(request)
        self._stop(call, project_of(request.pipeline), request.pipeline.name, bool(request.must_exist))

    def _stop(self, call: Call, project: str, name: str, must_exist: bool) -> None:
        """Stop a pipeline; one that doesn't exist counts as stopped, unless it must exist."""
        with self.context.engine.change() as change:
            try:
                found = pipelines.get_pipeline(change.connection, project, name)
            except NotFound:
                if must_exist:
                    raise
                return
            lifecycle.stop(change, found, self._user(call))

    def RunPipeline(self, request: pps_pb2.RunPipelineRequest, call: Call) -> None:
        # The server has no more than this either.
        raise Fault("unimplemented")

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


def _require_pipeline(request: Any) -> None:
    if not request.HasField("pipeline"):
        raise Fault("request.Pipeline cannot be nil")
