"""gRPC handlers, built from a service's descriptor and an object with methods of the same names.

A call without a method returns UNIMPLEMENTED with the call's name. Our own errors keep their code; any other error is
logged and returned as UNKNOWN with its text, as Pachyderm does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, empty_pb2, symbol_database

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.api.grpc.access import AccessControl, Identity
from pdk_stack.pachyderm.api.grpc.validation import check_message, check_request
from pdk_stack.pachyderm.core.pfs.types import RepoKey
from pdk_stack.pachyderm.errors import Unimplemented

log = logging.getLogger("pdk_stack.pachyderm.api.grpc")

EMPTY = empty_pb2.Empty()

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]
Codecs = Mapping[str, tuple[Deserializer | None, Serializer | None]]


class Call:
    """What a handler can learn about its call.

    Args:
        context: The gRPC context.
    """

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self.metadata = {key: value for key, value in context.invocation_metadata()}
        self.identity = Identity()

    def may_write(self, repo: RepoKey) -> None:
        """Refuse a write by a pipeline's code to any repo other than its own output.

        Raises:
            NotAuthorized: The repo isn't the pipeline's output.
        """
        self.identity.may_write(repo)

    def active(self) -> bool:
        """Whether the client is still waiting for the response."""
        return bool(self._context.is_active())

    @property
    def transaction(self) -> str:
        """The ID of the client's transaction, or empty."""
        return str(self.metadata.get("pach-transaction", ""))

    @property
    def user_agent(self) -> str:
        """The client's user agent."""
        return str(self.metadata.get("user-agent", ""))


def _abort(context: grpc.ServicerContext, path: str, error: Exception) -> None:
    if isinstance(error, Refusal):
        code = grpc.StatusCode[error.code.name]
        text = error.message
    else:
        log.exception("%s failed", path)
        code, text = grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}"
    context.abort(code, text or code.name)


def unary(path: str, access: AccessControl, method: Callable[[Any, Call], Any]) -> Callable[..., Any]:
    """Build a unary handler; where the method returns None, it sends an empty message."""

    def behave(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            call = Call(context)
            call.identity = access.check(path, call.metadata)
            answer = method(check_request(request), call)
            return EMPTY if answer is None else answer
        except Exception as error:
            if not context.is_active() and not isinstance(error, Refusal):
                log.info("%s: client disconnected: %s", path, error)
            return _abort(context, path, error)

    return behave


def stream(path: str, access: AccessControl, method: Callable[[Any, Call], Iterator[Any]]) -> Callable[..., Any]:
    """Build a streaming handler."""

    def behave(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            call = Call(context)
            call.identity = access.check(path, call.metadata)
            yield from method(check_message(request), call)
        except Exception as error:
            _abort(context, path, error)

    return behave


def refuse(path: str) -> Callable[[Any, Call], Any]:
    """Build a method that reports the call as unimplemented."""

    def method(request: Any, call: Call) -> Any:
        raise Unimplemented(f"{path} is not implemented by the embedded Pachyderm")

    return method


def handlers(
    service: Any,
    implementation: object,
    access: AccessControl,
    codecs: Codecs | None = None,
) -> grpc.GenericRpcHandler:
    """Build the handlers for all calls of a service.

    Args:
        service: The service's descriptor.
        implementation: The object with a method for each implemented call.
        access: Authenticates and authorizes calls.
        codecs: Hand-written (de)serializers for hot calls, by name.
    """
    proto = descriptor_pb2.ServiceDescriptorProto()
    service.CopyToProto(proto)
    database = symbol_database.Default()
    table: dict[str, grpc.RpcMethodHandler] = {}
    for method, raw in zip(service.methods, proto.method, strict=True):
        path = f"/{service.full_name}/{method.name}"
        decode, encode = (codecs or {}).get(method.name, (None, None))
        request_class = database.GetPrototype(method.input_type)
        response_class = database.GetPrototype(method.output_type)
        behaviour = getattr(implementation, method.name, None) or refuse(path)
        wrapped = (stream if raw.server_streaming else unary)(path, access, behaviour)
        table[method.name] = grpc_handler(
            raw.client_streaming,
            raw.server_streaming,
            wrapped,
            decode or request_class.FromString,
            encode or response_class.SerializeToString,
        )
    return grpc.method_handlers_generic_handler(service.full_name, table)


def grpc_handler(
    client_streaming: bool,
    server_streaming: bool,
    behaviour: Callable[..., Any],
    decode: Deserializer,
    encode: Serializer,
) -> grpc.RpcMethodHandler:
    """Build a gRPC handler of one of the four kinds."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[client_streaming, server_streaming]
    return make(behaviour, request_deserializer=decode, response_serializer=encode)


class UnknownCalls(grpc.GenericRpcHandler):
    """Handles calls that no descriptor names, such as those of newer clients."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return a handler that reports the call as unimplemented."""
        path = details.method

        def behave(requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{path} is not implemented by the embedded Pachyderm")
            yield b""

        return grpc.stream_stream_rpc_method_handler(behave)
