"""The worker service (``src/worker/worker.proto``), where a user process requests its next datum.

The official clients send no token to this port, so it returns only the datum's own variables, no credentials, and
refuses other users of the machine, who could otherwise end a datum.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from python_pachyderm.proto.v2.worker import worker_pb2, worker_pb2_grpc

from pdk_stack.common.limits import GRPC_PORTS
from pdk_stack.common.peers import is_own_user
from pdk_stack.common.service import LOOPBACK
from pdk_stack.pachyderm.core.pps.context import NextDatum


class WorkerCalls(worker_pb2_grpc.WorkerServicer):
    """Forwards a process's requests.

    Args:
        next_datum: Handles the requests.

    Attributes:
        port: The port that serves them.
    """

    def __init__(self, next_datum: NextDatum) -> None:
        self._next_datum = next_datum
        self.port = 0

    def NextDatum(
        self, request: worker_pb2.NextDatumRequest, context: grpc.ServicerContext
    ) -> worker_pb2.NextDatumResponse:
        host, _, port = context.peer().removeprefix("ipv4:").rpartition(":")
        if not is_own_user((host, int(port)), self.port):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "only the user who runs the worker can request datums")
        variables = self._next_datum(request.error, context.is_active)
        return worker_pb2.NextDatumResponse(env=[f"{name}={value}" for name, value in variables.items()])


@contextmanager
def serve_datums(next_datum: NextDatum) -> Iterator[int]:
    """Serve ``NextDatum`` for the duration of the block; yield the port."""
    limits = GRPC_PORTS["pachyderm.worker"]
    server = grpc.server(ThreadPoolExecutor(limits.threads, thread_name_prefix="batch"), options=limits.options)
    calls = WorkerCalls(next_datum)
    worker_pb2_grpc.add_WorkerServicer_to_server(calls, server)
    calls.port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    try:
        yield calls.port
    finally:
        server.stop(0)
