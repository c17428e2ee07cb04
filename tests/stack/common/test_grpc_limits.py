"""The limits of gRPC ports reach the library that enforces them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from pdk_stack.common.limits import GrpcLimits

LIMITS = GrpcLimits(handshake_seconds=0.5, message_bytes=1000)


@pytest.fixture
def port() -> Iterator[int]:
    echo = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    server = grpc.server(ThreadPoolExecutor(2), options=LIMITS.options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Say": echo}),))
    found = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found
    server.stop(0)


def test_a_silent_client_is_sent_away(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        started = time.monotonic()
        while raw.recv(1000):
            pass
        assert time.monotonic() - started < 5


def test_too_large_a_message_is_refused(port: int) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        say = channel.unary_unary("/test.Echo/Say")
        assert say(b"x" * 900) == b"x" * 900
        with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
            say(b"x" * 1100)
