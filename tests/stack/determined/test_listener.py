"""The listener alone: replies, readers that leave or are slow, and its end."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from pdk_shared.errors import StackError
from pdk_stack.determined.api.application import Reply, Sent, all_routes
from pdk_stack.determined.api.listener import Listener, bind
from pdk_stack.determined.api.pipe import HELD
from pdk_stack.determined.api.routing import Route
from tests.stack.determined.conftest import wait_for


class Answers:
    """Stands for the application: answers by path."""

    def __init__(self) -> None:
        self.by_path: dict[str, Callable[[Sent], Reply]] = {}
        self.threads: list[str] = []

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """A route; those below /quick never wait."""
        route = Route(method, path, lambda: None, open=True, quick=lambda body: path.startswith("/quick"))
        return route, {}

    def answer_together(self, calls: list[tuple[Any, Sent]]) -> list[Reply]:
        """The replies to calls that never wait."""
        return [self.answer(*each) for each in calls]

    def answer(self, found: Any, sent: Sent) -> Reply:
        """The reply to a request."""
        self.threads.append(threading.current_thread().name)
        return self.by_path[sent.path](sent)


def whole(body: bytes) -> Reply:
    return Reply(200, [(b"content-length", b"%d" % len(body))], body)


def told(sent: Sent) -> Reply:
    """What arrived, as JSON."""
    body = {"query": sent.query, "method": sent.method, "size": len(sent.body), "type": sent.header(b"content-type")}
    return whole(json.dumps(body).encode())


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def listener(answers: Answers) -> Iterator[Listener]:
    listener = bind(answers, 0)  # type: ignore[arg-type]
    listener.start()
    yield listener
    listener.stop()


def url(listener: Listener, path: str) -> str:
    return f"http://127.0.0.1:{listener.port}{path}"


@pytest.mark.parametrize("path", ["/quick", "/slow"])
def test_a_request_arrives_whole(listener: Listener, answers: Answers, path: str) -> None:
    answers.by_path[path] = told
    pieces = [b"x" * 100_000] * 30
    headers = {"Content-Type": "text/x"}
    for data in (b"".join(pieces), iter(pieces)):  # with a length, and in chunks
        reply = requests.post(url(listener, path + "?a=1&b=%2F"), data=data, headers=headers, timeout=30)
        assert reply.json() == {"query": "a=1&b=%2F", "method": "POST", "size": 3_000_000, "type": "text/x"}


def test_only_calls_that_may_wait_have_a_thread(listener: Listener, answers: Answers) -> None:
    answers.by_path |= {"/quick": told, "/slow": told}
    for path in ("/quick", "/slow"):
        requests.get(url(listener, path), timeout=30)
    assert answers.threads[0] == "master"
    assert answers.threads[1].startswith("request")


def test_of_the_masters_calls_only_reports_without_a_decision_have_none() -> None:
    quick = [route for route in all_routes().routes if route.quick is not None]
    assert [(route.method, route.path) for route in quick] == [("POST", "/api/v1/trials/{key}/metrics")]
    decide = quick[0].quick
    assert decide is not None and decide(b'{"group": "training"}') and not decide(b'{"group": "validation"}')


def test_a_call_that_waits_holds_nobody_up(listener: Listener, answers: Answers) -> None:
    free = threading.Event()

    def wait(sent: Sent) -> Reply:
        assert free.wait(30)
        return told(sent)

    answers.by_path |= {"/slow": wait, "/quick": told}
    waiting = [threading.Thread(target=requests.get, args=(url(listener, "/slow"),)) for _ in range(20)]
    for each in waiting:
        each.start()
    wait_for(lambda: len(answers.threads) == 20)
    assert requests.get(url(listener, "/quick"), timeout=30).status_code == 200
    free.set()
    for each in waiting:
        each.join()


def test_head_and_body_of_a_reply_arrive_together(listener: Listener, answers: Answers) -> None:
    answers.by_path["/quick"] = lambda sent: whole(b"short")
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
        for _ in range(3):  # one connection, several requests
            client.sendall(b"GET /quick HTTP/1.1\r\nHost: here\r\n\r\n")
            assert client.recv(4096).endswith(b"\r\n\r\nshort")


def read_all(client: socket.socket) -> bytes:
    """What arrives until the other side closes."""
    pieces = []
    while piece := client.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)


def test_requests_sent_at_once_are_answered_in_order(listener: Listener, answers: Answers) -> None:
    paths = ["/quick/1", "/quick/2", "/slow/3", "/quick/4", "/slow/5", "/quick/6"]
    answers.by_path = dict.fromkeys(paths, lambda sent: whole(sent.path.encode()))
    heads = [f"GET {path} HTTP/1.1\r\nHost: here\r\n" for path in paths]
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
        client.sendall("\r\n".join([*heads[:-1], heads[-1] + "Connection: close\r\n\r\n"]).encode())
        replies = read_all(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [reply.rpartition(b"\r\n\r\n")[2].decode() for reply in replies] == paths


@pytest.mark.parametrize(
    ("version", "header"), [("1.0", "X: y"), ("1.1", "Connection: close")], ids=["old", "told to close"]
)
def test_a_connection_ends_where_its_client_wants_it_to(
    listener: Listener, answers: Answers, version: str, header: str
) -> None:
    answers.by_path["/quick"] = lambda sent: whole(b"short")
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
        client.sendall(f"GET /quick HTTP/{version}\r\nHost: here\r\n{header}\r\n\r\n".encode())
        assert read_all(client).endswith(b"\r\n\r\nshort")


def test_a_client_may_ask_whether_to_send(listener: Listener, answers: Answers) -> None:
    answers.by_path["/quick"] = lambda sent: whole(sent.body)
    head = b"POST /quick HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
        client.sendall(head)
        assert client.recv(4096).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(b"body")
        assert client.recv(4096).endswith(b"\r\n\r\nbody")


def test_a_client_that_leaves_in_the_middle_harms_nobody(listener: Listener, answers: Answers) -> None:
    answers.by_path["/quick"] = told
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
            client.sendall(b"POST /quick HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\npart")
        with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as client:
            client.sendall(b"GET /quick HTTP/1.1\r\nHost: here\r\n\r\n")
    assert requests.get(url(listener, "/quick"), timeout=30).status_code == 200


def test_a_stream_arrives_as_it_is_made_and_its_reader_may_leave(listener: Listener, answers: Answers) -> None:
    ended = threading.Event()

    def lines(sent: Sent) -> Iterator[bytes]:
        try:
            yield b"first\n"
            while not sent.gone():
                time.sleep(0.01)
        finally:
            ended.set()

    answers.by_path["/follow"] = lambda sent: Reply(200, [], lines(sent))
    with requests.get(url(listener, "/follow"), stream=True, timeout=30) as reply:
        assert next(reply.iter_lines()) == b"first"
        assert not ended.is_set()
    assert ended.wait(10)


def test_a_slow_reader_lets_the_stream_wait(listener: Listener, answers: Answers) -> None:
    made, piece, count = [0], b"y" * 65_536, 400

    def pieces() -> Iterator[bytes]:
        for _ in range(count):
            made[0] += 1
            yield piece

    answers.by_path["/much"] = lambda sent: Reply(200, [], pieces())
    with requests.get(url(listener, "/much"), stream=True, timeout=30) as reply:
        time.sleep(1.0)
        # The pipe, uvicorn's buffer and the kernel's hold some; by far not all.
        assert HELD < made[0] * len(piece) < len(piece) * count / 2
        assert sum(len(each) for each in reply.iter_content(1 << 20)) == len(piece) * count


def test_a_stream_that_fails_is_cut_off(listener: Listener, answers: Answers) -> None:
    def lines() -> Iterator[bytes]:
        yield b"first\n"
        raise RuntimeError("no more")

    answers.by_path["/fails"] = lambda sent: Reply(200, [], lines())
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = requests.get(url(listener, "/fails"), timeout=30).content


def test_the_end_cuts_endless_readers_off(answers: Answers) -> None:
    listener = bind(answers, 0)  # type: ignore[arg-type]
    listener.start()
    first, errors = threading.Event(), []

    def lines(sent: Sent) -> Iterator[bytes]:
        yield b"first\n"
        while not sent.gone():
            time.sleep(0.05)

    def follow() -> None:
        try:
            with requests.get(url(listener, "/follow"), stream=True, timeout=30) as reply:
                for _ in reply.iter_content(None):
                    first.set()
        except requests.exceptions.ChunkedEncodingError as error:
            errors.append(error)

    answers.by_path["/follow"] = lambda sent: Reply(200, [], lines(sent))
    reader = threading.Thread(target=follow)
    reader.start()
    assert first.wait(10)
    started = time.monotonic()
    listener.stop()
    assert time.monotonic() - started < 5
    reader.join(10)
    # The part that arrived is not taken for the whole.
    assert len(errors) == 1
    with pytest.raises(requests.ConnectionError):
        requests.get(url(listener, "/follow"), timeout=5)


def test_a_taken_port_is_named(listener: Listener, answers: Answers) -> None:
    with pytest.raises(StackError, match=f"port {listener.port} cannot be used"):
        bind(answers, listener.port)  # type: ignore[arg-type]
