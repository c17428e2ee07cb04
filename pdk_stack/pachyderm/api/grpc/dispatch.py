"""gRPC handlers, built from a service's descriptor and an object with methods of the same names.

A call without a method returns UNIMPLEMENTED with the call's name. Our own errors keep their code and words; what can't
be decoded is INVALID_ARGUMENT; any other error is logged and returned as INTERNAL, without its text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, empty_pb2, json_format, symbol_database
from google.protobuf.message import Message

from pdk_stack.common.errors import Refusal
from pdk_stack.pachyderm.api.grpc.access import AccessControl, Identity
from pdk_stack.pachyderm.api.grpc.validation import check_message, check_request
from pdk_stack.pachyderm.core.pfs.types import RepoKey
from pdk_stack.pachyderm.errors import InvalidArgument, Unimplemented

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


@dataclass(frozen=True)
class Malformed:
    """A message that can't be decoded.

    Attributes:
        reason: Why.
    """

    reason: str


def tolerant(decode: Deserializer) -> Deserializer:
    """Let a handler see a message that can't be decoded: gRPC itself would answer INTERNAL."""

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        # The library raises many kinds: errors of its own, of Unicode, of lengths, of nesting.
        except Exception as error:
            return Malformed(f"{type(error).__name__}: {error}")

    return read


def _intact(message: Any) -> Any:
    if isinstance(message, Malformed):
        log.info("a message could not be decoded: %s", message.reason)
        raise InvalidArgument("the message is not valid protobuf")
    return message


def _received(request: Any) -> Any:
    """Return a call's message, or an iterator of its messages, and refuse those that couldn't be decoded."""
    return _intact(request) if isinstance(request, Message | Malformed) else map(_intact, request)


def _unfit(error: Exception) -> str:
    """Return what is wrong with a message where an error says that Python can't take its values; else nothing."""
    if isinstance(error, UnicodeError):
        return "a text is not valid Unicode"
    if isinstance(error, OverflowError) or (
        isinstance(error, ValueError) and "integer string conversion" in str(error)
    ):
        return "a number is too large"
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return "a text contains a null character"
    if isinstance(error, RecursionError):
        return "the message is nested too deeply"
    if isinstance(error, json_format.Error):
        return f"a value of the message has no JSON form: {error}"
    return ""


def _abort(context: grpc.ServicerContext, path: str, error: Exception) -> None:
    """End a call with an error's code and words; of an error that nobody expected, the client learns only the place."""
    if isinstance(error, Refusal):
        code, text = grpc.StatusCode[error.code.name], error.message
    elif _unfit(error):
        code, text = grpc.StatusCode.INVALID_ARGUMENT, _unfit(error)
    else:
        log.exception("%s failed", path)
        code, text = grpc.StatusCode.INTERNAL, f"{path} failed in the embedded Pachyderm; its log says why"
    context.abort(code, text or code.name)


def unary(path: str, access: AccessControl, method: Callable[[Any, Call], Any]) -> Callable[..., Any]:
    """Build a unary handler; where the method returns None, it sends an empty message."""

    def behave(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            call = Call(context)
            call.identity = access.check(path, call.metadata)
            answer = method(check_request(_received(request)), call)
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
            yield from method(check_message(_received(request)), call)
        except Exception as error:
            _abort(context, path, error)

    return behave


#: Calls that the client library knows, but release 2.8.10 no longer has.
GONE = frozenset({"/pfs_v2.API/RunLoadTest", "/pfs_v2.API/RunLoadTestDefault"})


def unknown(path: str) -> str:
    """Return the words of gRPC's Go library for a call that a service doesn't have."""
    service, _, name = path.strip("/").rpartition("/")
    return f"unknown method {name} for service {service}"


def refuse(path: str) -> Callable[[Any, Call], Any]:
    """Build a method that reports the call as unimplemented."""

    def method(request: Any, call: Call) -> Any:
        raise Unimplemented(unknown(path) if path in GONE else f"{path} is not implemented by the embedded Pachyderm")

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
            tolerant(decode or request_class.FromString),
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
    """Handles calls that no descriptor names, such as those of newer clients.

    Args:
        services: The full names of all services.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._services = services

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return a handler that reports the call as unimplemented."""
        path = details.method
        name = path.strip("/").rpartition("/")[0]
        text = unknown(path) if name in self._services else f"unknown service {name}"

        def behave(requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
            yield b""

        return grpc.stream_stream_rpc_method_handler(behave)
