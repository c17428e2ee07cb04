"""The one HTTP way: order of authentication and body, limits, deadlines, streams, TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from pdk_shared.errors import StackError
from pdk_stack.common.errors import Code, Refusal
from pdk_stack.common.http.exchange import DISCARD_SECONDS, Exchange, endpoint, stream
from pdk_stack.common.http.guard import LINGER_BYTES
from pdk_stack.common.http.server import Server
from pdk_stack.common.limits import Limits
from pdk_stack.kubernetes.core.tls import ensure_certificates

LIMITS = Limits(head_seconds=0.6, body_seconds=0.6, body_bytes=3 << 20, connections=40, threads=8)
TOKEN = {"authorization": "Bearer right"}


class Application:
    """Answers with what it was asked; notes what happened."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.left = threading.Event()

    def authenticate(self, exchange: Exchange) -> None:
        if exchange.headers.get("authorization") != "Bearer right":
            raise Refusal("who are you?", Code.UNAUTHENTICATED)
        exchange.user = "somebody"

    def answer(self, exchange: Exchange) -> Response:
        self.calls.append(exchange.path)
        if exchange.path == "/stream":
            return stream(self.endless(exchange), headers={"content-type": "text/plain"})
        if exchange.path == "/refused-by-another":
            raise ConnectionRefusedError("another server is down")
        if exchange.path == "/broken":
            return stream(self.broken())
        if exchange.path == "/wait":
            while not exchange.gone():
                time.sleep(0.01)
            self.left.set()
        size = sum(len(piece) for piece in exchange.pieces())
        return Response(json.dumps({"path": exchange.path, "query": exchange.query, "bytes": size}))

    def endless(self, exchange: Exchange) -> Iterator[bytes]:
        try:
            while not exchange.gone():
                yield b"more "
                time.sleep(0.01)
        finally:
            self.left.set()

    def broken(self) -> Iterator[bytes]:
        yield b"half"
        raise ValueError("the rest is lost")

    def refuse(self, exchange: Exchange, error: Exception) -> Response:
        return Response(str(error), error.http_status if isinstance(error, Refusal) else 500)


@pytest.fixture(params=[None, 65536], ids=["whole bodies", "bodies read ahead"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Application]]:
    limits = Limits(**{**vars(LIMITS), "body_ahead": request.param})
    app, server = Application(), Server("test.http", 0, limits)
    server.start(endpoint(app.authenticate, app.answer, app.refuse, limits, server.closing))
    yield server, app
    server.stop()


def client(server: Server, **options: Any) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=TOKEN, timeout=10, **options)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_a_call_sees_path_and_query_as_they_were_sent(served: tuple[Server, Application]) -> None:
    with client(served[0]) as http:
        got = http.post("/a%2Fb?c=%20d", content=b"x" * 300_000).json()
    assert got == {"path": "/a%2Fb", "query": "c=%20d", "bytes": 300_000}


def test_head_and_body_of_a_short_answer_arrive_together(served: tuple[Server, Application]) -> None:
    with connect(served[0]) as raw:
        for _ in range(3):
            raw.sendall(b"GET /x HTTP/1.1\r\nauthorization: Bearer right\r\n\r\n")
            assert raw.recv(4096).endswith(b"}")


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("name", "path", "headers", "says"),
    [
        ("determined.master", "/", BROWSER, "Determined, embedded"),
        ("determined.master", "/det/experiments/7/overview", BROWSER, "<code>/experiments/7</code>"),
        ("determined.master", "/det/experiments/%3Cb%3E", BROWSER, "Determined, embedded"),
        ("kubernetes.api", "/", BROWSER, "Kubernetes, embedded"),
        ("pachyderm.s3", "/", BROWSER, "S3 gateway"),
        ("pachyderm.s3", "/bucket/key.html", BROWSER, ""),
        ("kubernetes.api", "/api", BROWSER, ""),
        ("kubernetes.ingress", "/", BROWSER, ""),
        ("determined.master", "/", {}, ""),
        ("determined.master", "/det/", {"accept": "application/json, text/html"}, ""),
        ("kubernetes.api", "/", {"accept": "*/*"}, ""),
    ],
)
def test_a_browser_is_told_where_to_look_and_a_program_notices_nothing(
    name: str, path: str, headers: dict[str, str], says: str
) -> None:
    app, server = Application(), Server(name, 0, LIMITS)
    server.start(endpoint(app.authenticate, app.answer, app.refuse, LIMITS, server.closing))
    reply = httpx.get(f"http://127.0.0.1:{server.port}{path}", headers={"accept": "", **headers}, timeout=10)
    posted = httpx.post(f"http://127.0.0.1:{server.port}{path}", headers=headers, timeout=10)
    server.stop()
    assert posted.status_code == 401
    if says:
        assert reply.status_code == 200 and says in reply.text and "pdk-nb ui" in reply.text
        assert "<b>" not in reply.text and not app.calls
    else:
        assert reply.status_code == 401


def test_another_event_loop_policy_changes_nothing() -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop isn't installed; KServe's model server brings it")
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        app, server = Application(), Server("test.http", 0, LIMITS)
        server.start(endpoint(app.authenticate, app.answer, app.refuse, LIMITS, server.closing))
        with client(server) as http:
            assert http.post("/x", content=b"y" * 70_000).json()["bytes"] == 70_000
        server.stop()
    finally:
        asyncio.set_event_loop_policy(before)


def test_many_requests_share_a_connection(served: tuple[Server, Application]) -> None:
    with client(served[0], limits=httpx.Limits(max_connections=1)) as http:
        assert [http.post("/x", content=b"y" * size).json()["bytes"] for size in (0, 1, 70_000, 5)] == [0, 1, 70_000, 5]


def test_without_a_token_no_body_is_read(served: tuple[Server, Application]) -> None:
    server, app = served
    with connect(server) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2000000000\r\n\r\n")
        # Not one byte of the body is sent, and the answer is there long before the body's deadline.
        assert raw.recv(100).startswith(b"HTTP/1.1 401")
    assert not app.calls


def test_who_is_refused_need_not_send_the_body_first() -> None:
    limits = Limits(**{**vars(LIMITS), "body_seconds": 20.0})
    app, server = Application(), Server("test.http", 0, limits)
    server.start(endpoint(app.authenticate, app.answer, app.refuse, limits, server.closing))
    with connect(server) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 500000\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 401")
    server.stop()


def test_who_is_refused_is_not_asked_for_the_body(served: tuple[Server, Application]) -> None:
    with connect(served[0]) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 500000\r\nexpect: 100-continue\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 401")


def test_a_refused_body_leaves_the_connection_usable(served: tuple[Server, Application]) -> None:
    with client(served[0], limits=httpx.Limits(max_connections=1)) as http:
        assert http.post("/x", content=b"y" * 100_000, headers={"authorization": "no"}).status_code == 401
        assert http.post("/x", content=b"z").json()["bytes"] == 1


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_a_body_is_refused(served: tuple[Server, Application], chunked: bool) -> None:
    content: Any = (b"x" * 65536 for _ in range(60)) if chunked else b"x" * (4 << 20)
    with client(served[0]) as http:
        assert http.post("/x", content=content).status_code == 413
        assert http.get("/still").status_code == 200


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_client_that_is_refused_while_it_sends_slowly_reads_the_answer(tls: bool, tmp_path: Path) -> None:
    app = Application()
    authority, certificate, key = ensure_certificates(tmp_path)
    server = Server("test.http", 0, LIMITS, *((certificate, key) if tls else ()))
    server.start(endpoint(app.authenticate, app.answer, app.refuse, LIMITS, server.closing))
    context = ssl.create_default_context(cafile=authority)
    with connect(server) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 3000000\r\n\r\n")
        # Slower than the server discards a body before its answer, and more than socket buffers hold.
        time.sleep(2 * DISCARD_SECONDS)
        for _ in range(30):
            raw.sendall(b"x" * 100_000)
            time.sleep(0.01)
        assert raw.recv(100).startswith(b"HTTP/1.1 401")
    server.stop()


def test_a_client_that_never_stops_sending_is_cut_off(served: tuple[Server, Application]) -> None:
    with connect(served[0]) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2000000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            for _ in range(2 * LINGER_BYTES // 65536):
                raw.sendall(b"x" * 65536)
                time.sleep(0.001)


@pytest.mark.parametrize("sent", [b"", b"GET /x HTTP/1.1\r\nhost: h\r\n"])
def test_a_silent_client_is_sent_away(served: tuple[Server, Application], sent: bytes) -> None:
    with connect(served[0]) as raw:
        raw.sendall(sent)
        assert raw.recv(100).startswith(b"HTTP/1.1 408")
        assert raw.recv(100) == b""


def test_a_half_sent_body_is_given_up(served: tuple[Server, Application]) -> None:
    with connect(served[0]) as raw:
        raw.sendall(b"POST /x HTTP/1.1\r\nauthorization: Bearer right\r\ncontent-length: 500000\r\n\r\nabc")
        assert raw.recv(100).startswith(b"HTTP/1.1 408")


def test_a_second_half_sent_head_is_given_up(served: tuple[Server, Application]) -> None:
    with connect(served[0]) as raw:
        raw.sendall(b"GET /x HTTP/1.1\r\nauthorization: Bearer right\r\n\r\n")
        got = b""
        while not got.endswith(b"}"):
            got += raw.recv(1000)
        assert got.startswith(b"HTTP/1.1 200")
        raw.sendall(b"GET /x HT")
        assert raw.recv(1000).startswith(b"HTTP/1.1 408")


def test_an_endless_head_is_refused(served: tuple[Server, Application]) -> None:
    with connect(served[0]) as raw:
        raw.sendall(b"GET /x HTTP/1.1\r\nx: " + b"y" * 200_000)
        assert raw.recv(100).startswith(b"HTTP/1.1 431")


def test_silent_clients_keep_nobody_waiting(served: tuple[Server, Application]) -> None:
    silent = [connect(served[0]) for _ in range(30)]
    try:
        with client(served[0]) as http:
            assert http.get("/x").status_code == 200
    finally:
        for each in silent:
            each.close()


def test_a_call_notices_that_its_client_left(served: tuple[Server, Application]) -> None:
    server, app = served
    with connect(server) as raw:
        raw.sendall(b"GET /wait HTTP/1.1\r\nauthorization: Bearer right\r\n\r\n")
        time.sleep(0.1)
    assert app.left.wait(3)


def test_a_call_that_cannot_reach_another_server_is_answered(served: tuple[Server, Application]) -> None:
    with client(served[0]) as http:
        reply = http.get("/refused-by-another")
    assert (reply.status_code, reply.text) == (500, "another server is down")


def test_brief_calls_run_in_the_event_loop_and_others_beside_it() -> None:
    app, server = Application(), Server("test.http", 0, LIMITS)
    threads: dict[str, str] = {}

    def answer(exchange: Exchange) -> Response:
        threads[exchange.path] = threading.current_thread().name
        return app.answer(exchange)

    server.start(
        endpoint(
            app.authenticate, answer, app.refuse, LIMITS, server.closing, lambda exchange: exchange.path == "/brief"
        )
    )
    try:
        with client(server) as http:
            for path in ("/brief", "/other"):
                assert http.post(path, content=b"x").json() == {"path": path, "query": "", "bytes": 1}
            assert http.post("/brief", headers={"authorization": "no"}).status_code == 401
    finally:
        server.stop()
    assert threads["/brief"] == "test.http"
    assert threads["/other"] != "test.http"


def test_a_stream_ends_when_its_reader_leaves(served: tuple[Server, Application]) -> None:
    server, app = served
    with client(server) as http, http.stream("GET", "/stream") as reply:
        assert next(reply.iter_raw()).startswith(b"more")
    assert app.left.wait(3)


def test_a_broken_stream_does_not_look_whole(served: tuple[Server, Application]) -> None:
    with client(served[0]) as http, pytest.raises(httpx.RemoteProtocolError):
        http.get("/broken")


def test_streams_end_with_the_server() -> None:
    app, server = Application(), Server("test.http", 0, LIMITS)
    server.start(endpoint(app.authenticate, app.answer, app.refuse, LIMITS, server.closing))
    with client(server) as http, http.stream("GET", "/stream") as reply:
        pieces = reply.iter_raw()
        next(pieces)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 4
        assert app.left.wait(1)


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} of test.http") as caught:
            Server("test.http", port, LIMITS)
    assert "--http-port" in str(caught.value)
