"""Filters for the messages of a list (``newMessageFilterFunc`` in the server's ``api_server.go``)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from google.protobuf import json_format
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import DEFAULT_PROJECT

# How jq and the server's gojq say that a program ends too early.
_END = re.compile(r"unexpected (end of file|\$end)")
_UNEXPECTED_END = "unexpected token <EOF>"


class MessageFilter:
    """Selects jobs and pipelines.

    Args:
        expression: A jq program; a message matches if its first result is neither false nor null. Empty matches all.
        projects: Only these projects; empty means all.

    Raises:
        Fault: The program is invalid.
    """

    def __init__(self, expression: str, projects: Iterable[pfs_pb2.Project]) -> None:
        self._projects = {each.name or DEFAULT_PROJECT for each in projects}
        self._program = None
        if not expression:
            return
        # Imported here, because few clients filter.
        import jq

        try:
            self._program = jq.compile(expression)
        except ValueError as error:
            words = _UNEXPECTED_END if _END.search(str(error)) else str(error)
            raise Fault(f"error creating message filter function: error parsing jq filter: {words}") from error

    def __call__(self, message: pps_pb2.JobInfo | pps_pb2.PipelineInfo) -> bool:
        """Whether a message matches.

        Raises:
            Fault: The program fails on the message.
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
