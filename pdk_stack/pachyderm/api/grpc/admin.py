"""The small services: version, cluster, health, and the authentication-related ones."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2
from python_pachyderm.proto.v2.admin import admin_pb2
from python_pachyderm.proto.v2.auth import auth_pb2
from python_pachyderm.proto.v2.enterprise import enterprise_pb2
from python_pachyderm.proto.v2.identity import identity_pb2
from python_pachyderm.proto.v2.license import license_pb2
from python_pachyderm.proto.v2.version.versionpb import version_pb2

from pdk_stack.common.polling import poll
from pdk_stack.pachyderm.api.grpc.access import AUTH_OFF, AccessControl
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.core.tokens import Tokens
from pdk_stack.pachyderm.errors import Unimplemented

# Interval, in seconds, at which a watching call checks whether its client is gone.
WATCH_S = 1.0
# The release whose protocol the server speaks; clients compare it with their own version.
VERSION = version_pb2.Version(
    major=2, minor=8, micro=2, additional="-pdk-lab", platform=platform.machine(), go_version="none"
)

VERSION_TEXT = f"{VERSION.major}.{VERSION.minor}.{VERSION.micro}{VERSION.additional}"


class VersionCalls:
    """The version service."""

    def GetVersion(self, request: empty_pb2.Empty, call: Call) -> version_pb2.Version:
        return VERSION


class AdminCalls:
    """The cluster service.

    Args:
        cluster_id: The ID of the installation.
    """

    def __init__(self, cluster_id: str) -> None:
        self._cluster_id = cluster_id

    def InspectCluster(self, request: admin_pb2.InspectClusterRequest, call: Call) -> admin_pb2.ClusterInfo:
        return admin_pb2.ClusterInfo(id=self._cluster_id, deployment_id=self._cluster_id, version_warnings_ok=True)


class HealthCalls:
    """The health service."""

    def Check(self, request: health_pb2.HealthCheckRequest, call: Call) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    def Watch(self, request: health_pb2.HealthCheckRequest, call: Call) -> Iterator[health_pb2.HealthCheckResponse]:
        # A responding server is healthy; when it stops, the connection ends.
        yield self.Check(request, call)
        poll(lambda: not call.active(), None, WATCH_S)


class AuthCalls:
    """Authentication: one root user, or disabled as in the community edition.

    Args:
        access: Knows whether authentication is enabled.
    """

    def __init__(self, access: AccessControl | None) -> None:
        self._access = access or AccessControl(Tokens(""))

    def __getattr__(self, name: str) -> object:
        if name.startswith("_") or self._access.on:
            raise AttributeError(name)

        def refuse(request: object, call: Call) -> None:
            raise Unimplemented(AUTH_OFF)

        return refuse

    def WhoAmI(self, request: auth_pb2.WhoAmIRequest, call: Call) -> auth_pb2.WhoAmIResponse:
        if not self._access.on:
            raise Unimplemented(AUTH_OFF)
        return auth_pb2.WhoAmIResponse(username=call.identity.name)


class IdentityCalls:
    """No identity server exists: deleting succeeds, other calls are refused."""

    def DeleteAll(self, request: identity_pb2.DeleteAllRequest, call: Call) -> identity_pb2.DeleteAllResponse:
        raise Unimplemented(AUTH_OFF)


class LicenseCalls:
    """No license exists: deleting succeeds, other calls are refused."""

    def DeleteAll(self, request: license_pb2.DeleteAllRequest, call: Call) -> license_pb2.DeleteAllResponse:
        return license_pb2.DeleteAllResponse()


class EnterpriseCalls:
    """The community edition."""

    def GetState(self, request: enterprise_pb2.GetStateRequest, call: Call) -> enterprise_pb2.GetStateResponse:
        return enterprise_pb2.GetStateResponse(state=enterprise_pb2.NONE)
