"""Prediction requests against an ingress that answers as told: every failure in plain words."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pdk_nb.platforms import serving
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.predictions import Endpoint, curl_command, parse, send
from pdk_shared.errors import PredictionError
from tests.support.serving_tools import RED


class Ingress(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer: tuple[int, bytes] = (200, b"{}")
    seen: dict[str, Any] = {}
    wait = threading.Event()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Ingress.seen = {"host": self.headers["Host"], "path": self.path, "body": json.loads(body)}
        code, content = self.answer
        if code == 0:
            self.wait.wait(5)
            code = 200
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ingress)
    Ingress.wait.clear()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Endpoint("dog-cat", f"127.0.0.1:{server.server_port}", "dog-cat.models.example.com", "dogs-and-cats")
    Ingress.wait.set()
    server.shutdown()
    server.server_close()


def test_the_request_names_host_and_model(endpoint: Endpoint) -> None:
    Ingress.answer = (200, b'{"predictions": [1]}')
    (prediction,) = send(endpoint, [{"data": "QQ=="}], detail=False)
    assert prediction.index == 1
    assert Ingress.seen["host"] == "dog-cat.models.example.com"
    assert Ingress.seen["path"] == "/v1/models/dogs-and-cats:predict"
    assert Ingress.seen["body"] == {"instances": [{"data": "QQ=="}]}
    send(endpoint, [{"data": "QQ=="}])
    assert Ingress.seen["body"]["instances"][0]["detail"] is True


def test_detailed_answers_are_read(endpoint: Endpoint) -> None:
    rich = {"index": 1, "label": "cat", "scores": {"dog": 0.1, "cat": 0.9}, "model": "m", "version": "v"}
    Ingress.answer = (200, json.dumps({"predictions": [rich, {"error": "broken"}]}).encode())
    good, bad = serving.predict(endpoint, images=[RED, RED])
    assert (good.label, good.score, good.version) == ("cat", 0.9, "v")
    assert good.as_dict()["scores"] == {"dog": 0.1, "cat": 0.9}
    assert (bad.index, bad.error) == (None, "broken")


@pytest.mark.parametrize(
    ("code", "content", "words"),
    [
        (404, b'{"error": "no such host"}', ["404", "Host header", "no such host"]),
        (413, b"", ["413", "larger", "--max-request-size"]),
        (503, b'{"message": "has no worker"}', ["503", "starting", "has no worker"]),
        (504, b"", ["504", "doesn't answer"]),
        (500, b"<html>oops</html>", ["500", "refused", "oops"]),
        (400, b'{"type": "InvalidKeyException", "message": "Token"}', ["disable_token_authorization"]),
    ],
)
def test_refusals_in_plain_words(endpoint: Endpoint, code: int, content: bytes, words: list[str]) -> None:
    Ingress.answer = (code, content)
    with pytest.raises(PredictionError) as raised:
        send(endpoint, [{"data": "QQ=="}])
    text = str(raised.value)
    assert [word for word in words if word not in text] == []
    assert endpoint.host in text


def test_silence_and_absence_are_told_apart(endpoint: Endpoint) -> None:
    Ingress.answer = (0, b'{"predictions": [1]}')
    with pytest.raises(PredictionError, match="No answer within"):
        send(endpoint, [{"data": "QQ=="}], timeout=0.3)
    with pytest.raises(PredictionError, match="doesn't answer"):
        send(Endpoint("s", "127.0.0.1:1", "h", "m"), [{"data": "QQ=="}])


@pytest.mark.parametrize("asleep", [True, False])
def test_a_service_that_sleeps_gets_the_time_that_it_needs(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, asleep: bool
) -> None:
    monkeypatch.setattr(predictions, "SLOW_S", 0.4)
    monkeypatch.setattr(predictions, "REPORT_S", 0.05)
    sleepy = replace(endpoint, may_sleep=True, asleep=asleep)
    Ingress.answer = (200, b'{"predictions": [1]}')
    said: list[str] = []
    if not asleep:
        # It may sleep, but it answers at once.
        send(sleepy, [{"data": "QQ=="}], detail=False, progress=said.append)
        assert not said
    Ingress.answer = (0, b'{"predictions": [1]}')
    threading.Timer(0.9, Ingress.wait.set).start()
    (prediction,) = send(sleepy, [{"data": "QQ=="}], detail=False, timeout=0.2, progress=said.append)
    assert prediction.index == 1
    assert len(said) > 1
    state = "is scaled to zero, and starts a pod" if asleep else "may be scaled to zero, and start a pod"
    assert set(said) == {f"dog-cat {state}; the answer can take up to 120 s"}


def test_a_service_that_does_not_wake_is_told_so(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictions, "WAKE_TIMEOUT_S", 1.0)
    Ingress.answer = (0, b'{"predictions": [1]}')
    for progress in (None, print):
        with pytest.raises(PredictionError, match="No answer within 1 s"):
            send(replace(endpoint, asleep=True), [{"data": "QQ=="}], timeout=0.1, progress=progress)
    with pytest.raises(PredictionError, match="doesn't answer"):
        send(Endpoint("s", "127.0.0.1:1", "h", "m", asleep=True), [{"data": "QQ=="}], progress=print)


def test_nothing_is_sent_that_is_too_large(endpoint: Endpoint) -> None:
    small = Endpoint("s", endpoint.address, endpoint.host, "m", max_bytes=100)
    Ingress.seen = {}
    with pytest.raises(PredictionError, match="takes 100"):
        send(small, [{"data": "Q" * 100}])
    assert Ingress.seen == {}
    with pytest.raises(PredictionError, match="at least one"):
        send(endpoint, [])


@pytest.mark.parametrize("content", [b"no json", b"[]", b"{}", b'{"predictions": 1}', b'{"predictions": [1, 2]}'])
def test_answers_that_are_none(endpoint: Endpoint, content: bytes) -> None:
    with pytest.raises(PredictionError):
        parse(endpoint, content, 1)


def test_the_v2_protocol() -> None:
    v2 = Endpoint("s", "h:80", "s.models.example.com", "m", protocol="v2")
    assert v2.url == "http://h:80/v2/models/m/infer"
    rich = json.dumps({"index": 0, "label": "dog", "scores": {"dog": 1.0}})
    answer = json.dumps({"outputs": [{"data": [1]}, {"data": [rich]}]}).encode()
    assert [each.index for each in parse(v2, answer, 2)] == [1, 0]


def test_the_curl_line_is_the_guides(endpoint: Endpoint) -> None:
    line = shlex.split(curl_command(endpoint, "sample data/cat.json"))
    assert line[:1] == ["curl"]
    assert "Host: dog-cat.models.example.com" in line
    assert line[-3:] == [endpoint.url, "-d", "@sample data/cat.json"]
