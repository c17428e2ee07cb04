"""The master's port: requests as they arrive, replies as they leave, readers that leave or are slow, and its end."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pdk_shared.errors import StackError
from pdk_stack.determined.api import application
from pdk_stack.determined.api.routing import Bytes, Request, Stream, route
from pdk_stack.determined.service import Config, Service
from tests.stack.determined.conftest import wait_for
from tests.stack.determined.wire import SECONDS, Wire, read_all, wired

PIECE, PIECES = b"y" * 65_536, 400


class Seen:
    """What the calls of this module have seen."""

    made = 0
    waiting = 0
    free = threading.Event()
    ended = threading.Event()


@route("POST", "/test/{name}/length")
def length(request: Request, name: str) -> dict[str, Any]:
    return {"name": name, "length": len(request.body), "a": request.text("a"), "b": request.text("b")}


@route("GET", "/test/wait")
def wait(request: Request) -> dict[str, Any]:
    Seen.waiting += 1
    assert Seen.free.wait(SECONDS)
    return {}


@route("GET", "/test/follow")
def follow(request: Request) -> Stream:
    def pages() -> Iterator[list[dict[str, Any]]]:
        try:
            yield [{"line": "first"}]
            while not request.gone():
                time.sleep(0.01)
        finally:
            Seen.ended.set()

    return Stream(pages())


@route("GET", "/test/much")
def much(request: Request) -> Bytes:
    def chunks() -> Iterator[bytes]:
        for _ in range(PIECES):
            Seen.made += 1
            yield PIECE

    return Bytes(chunks(), "application/x-tar", "much.tar")


@route("GET", "/test/fails")
def fails(request: Request) -> Bytes:
    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        raise RuntimeError("no more")

    return Bytes(chunks(), "application/x-tar", "fails.tar")


@route("GET", "/test/fails/line")
def fails_within(request: Request) -> Stream:
    def pages() -> Iterator[list[dict[str, Any]]]:
        yield [{"line": "first"}]
        raise RuntimeError("no more")

    return Stream(pages())


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setattr(application, "MODULES", (*application.MODULES, sys.modules[__name__]))
    Seen.made = Seen.waiting = 0
    Seen.free, Seen.ended = threading.Event(), threading.Event()
    with wired(tmp_path) as wire:
        yield wire


def test_a_request_arrives_whole(wire: Wire) -> None:
    body = json.dumps("x" * 3_000_000).encode()
    pieces = [body[start : start + 100_000] for start in range(0, len(body), 100_000)]
    for data in (body, iter(pieces)):  # with a length, and in chunks
        url = wire.address + "/test/a%2Fb/length?a=1&b=%2F"
        reply = wire.http.post(url, data=data, timeout=SECONDS)
        assert reply.json() == {"name": "a/b", "length": 3_000_000, "a": "1", "b": "/"}


def test_without_a_token_no_body_is_waited_for(wire: Wire) -> None:
    head = b"POST /api/v1/experiments HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\n"
    for header in (b"", b"Authorization: Bearer nonsense\r\n", b"Cookie: auth=nonsense\r\n"):
        with wire.connect() as client:
            client.sendall(head + header + b"\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 401")


def test_calls_that_wait_hold_nobody_up(wire: Wire) -> None:
    waiting = [threading.Thread(target=wire.get, args=("/test/wait",)) for _ in range(20)]
    for each in waiting:
        each.start()
    wait_for(lambda: Seen.waiting == 20)
    assert requests.get(wire.address + "/health", timeout=SECONDS).status_code == 200
    Seen.free.set()
    for each in waiting:
        each.join()


def test_requests_sent_at_once_are_answered_in_order(wire: Wire) -> None:
    names = [f"n{number}" for number in range(6)]
    sent = [wire.raw(f"/test/{name}/length", "x") for name in names[:-1]]
    sent.append(wire.raw(f"/test/{names[-1]}/length", "x", "Connection: close"))
    with wire.connect() as client:
        client.sendall(b"".join(sent))
        replies = read_all(client)
    assert re.findall(rb'"name":"(\w+)"', replies) == [name.encode() for name in names]
    assert replies.count(b"HTTP/1.1 200 OK\r\n") == 6


@pytest.mark.parametrize(
    ("version", "header"), [("1.0", "X: y"), ("1.1", "Connection: close")], ids=["old", "told to close"]
)
def test_a_connection_ends_where_its_client_wants_it_to(wire: Wire, version: str, header: str) -> None:
    with wire.connect() as client:
        client.sendall(wire.raw("/test/n/length", "short", header, version=version))
        assert b'"length":5' in read_all(client)


def test_a_client_may_ask_whether_to_send(wire: Wire) -> None:
    request = wire.raw("/test/n/length", "body", "Expect: 100-continue")
    head, _, body = request.partition(b"\r\n\r\n")
    with wire.connect() as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 100 Continue")
        client.sendall(body)
        reply = b""
        while not reply.endswith(b"}"):
            reply += client.recv(4096)
    assert b'"length":4' in reply


def test_a_client_that_leaves_in_the_middle_harms_nobody(wire: Wire) -> None:
    for _ in range(5):
        with wire.connect() as client:
            client.sendall(wire.raw("/test/n/length", "x" * 100)[:-50])
        with wire.connect() as client:
            client.sendall(wire.raw("/test/n/length", "x"))
    assert wire.post("/test/n/length", "x").status_code == 200


def test_a_stream_arrives_as_it_is_made_and_its_reader_may_leave(wire: Wire) -> None:
    with wire.get("/test/follow", stream=True) as reply:
        assert json.loads(next(reply.iter_lines())) == {"result": {"line": "first"}}
        assert not Seen.ended.is_set()
    assert Seen.ended.wait(10)


def read_until(lines: Iterator[Any], text: str) -> dict[str, Any]:
    return next(line for line in map(json.loads, filter(None, lines)) if text in json.dumps(line))


def test_a_followed_log_has_the_next_line_at_once(wire: Wire) -> None:
    trial = wire.trial()
    task = wire.get(f"/api/v1/trials/{trial}").json()["trial"]["taskId"]
    with wire.get(f"/api/v1/trials/{trial}/logs?follow=true", stream=True) as reply:
        lines = reply.iter_lines(1)
        for number in range(3):
            sent = time.monotonic()
            entry = {"task_id": task, "log": f"line {number}\n", "level": "LOG_LEVEL_INFO"}
            wire.post("/api/v1/task/logs", {"logs": [entry]})
            found = read_until(lines, f"line {number}")["result"]
            assert (found["level"], found["trialId"]) == ("LOG_LEVEL_INFO", trial)
            assert time.monotonic() - sent < 0.8  # it need not wait for the next look at its reader
        wire.http.patch(f"{wire.address}/api/v1/trials/{trial}", data='{"state": "STATE_COMPLETED"}', timeout=SECONDS)
        assert list(lines) == []


def test_the_masters_own_log_can_be_followed(wire: Wire) -> None:
    with wire.get("/api/v1/master/logs?follow=true", stream=True) as reply:
        lines = reply.iter_lines(1)
        for text in ("one of the test's", "another of the test's"):
            logging.getLogger("test").warning(text)
            assert read_until(lines, text)["result"]["logEntry"]["level"] == "LOG_LEVEL_WARNING"


def test_a_slow_reader_lets_the_stream_wait(wire: Wire) -> None:
    with wire.get("/test/much", stream=True) as reply:
        time.sleep(1.0)
        # The server's buffer and the kernel's hold some; by far not all.
        assert 0 < Seen.made < PIECES / 2
        assert sum(len(each) for each in reply.iter_content(1 << 20)) == len(PIECE) * PIECES
    assert reply.headers["Content-Disposition"] == 'attachment; filename="much.tar"'


def test_a_download_that_fails_is_cut_off(wire: Wire) -> None:
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = wire.get("/test/fails").content


def test_a_stream_that_fails_says_so_in_its_last_line(wire: Wire) -> None:
    first, last = map(json.loads, wire.get("/test/fails/line").content.splitlines())
    assert first == {"result": {"line": "first"}}
    assert last["error"] == {
        "grpcCode": 13,
        "httpCode": 500,
        "message": "RuntimeError: no more",
        "httpStatus": "Internal Server Error",
        "details": [],
    }


def test_the_end_cuts_endless_readers_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "MODULES", (*application.MODULES, sys.modules[__name__]))
    first, errors = threading.Event(), []

    def read(master: Wire) -> None:
        try:
            with master.get("/test/follow", stream=True) as reply:
                for _ in reply.iter_content(None):
                    first.set()
        except requests.exceptions.ChunkedEncodingError as error:
            errors.append(error)

    with wired(tmp_path) as master:
        reader = threading.Thread(target=read, args=(master,))
        reader.start()
        assert first.wait(10)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    reader.join(10)
    assert not reader.is_alive()
    # The part that arrived is not taken for the whole.
    assert len(errors) == 1
    with pytest.raises(requests.ConnectionError):
        master.get("/test/follow")


def test_a_taken_port_is_named(wire: Wire, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=f"[Pp]ort {wire.port} .*cannot be used") as caught:
        Service(Config(tmp_path / "other", port=wire.port))
    assert "--master-port" in str(caught.value)
