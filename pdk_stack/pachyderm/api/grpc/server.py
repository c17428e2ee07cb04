"""The gRPC server: all services on one loopback port."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2
from python_pachyderm.proto.v2.admin import admin_pb2
from python_pachyderm.proto.v2.auth import auth_pb2
from python_pachyderm.proto.v2.debug import debug_pb2
from python_pachyderm.proto.v2.enterprise import enterprise_pb2
from python_pachyderm.proto.v2.identity import identity_pb2
from python_pachyderm.proto.v2.license import license_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.proto.v2.transaction import transaction_pb2
from python_pachyderm.proto.v2.version.versionpb import version_pb2

from pdk_shared.errors import StackError
from pdk_stack.common.limits import GRPC_PORTS
from pdk_stack.pachyderm.api.grpc import admin, codec
from pdk_stack.pachyderm.api.grpc.access import AccessControl
from pdk_stack.pachyderm.api.grpc.dispatch import Call, Codecs, UnknownCalls, handlers
from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from pdk_stack.pachyderm.api.grpc.later_releases import LaterCalls, later_handlers
from pdk_stack.pachyderm.api.grpc.pfs_commits import CommitCalls
from pdk_stack.pachyderm.api.grpc.pfs_files import FileCalls
from pdk_stack.pachyderm.api.grpc.pfs_filesets import FileSetCalls
from pdk_stack.pachyderm.api.grpc.pfs_repos import RepoCalls
from pdk_stack.pachyderm.api.grpc.pps_datums import DatumCalls
from pdk_stack.pachyderm.api.grpc.pps_jobs import JobCalls
from pdk_stack.pachyderm.api.grpc.pps_logs import LogCalls
from pdk_stack.pachyderm.api.grpc.pps_pipelines import PipelineCalls
from pdk_stack.pachyderm.api.grpc.pps_secrets import SecretCalls
from pdk_stack.pachyderm.api.grpc.pps_templates import TemplateCalls
from pdk_stack.pachyderm.api.grpc.transactions import TransactionCalls, Transactions
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import repos
from pdk_stack.pachyderm.core.pfs.cache import Cache
from pdk_stack.pachyderm.core.pps import pipelines
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.errors import Fault


class TaskCalls:
    """The task queue of a service: what pachd hands to its queue, the calls here do themselves, so it is empty."""

    def ListTask(self, request: Any, call: Call) -> Iterator[Any]:
        return iter(())


class PfsCalls(RepoCalls, CommitCalls, FileCalls, FileSetCalls, TaskCalls):
    """All PFS calls.

    Args:
        engine: The store.
        transactions: Runs calls that can be part of a transaction.
    """

    def __init__(self, engine: Engine, transactions: Transactions) -> None:
        self.engine = engine
        self.transactions = transactions
        self.cache = Cache()

    def DeleteAll(self, request: empty_pb2.Empty, call: Call) -> None:
        with self.engine.change() as change:
            connection = change.connection
            if pipelines.list_pipelines(connection):
                raise Fault(
                    "could not delete all repos: cannot delete a repo associated with a pipeline - delete the pipeline "
                    "instead"
                )
            for each in repos.list_repos(connection, "", []):
                repos.delete_repo(connection, each.key, force=True)
            connection.execute("DELETE FROM projects")
            repos.ensure_default_project(connection)


class PpsCalls(PipelineCalls, JobCalls, DatumCalls, LogCalls, SecretCalls, TemplateCalls, TaskCalls):
    """All PPS calls.

    Args:
        context: The workers' shared context.
        transactions: Runs calls that can be part of a transaction.
    """

    def __init__(self, context: Context, transactions: Transactions) -> None:
        self.context = context
        self.transactions = transactions


Service = tuple[Any, object, Codecs | None]


def service_table(
    pfs: PfsCalls, pps: PpsCalls, transactions: Transactions, access: AccessControl | None, cluster_id: str
) -> list[Service]:
    """List all services: descriptor, implementation, and codecs of its hot calls."""
    fast: Codecs = {
        "ModifyFile": (codec.decode_modify, None),
        "CreateFileSet": (codec.decode_modify, None),
        "GetFile": (None, codec.encode_bytes_value),
        "GetFileTAR": (None, codec.encode_bytes_value),
        # These return encoded messages.
        **{name: (None, bytes) for name in ("ListFile", "WalkFile", "GlobFile")},
        # The client library expects an empty message.
        "DeleteRepo": (None, lambda message: message.SerializeToString()),
    }

    # The client library's own messages lack fields that the handlers read.
    newer: Codecs = {name: (MESSAGES[f"{name}Request"].FromString, None) for name in ("DeletePipeline", "StopPipeline")}

    def api(module: Any, name: str = "API") -> Any:
        return module.DESCRIPTOR.services_by_name[name]

    return [
        (api(pfs_pb2), pfs, fast),
        (api(pps_pb2), pps, newer),
        (api(transaction_pb2), TransactionCalls(transactions), None),
        (api(admin_pb2), admin.AdminCalls(cluster_id, pfs), None),
        (api(version_pb2), admin.VersionCalls(), None),
        (api(auth_pb2), admin.AuthCalls(access), None),
        (api(identity_pb2), admin.IdentityCalls(), None),
        (api(license_pb2), admin.LicenseCalls(), None),
        (api(enterprise_pb2), admin.EnterpriseCalls(access), None),
        (api(debug_pb2, "Debug"), object(), None),
        (api(health_pb2, "Health"), admin.HealthCalls(), None),
    ]


def build_server(context: Context, access: AccessControl, port: int) -> tuple[grpc.Server, int]:
    """Build a server without starting it.

    Args:
        context: The core behind the protocol.
        access: Authenticates and authorizes calls.
        port: The loopback port; 0 picks a free one.

    Returns:
        The server and its port.

    Raises:
        StackError: The port is in use.
    """
    engine = context.engine
    transactions = Transactions(engine)
    pfs, pps = PfsCalls(engine, transactions), PpsCalls(context, transactions)
    transactions.register(pfs)
    transactions.register(pps)
    transactions.operations["create_pipeline"] = pps.create_in_change
    transactions.operations["delete_repo"] = pfs.delete_in_change
    limits = GRPC_PORTS["pachyderm.grpc"]
    server = grpc.server(ThreadPoolExecutor(limits.threads, thread_name_prefix="grpc"), options=limits.options)
    services = service_table(pfs, pps, transactions, access, engine.cluster_id)
    server.add_generic_rpc_handlers(tuple(later_handlers(LaterCalls(pps), access)))
    for service, implementation, codecs in services:
        server.add_generic_rpc_handlers((handlers(service, implementation, access, codecs),))
    server.add_generic_rpc_handlers((UnknownCalls({service.full_name for service, _, _ in services}),))
    try:
        bound = server.add_insecure_port(f"{context.host}:{port}")
    except RuntimeError as error:
        bound = 0
        reason = str(error)
    else:
        reason = "the port is in use"
    if bound == 0:
        raise StackError(
            f"Pachyderm cannot listen on port {port}: {reason}.",
            where=f"{context.host}:{port}",
            fix="Choose another port, or stop what uses it.",
        )
    return server, bound
