"""PPS calls about secrets."""

from __future__ import annotations

from google.protobuf import empty_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.core.pps.context import Context
from pdk_stack.pachyderm.errors import Fault


class SecretCalls:
    """Calls about secrets."""

    context: Context

    def CreateSecret(self, request: pps_pb2.CreateSecretRequest, call: Call) -> None:
        self.context.secrets.create(request.file)

    def DeleteSecret(self, request: pps_pb2.DeleteSecretRequest, call: Call) -> None:
        self.context.secrets.delete(request.secret.name)

    def InspectSecret(self, request: pps_pb2.InspectSecretRequest, call: Call) -> pps_pb2.SecretInfo:
        found = self.context.secrets.find(request.secret.name)
        if found is None:
            raise Fault(f'failed to get secret: secrets "{request.secret.name}" not found')
        return _secret_info(found.name, found.type, found.created)

    def ListSecret(self, request: empty_pb2.Empty, call: Call) -> pps_pb2.SecretInfos:
        return pps_pb2.SecretInfos(
            secret_info=[_secret_info(each.name, each.type, each.created) for each in self.context.secrets.list()]
        )


def _secret_info(name: str, kind: str, created: int) -> pps_pb2.SecretInfo:
    return pps_pb2.SecretInfo(
        secret=pps_pb2.Secret(name=name), type=kind, creation_timestamp=pfs_convert.stamp(created)
    )
