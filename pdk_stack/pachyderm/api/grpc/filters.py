"""Which messages of a list a client wants (``newMessageFilterFunc`` of the server's ``api_server.go``)."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf import json_format
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import DEFAULT_PROJECT


class MessageFilter:
    """Says of jobs and pipelines whether they are wanted.

    Args:
        expression: A jq program whose first result must be neither false nor null; all fit when empty.
        projects: Only these projects; all when empty.

    Raises:
        Fault: The program cannot be read.
    """

    def __init__(self, expression: str, projects: Iterable[pfs_pb2.Project]) -> None:
        self._projects = {each.name or DEFAULT_PROJECT for each in projects}
        self._program = None
        if not expression:
            return
        # Few clients filter; the others need not wait for the library.
        import jq

        try:
            self._program = jq.compile(expression)
        except ValueError as error:
            raise Fault(f"error creating message filter function: error parsing jq filter: {error}") from error

    def __call__(self, message: pps_pb2.JobInfo | pps_pb2.PipelineInfo) -> bool:
        """Whether a message is wanted.

        Raises:
            Fault: The program fails on it.
        """
        pipeline = message.job.pipeline if isinstance(message, pps_pb2.JobInfo) else message.pipeline
        if self._projects and pipeline.project.name not in self._projects:
            return False
        if self._program is None:
            return True
        content = json_format.MessageToDict(message, preserving_proto_field_name=True)
        try:
            found = next(iter(self._program.input_value(content)), None)
        except ValueError as error:
            raise Fault(f"error applying jq filter on proto message: {error}") from error
        return found is not None and found is not False
