"""The small services: version, cluster, health, and the authentication-related ones."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2
from python_pachyderm.proto.v2.admin import admin_pb2
from python_pachyderm.proto.v2.auth import auth_pb2
from python_pachyderm.proto.v2.enterprise import enterprise_pb2
from python_pachyderm.proto.v2.identity import identity_pb2
from python_pachyderm.proto.v2.license import license_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.version.versionpb import version_pb2

from pdk_stack.common.polling import poll
from pdk_stack.pachyderm.api.grpc.access import AUTH_OFF, AccessControl
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.core.tokens import Tokens
from pdk_stack.pachyderm.errors import Fault, NotFound, Unimplemented
from pdk_stack.pachyderm.names import go_quoted

# When the license of an activated cluster expires.
NEVER = "9999-12-31T23:59:59Z"
# Interval, in seconds, at which a watching call checks whether its client is gone.
WATCH_S = 1.0
# The release whose protocol the server speaks; clients compare it with their own version.
VERSION = version_pb2.Version(major=2, minor=8, micro=10, platform=platform.machine(), go_version="none")
VERSION_TEXT = f"{VERSION.major}.{VERSION.minor}.{VERSION.micro}"


class VersionCalls:
    """The version service."""

    def GetVersion(self, request: empty_pb2.Empty, call: Call) -> version_pb2.Version:
        return VERSION


class AdminCalls:
    """The cluster service.

    Args:
        cluster_id: The ID of the installation.
        pfs: The PFS calls, which know the projects.
    """

    def __init__(self, cluster_id: str, pfs: Any) -> None:
        self._cluster_id = cluster_id
        self._pfs = pfs

    def InspectCluster(self, request: admin_pb2.InspectClusterRequest, call: Call) -> admin_pb2.ClusterInfo:
        client = request.client_version if request.HasField("client_version") else None
        warnings = [_version_warning(client)]
        name = request.current_project.name
        if client is not None and name:
            try:
                self._pfs.InspectProject(pfs_pb2.InspectProjectRequest(project=request.current_project), call)
            except Fault as error:
                warnings.append(f"WARNING: Could not inspect project {go_quoted(name)}: {error.message}")
        return admin_pb2.ClusterInfo(
            id=self._cluster_id,
            deployment_id=self._cluster_id,
            version_warnings_ok=True,
            version_warnings=filter(None, warnings),
        )


def _version_warning(client: version_pb2.Version | None) -> str:
    """Return what the server says about a client's version, or nothing (``versionpb.IsCompatible``)."""
    if client is None:
        return (
            "WARNING: The client used to connect to Pachyderm did not send its version, which means that it is likely "
            "too old.  Please upgrade it."
        )
    numbers = (client.major, client.minor, client.micro)
    if numbers == (0, 0, 0):
        return ""
    if client.additional.lstrip("-.+"):
        return (
            "WARNING: The client used to connect to Pachyderm is a pre-release version not compatible with the server; "
            f"please use a released version compatible with v{VERSION_TEXT}."
        )
    if numbers[:2] < (VERSION.major, VERSION.minor):
        return (
            "WARNING: The client used to connect to Pachyderm is much older than the server; please upgrade the client."
        )
    if numbers[:2] > (VERSION.major, VERSION.minor):
        return (
            "WARNING: The client used to connect to Pachyderm is much newer than the server; please use a version of "
            "the client that matches the server."
        )
    return ""


class HealthCalls:
    """The health service; it knows only the server as a whole."""

    def Check(self, request: health_pb2.HealthCheckRequest, call: Call) -> health_pb2.HealthCheckResponse:
        if request.service:
            raise NotFound("unknown service")
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    def Watch(self, request: health_pb2.HealthCheckRequest, call: Call) -> Iterator[health_pb2.HealthCheckResponse]:
        # A responding server is healthy; when it stops, the connection ends.
        unknown = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        yield unknown if request.service else self.Check(request, call)
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
        return _refuse_all

    def Deactivate(self, request: auth_pb2.DeactivateRequest, call: Call) -> auth_pb2.DeactivateResponse:
        # The token isn't Pachyderm's authentication, and stays: the ports of a shared machine need it. For clients that
        # reset a cluster, there is nothing to deactivate, and they go on.
        raise Unimplemented(AUTH_OFF)

    def WhoAmI(self, request: auth_pb2.WhoAmIRequest, call: Call) -> auth_pb2.WhoAmIResponse:
        if not self._access.on:
            raise Unimplemented(AUTH_OFF)
        return auth_pb2.WhoAmIResponse(username=call.identity.name)

    def GetOIDCLogin(self, request: auth_pb2.GetOIDCLoginRequest, call: Call) -> auth_pb2.GetOIDCLoginResponse:
        raise Fault("OIDC ID provider configuration not found")


def _refuse_all(request: object, call: Call) -> None:
    raise Unimplemented(AUTH_OFF)


class IdentityCalls:
    """The identity service, which belongs to Pachyderm's authentication: without that, it refuses all calls."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        return _refuse_all

    def DeleteAll(self, request: identity_pb2.DeleteAllRequest, call: Call) -> identity_pb2.DeleteAllResponse:
        raise Unimplemented(AUTH_OFF)


class LicenseCalls:
    """No license exists: lists are empty, and deleting succeeds."""

    def DeleteAll(self, request: license_pb2.DeleteAllRequest, call: Call) -> license_pb2.DeleteAllResponse:
        return license_pb2.DeleteAllResponse()

    def ListClusters(self, request: license_pb2.ListClustersRequest, call: Call) -> license_pb2.ListClustersResponse:
        return license_pb2.ListClustersResponse()

    def ListUserClusters(
        self, request: license_pb2.ListUserClustersRequest, call: Call
    ) -> license_pb2.ListUserClustersResponse:
        return license_pb2.ListUserClustersResponse()

    def DeleteCluster(self, request: license_pb2.DeleteClusterRequest, call: Call) -> license_pb2.DeleteClusterResponse:
        return license_pb2.DeleteClusterResponse()

    def GetActivationCode(
        self, request: license_pb2.GetActivationCodeRequest, call: Call
    ) -> license_pb2.GetActivationCodeResponse:
        return license_pb2.GetActivationCodeResponse(state=enterprise_pb2.NONE)

    def AddCluster(self, request: license_pb2.AddClusterRequest, call: Call) -> license_pb2.AddClusterResponse:
        raise Fault("enterprise license is not valid - NONE")


class EnterpriseCalls:
    """The enterprise service: authentication is an enterprise feature, so a cluster that has it is activated.

    Args:
        access: Knows whether authentication is enabled.
    """

    def __init__(self, access: AccessControl | None) -> None:
        self._access = access or AccessControl(Tokens(""))

    def GetState(self, request: enterprise_pb2.GetStateRequest, call: Call) -> enterprise_pb2.GetStateResponse:
        if not self._access.on:
            return enterprise_pb2.GetStateResponse(state=enterprise_pb2.NONE)
        answer = enterprise_pb2.GetStateResponse(state=enterprise_pb2.ACTIVE)
        answer.info.expires.FromJsonString(NEVER)
        return answer

    def GetActivationCode(
        self, request: enterprise_pb2.GetActivationCodeRequest, call: Call
    ) -> enterprise_pb2.GetActivationCodeResponse:
        if self._access.on:
            raise Unimplemented("/enterprise_v2.API/GetActivationCode is not implemented by the embedded Pachyderm")
        return enterprise_pb2.GetActivationCodeResponse(state=enterprise_pb2.NONE)

    def PauseStatus(self, request: enterprise_pb2.PauseStatusRequest, call: Call) -> enterprise_pb2.PauseStatusResponse:
        return enterprise_pb2.PauseStatusResponse(status=enterprise_pb2.PauseStatusResponse.UNPAUSED)

    def Heartbeat(self, request: enterprise_pb2.HeartbeatRequest, call: Call) -> enterprise_pb2.HeartbeatResponse:
        raise Unimplemented("cluster does not have enterprise features enabled")
