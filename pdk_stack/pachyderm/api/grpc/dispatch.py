"""From a service's descriptor and an object with methods of the same names to gRPC handlers.

A call that the object has no method for answers UNIMPLEMENTED with the call's name. Errors of our own keep
their code; every other error is logged and answered as UNKNOWN with its text, as Pachyderm does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, empty_pb2, symbol_database

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.api.grpc.access import AccessControl, Identity
from pdk_stack.pachyderm.core.pfs.types import RepoKey
from pdk_stack.pachyderm.errors import Unimplemented

log = logging.getLogger("pdk_stack.pachyderm.api.grpc")

EMPTY = empty_pb2.Empty()

Serializer = Callable[[Any], bytes]
Deserializer = Callable[[bytes], Any]
Codecs = Mapping[str, tuple[Deserializer | None, Serializer | None]]


class Call:
    """What a handler may know about the call that it answers.

    Args:
        context: The gRPC context.
    """

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self.metadata = {key: value for key, value in context.invocation_metadata()}
        self.identity = Identity()

    def may_write(self, repo: RepoKey) -> None:
        """Refuse a pipeline's code that writes elsewhere than to its own output.

        Raises:
            NotAuthorized: It does.
        """
        self.identity.may_write(repo)

    def active(self) -> bool:
        """Whether the client still waits for the answer."""
        return bool(self._context.is_active())

    @property
    def transaction(self) -> str:
        """Id of the client's transaction, or empty."""
        return str(self.metadata.get("pach-transaction", ""))

    @property
    def user_agent(self) -> str:
        """Which client calls."""
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
    """A behaviour that gives one answer: the method's, or an empty message where it returns None."""

    def behave(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            call = Call(context)
            call.identity = access.check(path, call.metadata)
            answer = method(request, call)
            return EMPTY if answer is None else answer
        except Exception as error:
            if not context.is_active() and not isinstance(error, Refusal):
                log.info("%s ended with its client: %s", path, error)
            return _abort(context, path, error)

    return behave


def stream(path: str, access: AccessControl, method: Callable[[Any, Call], Iterator[Any]]) -> Callable[..., Any]:
    """A behaviour that gives any number of answers."""

    def behave(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            call = Call(context)
            call.identity = access.check(path, call.metadata)
            yield from method(request, call)
        except Exception as error:
            _abort(context, path, error)

    return behave


def refuse(path: str) -> Callable[[Any, Call], Any]:
    """A method that says that the call is not done here."""

    def method(request: Any, call: Call) -> Any:
        raise Unimplemented(f"{path} is not implemented by the embedded Pachyderm")

    return method


def handlers(
    service: Any,
    implementation: object,
    access: AccessControl,
    codecs: Codecs | None = None,
) -> grpc.GenericRpcHandler:
    """Handlers for all calls of a service.

    Args:
        service: The service's descriptor.
        implementation: Has a method for each call that is done.
        access: Checks tokens.
        codecs: Hand-written (de)serialisers for hot calls, by name.
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
    """A gRPC handler of one of the four kinds."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[client_streaming, server_streaming]
    return make(behaviour, request_deserializer=decode, response_serializer=encode)


class UnknownCalls(grpc.GenericRpcHandler):
    """Answers calls that no descriptor names, e.g. those of newer clients."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """A handler that says that the call is not done here."""
        path = details.method

        def behave(requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{path} is not implemented by the embedded Pachyderm")
            yield b""

        return grpc.stream_stream_rpc_method_handler(behave)
