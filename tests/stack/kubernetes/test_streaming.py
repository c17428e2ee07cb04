"""Bodies that pass the ingress as they come: flat memory, early answers, what breaks in the middle."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.api.ingress.server import Answer, RequestBody, Server
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head
from pdk_stack.kubernetes.core.inference.reconciler.routes import Target
from tests.stack.kubernetes.serving import wait_for
from tests.stack.kubernetes.test_ingress import BIG, HOST, MODEL_SERVER, PREDICT, Stand

MEGABYTE = 1 << 20
PIECE = b"A" * (256 << 10)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


def serve(stand: Stand, handler: Any) -> None:
    """Have one revision whose server is a handler of bodies as they come."""
    server = Server("model", 0, MODEL_SERVER, handler)
    server.start()
    stand.models.append(server)
    revision = stand.revision("echo-1")
    revision.replicas.members.clear()
    stand.replica(revision, server.port)
    stand.serve(Target(revision))


def counted(_head: Head, body: RequestBody) -> Answer:
    total = sum(map(len, body.pieces()))
    return Answer(200, {"Content-Type": "application/json"}, json.dumps({"bytes": total}).encode())


def large(size: int) -> Iterator[bytes]:
    for _ in range(size // len(PIECE)):
        yield PIECE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_needs_no_memory_of_its_size(stand: Stand, chunked: bool) -> None:
    serve(stand, counted)
    more: dict[str, Any] = {"encode_chunked": True} if chunked else {}
    headers = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(BIG)}
    connection = http.client.HTTPConnection(LOOPBACK, stand.front.port, timeout=60)
    tracemalloc.start()
    try:
        connection.request("POST", PREDICT, large(BIG), {"Host": HOST, **headers}, **more)
        answer = connection.getresponse()
        assert json.loads(answer.read()) == {"bytes": BIG}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MEGABYTE
    # The connection goes on.
    connection.request("POST", PREDICT, b"{}", {"Host": HOST})
    assert json.loads(connection.getresponse().read()) == {"bytes": 2}
    connection.close()


def test_small_chunks_get_a_length_on_their_way(stand: Stand) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    code, got, _ = stand.ask(iter([b"{", b"}"]))
    assert (code, got["bytes"], got["content-length"]) == (200, 2, "2")


def test_a_server_that_refuses_a_body_at_once_is_heard_at_once(stand: Stand) -> None:
    serve(stand, lambda _head, _body: Answer(413, close=True))
    started = time.monotonic()
    code, body, _ = stand.ask(large(40 * MEGABYTE))
    assert (code, "refuses a request of this size" in body["error"]) == (413, True)
    assert time.monotonic() - started < 10


def test_a_body_that_says_its_size_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    stand = Stand(tmp_path, body_bytes=MEGABYTE)
    seen = threading.Event()

    def handler(_head: Head, _body: RequestBody) -> Answer:
        seen.set()
        return Answer(200)

    serve(stand, handler)
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5) as client:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {2 * MEGABYTE}\r\n\r\n"
        client.sendall(head.encode())
        # Not a byte of the body has been sent.
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert not seen.is_set()
    stand.close()


def test_a_sender_that_goes_in_the_middle_ends_the_request(stand: Stand) -> None:
    ended: list[str] = []

    def handler(_head: Head, body: RequestBody) -> Answer:
        try:
            list(body.pieces())
        except Exception as error:
            ended.append(str(error))
            raise
        return Answer(200)

    serve(stand, handler)
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5) as client:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {8 * MEGABYTE}\r\n\r\n"
        client.sendall(head.encode() + b"A" * 3 * MEGABYTE)
        client.shutdown(socket.SHUT_WR)
        answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 400 ")
    wait_for(lambda: bool(ended), 10)
    assert "The body ends after" in ended[0]
    wait_for(lambda: stand.routes.inflight() == {("models", "echo", "echo-1"): 0}, 10)


def test_an_answer_in_pieces_arrives_in_pieces(stand: Stand) -> None:
    release = threading.Event()

    def words() -> Iterator[bytes]:
        yield b"data: one\n\n"
        assert release.wait(10)
        yield b"data: two\n\n"

    def handler(_head: Head, body: RequestBody) -> Answer:
        body.whole()
        return Answer(200, {"Content-Type": "text/event-stream"}, pieces=words())

    serve(stand, handler)
    connection = http.client.HTTPConnection(LOOPBACK, stand.front.port, timeout=20)
    connection.request("POST", PREDICT, b"{}", {"Host": HOST})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.read1() == b"data: one\n\n"
    # Under way until its end, for the metrics and for whoever wants to stop the server.
    assert stand.routes.inflight() == {("models", "echo", "echo-1"): 1}
    release.set()
    assert answer.read() == b"data: two\n\n"
    connection.request("POST", PREDICT, b"{}", {"Host": HOST})
    assert connection.getresponse().read() == b"data: one\n\ndata: two\n\n"
    connection.close()
    wait_for(lambda: stand.routes.inflight() == {("models", "echo", "echo-1"): 0}, 10)


def test_an_answer_that_breaks_off_is_no_whole_one(stand: Stand) -> None:
    def words() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    def handler(_head: Head, body: RequestBody) -> Answer:
        body.whole()
        return Answer(200, pieces=words())

    serve(stand, handler)
    connection = http.client.HTTPConnection(LOOPBACK, stand.front.port, timeout=20)
    connection.request("POST", PREDICT, b"{}", {"Host": HOST})
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()


def test_an_old_client_gets_a_streamed_answer_until_the_end_of_the_connection(stand: Stand) -> None:
    def handler(_head: Head, body: RequestBody) -> Answer:
        body.whole()
        return Answer(200, pieces=iter([b"a", b"b"]))

    serve(stand, handler)
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5) as client:
        client.sendall(f"GET {PREDICT} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
        text = b""
        while piece := client.recv(1000):
            text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    assert (b"chunked" in head, body) == (False, b"ab")
