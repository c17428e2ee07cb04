"""The ingress in front of a model server that only echoes: bodies, limits, shares, metrics."""

from __future__ import annotations

import dataclasses
import errno
import http.client
import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_stack.common.limits import PORTS, Limits
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.api.ingress import access_log
from pdk_stack.kubernetes.api.ingress import server as server_module
from pdk_stack.kubernetes.api.ingress.metrics import KEPT_PODS, KEPT_REVISIONS, Metrics
from pdk_stack.kubernetes.api.ingress.routing import Ingress
from pdk_stack.kubernetes.api.ingress.server import Answer, RequestBody, Server
from pdk_stack.kubernetes.core.inference.dataplane.http_connection import Head
from pdk_stack.kubernetes.core.inference.dataplane.upstream import Upstream
from pdk_stack.kubernetes.core.inference.failures import ModelServerError
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.routes import Routes, Target
from pdk_stack.kubernetes.core.inference.revisions.limits import RequestLimits
from pdk_stack.kubernetes.core.inference.revisions.replica import Replica
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision
from tests.stack.kubernetes.serving import wait_for

HOST = "echo.models.example.com"
PREDICT = "/v1/models/echo:predict"
META = {"name": "echo", "namespace": "models", "annotations": {"pach_id": "7"}}
BIG = 200 << 20
#: What the model servers of these tests take.
MODEL_SERVER = Limits(body_bytes=1 << 30)


class Stand:
    """An ingress, and revisions whose server says how many bytes it got."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.routes = Routes()
        self.folder = folder
        self.ingress = Ingress(self.routes, folder / "access.log")
        granted = dataclasses.replace(PORTS["kubernetes.ingress"], **limits)
        self.front = Server("kubernetes.ingress", 0, granted, self.ingress)
        self.front.start()
        self.models: list[Server] = []
        self.upstreams: list[Upstream] = []
        self.release = threading.Event()
        self.release.set()

    def revision(self, name: str, answer: Callable[[Head, bytes], Answer] | None = None, **predictor: Any) -> Revision:
        def handle(head: Head, read: RequestBody) -> Answer:
            body = read.whole()
            self.release.wait(20)
            if answer:
                return answer(head, body)
            return Answer(200, {}, json.dumps({"revision": name, "bytes": len(body), **head.headers}).encode())

        server = Server("model", 0, MODEL_SERVER, handle)
        server.start()
        self.models.append(server)
        spec = {"predictor": {"model": {"storageUri": "/x"}, **predictor}}
        revision = Revision(name, self.folder / name, {"metadata": META, "spec": spec}, Node())
        revision.models = ["echo"]
        self.replica(revision, server.port)
        return revision

    def replica(self, revision: Revision, port: int) -> Replica:
        """Give a revision one more replica, which serves already."""
        server: Any = SimpleNamespace(stop=lambda: None)
        replica = Replica(f"pod-{port}", server, b"", revision.replicas.changed, lambda _replica: None)
        replica.upstream, replica.ready, replica.step = Upstream(port), True, "Ready"
        revision.replicas.members.append(replica)
        self.upstreams.append(replica.upstream)
        return replica

    def close(self) -> None:
        self.release.set()
        self.front.stop()
        for each in self.models:
            each.stop()
        for upstream in self.upstreams:
            upstream.close()
        self.ingress.close()

    def serve(self, *targets: Target) -> None:
        self.routes.set("models", "echo", targets)

    def ask(self, body: Any = b"{}", path: str = PREDICT, host: str = HOST, **more: Any) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection(LOOPBACK, self.front.port, timeout=20)
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Host": host}, **more)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        is_json = answer.headers["Content-Type"] == "application/json"
        return answer.status, json.loads(content) if is_json else content.decode(), answer.headers


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


@pytest.fixture
def small_stand(tmp_path: Path) -> Iterator[Stand]:
    """One that takes a megabyte."""
    made = Stand(tmp_path, body_bytes=1 << 20)
    yield made
    made.close()


def test_the_curl_of_the_guide_works_with_bodies_of_megabytes(stand: Stand, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("curl is not installed")
    stand.serve(Target(stand.revision("echo-1")))
    photo = tmp_path / "cat.json"
    photo.write_bytes(b'{"instances": [{"data": "' + b"A" * (5 << 20) + b'"}]}')
    url = f"http://{LOOPBACK}:{stand.front.port}{PREDICT}"
    for more in ([], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"]):
        done = subprocess.run(
            [curl, "-v", "-sS", "-m", "20", "-H", f"Host: {HOST}", url, "-d", f"@{photo}", *more],
            capture_output=True,
            text=True,
            check=True,
        )
        got = json.loads(done.stdout)
        assert got["bytes"] == photo.stat().st_size
        assert got["content-type"] == "application/json"
        assert "< HTTP/1.1 200 OK" in done.stderr
        if not more:
            assert "< HTTP/1.1 100 Continue" in done.stderr


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("expect", [False, True])
def test_a_body_over_the_limit_gets_413_and_not_a_broken_pipe(
    small_stand: Stand, tmp_path: Path, chunked: bool, expect: bool
) -> None:
    stand = small_stand
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("curl is not installed")
    stand.serve(Target(stand.revision("echo-1")))
    large = tmp_path / "large.json"
    large.write_bytes(b"A" * (8 << 20))
    more = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    more += [] if expect else ["-H", "Expect:"]
    url = f"http://{LOOPBACK}:{stand.front.port}{PREDICT}"
    command = [curl, "-sS", "-m", "20", "-w", "%{http_code}", "-H", f"Host: {HOST}", url, "--data-binary"]
    done = subprocess.run([*command, f"@{large}", *more], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("413")
    assert "at most 1048576 are taken" in done.stdout or "more than 1048576" in done.stdout
    assert stand.ask()[0] == 200


def test_requests_over_the_concurrency_wait_and_those_over_the_queue_are_told_to_come_back(stand: Stand) -> None:
    revision = stand.revision("echo-1", containerConcurrency=1)
    assert revision.limits == RequestLimits(1, 11, 120.0)
    stand.serve(Target(revision))
    stand.release.clear()
    answers: list[tuple[int, Any, Any]] = []
    clients = [threading.Thread(target=lambda: answers.append(stand.ask())) for _ in range(13)]
    for each in clients:
        each.start()
    deadline = time.monotonic() + 10
    while len(answers) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [code for code, _, _ in answers] == [503, 503]
    assert answers[0][2]["Retry-After"] == "1"
    stand.release.set()
    for each in clients:
        each.join()
    assert [code for code, _, _ in answers[2:]] == [200] * 11


def test_a_model_that_takes_too_long_is_a_504(stand: Stand) -> None:
    stand.serve(Target(stand.revision("echo-1", timeout=1)))
    stand.release.clear()
    code, body, _ = stand.ask()
    assert (code, body["error"]) == (504, "echo-1: no answer within 1 s")


def test_a_handler_that_fails_is_500_and_a_full_queue_503(stand: Stand) -> None:
    told = {"code": 503, "type": "InternalServerException", "message": "Prediction failed"}
    stand.serve(Target(stand.revision("echo-1", lambda _head, _body: Answer(503, {}, json.dumps(told).encode()))))
    code, body, headers = stand.ask(b'{"instances": []}')
    assert (code, "Prediction failed" in body["error"], headers["Retry-After"]) == (500, True, None)
    told["type"] = "ServiceUnavailableException"
    asked = b'{"instances": []}'
    assert (stand.ask(asked)[0], stand.ask(asked)[2]["Retry-After"]) == (503, "1")


GOOD = b'{"instances": [{"data": "QUJD"}]}'
BYTES = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["QUJD"]}
FLOATS = {"name": "x", "shape": [2, 2], "datatype": "FP32"}


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"no json", "Unrecognized request format: "),
        (b"", "Unrecognized request format: "),
        (b'{"instances": [NaN]}', "Unrecognized request format: "),
        (b"\xef\xbb\xbf" + GOOD, "Unrecognized request format: "),
        (GOOD.decode().encode("utf-16"), "Unrecognized request format: "),
        (b'{"instances": {"data": "QUJD"}}', 'Expected "instances" to be a list'),
        (b'{"instances": "QUJD"}', 'Expected "instances" to be a list'),
    ],
)
def test_kserve_refuses_what_is_no_prediction(stand: Stand, sent: bytes, told: str) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    code, body, _ = stand.ask(sent)
    assert (code, body["error"][: len(told)]) == (400, told)
    # An own container has its own protocol.
    own = stand.revision("own-1", containers=[{"image": "x", "command": ["sh"]}], model=None)
    stand.serve(Target(own))
    assert stand.ask(sent)[0] == 200


@pytest.mark.parametrize(
    ("sent", "field", "told"),
    [
        (b"no json", [], "Unrecognized request format: "),
        (b"\xef\xbb\xbf{}", [], "Unrecognized request format: "),
        ('{"inputs": []}'.encode("utf-16"), [], "Unrecognized request format: "),
        ([], [], "Input should be"),
        ({}, ["inputs"], "Field required"),
        ({"inputs": {}}, ["inputs"], "Input should be a valid list"),
        ({"inputs": []}, ["inputs"], "There is no input"),
        ({"inputs": [{**BYTES, "shape": -1}]}, ["inputs", 0, "shape"], "Input should be a valid list"),
        ({"inputs": [{**BYTES, "shape": [-1]}]}, ["inputs", 0, "shape"], "A size is negative"),
        ({"inputs": [{**BYTES, "data": []}]}, ["inputs", 0, "data"], "There is no data"),
        ({"inputs": [BYTES, {"shape": [1], "datatype": "BYTES", "data": []}]}, ["inputs", 1, "name"], "Field required"),
        ({"inputs": [{**FLOATS, "data": [1]}]}, ["inputs", 0, "data"], "The shape [2, 2] has 4 elements, the data 1"),
        ({"inputs": [{**FLOATS, "data": [[1, 2], [3]]}]}, ["inputs", 0, "data"], "There is no data"),
        ({"inputs": [{**FLOATS, "data": [[[]], [[]]]}]}, ["inputs", 0, "data"], "There is no data"),
        ({"inputs": [{**FLOATS, "data": [1, [2]]}]}, ["inputs", 0, "data"], "There is no data"),
        ({"inputs": [{**FLOATS, "data": [[1, 2], [3, 4]]}]}, None, ""),
        ({"inputs": [{**FLOATS, "data": [1, 2, 3, 4]}]}, None, ""),
        ({"id": "1", "inputs": [BYTES]}, None, ""),
    ],
)
def test_kserve_refuses_wrong_tensors_by_their_field(
    stand: Stand, sent: Any, field: list[Any] | None, told: str
) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    code, body, _ = stand.ask(sent if isinstance(sent, bytes) else json.dumps(sent).encode(), "/v2/models/echo/infer")
    if field is None:
        assert code == 200
        return
    assert (code, body["detail"][0]["loc"]) == (422, ["body", *field])
    assert body["detail"][0]["msg"].startswith(told)
    assert told in body["error"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_large_body_is_refused_by_its_first_bytes(stand: Stand, encoding: str) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    large = ('{"instances": [{"data": "' + "A" * (2 << 20) + '"}]}').encode(encoding)
    assert stand.ask(large)[0] == 400
    assert stand.ask(large, "/v2/models/echo/infer")[0] == 422


def test_a_request_that_the_handler_cannot_read_is_the_senders_fault(stand: Stand) -> None:
    failed = {"code": 503, "type": "InternalServerException", "message": "Prediction failed"}
    stand.serve(Target(stand.revision("echo-1", lambda _head, _body: Answer(503, {}, json.dumps(failed).encode()))))
    for sent, code in ((b'{"x": 1}', 400), (b"[1]", 400), (GOOD, 500), (None, 500)):
        assert stand.ask(sent)[0] == code


def test_traffic_is_shared_exactly_and_the_previous_has_a_host_of_its_own(stand: Stand) -> None:
    stand.serve(Target(stand.revision("echo-2"), 20), Target(stand.revision("echo-1"), 80, "prev"))
    seen = [stand.ask()[1]["revision"] for _ in range(50)]
    assert (seen.count("echo-2"), seen.count("echo-1")) == (10, 40)
    assert {stand.ask(host="prev-echo-predictor.models.example.com")[1]["revision"] for _ in range(5)} == {"echo-1"}


def test_requests_are_counted_for_prometheus_and_logged_without_their_bodies(stand: Stand, tmp_path: Path) -> None:
    revision = stand.revision("echo-1")
    stand.serve(Target(revision))
    stand.ask(b'{"secret": 1}')
    code, text, _ = stand.ask(None, "/metrics", "127.0.0.1")
    pod = revision.replicas.members[0].pod
    labels = f'{{configuration_name="echo",namespace_name="models",pod_name="{pod}",response_code="200",'
    labels += 'response_code_class="2xx",revision_name="echo-1"}'
    assert code == 200
    assert f"revision_request_count{labels} 1" in text
    assert f"revision_request_latencies_count{labels} 1" in text
    stand.ingress.close()
    line = json.loads((tmp_path / "access.log").read_text().splitlines()[0])
    assert (line["status"], line["revision"], line["version"], line["host"]) == (200, "echo-1", "7", HOST)
    assert "secret" not in (tmp_path / "access.log").read_text()


def test_the_series_of_a_services_old_revisions_end() -> None:
    metrics = Metrics(dict)
    for number in range(KEPT_REVISIONS + 5):
        metrics.observe("models", "echo", f"echo-{number:02d}", "pod", 200, 5.0)
        metrics.observe("models", "echo", f"echo-{number:02d}", "pod", 503, 5.0)
    metrics.observe("models", "other", "other-00", "pod", 200, 5.0)
    text = metrics.text().decode()
    kept = {line.split('revision_name="')[1].split('"')[0] for line in text.splitlines() if "request_count{" in line}
    assert kept == {"other-00", *(f"echo-{number:02d}" for number in range(5, KEPT_REVISIONS + 5))}
    assert 'revision_name="echo-04"' not in text


def test_each_pod_tells_only_of_its_own_requests(stand: Stand) -> None:
    revision = stand.revision("echo-1")
    failing = Server("failing", 0, MODEL_SERVER, lambda _head, body: Answer(507, {}, body.whole()))
    failing.start()
    stand.models.append(failing)
    second = stand.replica(revision, failing.port)
    stand.serve(Target(revision))
    # The least busy replica is asked, in turns.
    assert sorted(stand.ask()[0] for _ in range(6)) == [200, 200, 200, 507, 507, 507]
    # What the ingress refuses itself, a pod would refuse on a cluster.
    assert stand.ask(b"no json")[0] == 400
    first = revision.replicas.members[0]
    told = stand.ingress.pod_metrics("models", first.pod).decode()
    counts = {
        line.partition('response_code="')[2][:3]: line.split()[-1] for line in told.splitlines() if "t_count{" in line
    }
    assert counts == {"200": "3.0", "400": "1.0"} and second.pod not in told
    assert 'response_code_class="5xx"' in stand.ingress.pod_metrics("models", second.pod).decode()
    assert stand.ingress.pod_metrics("others", first.pod) == b""


def test_the_series_of_a_revisions_old_pods_end() -> None:
    metrics = Metrics(dict)
    for number in range(KEPT_PODS + 3):
        metrics.observe("models", "echo", "echo-1", f"pod-{number:02d}", 200, 5.0)
    text = metrics.text().decode()
    assert 'pod_name="pod-02"' not in text and 'pod_name="pod-03"' in text
    assert f'pod_name="pod-{KEPT_PODS + 2:02d}"' in text


@pytest.mark.parametrize("trouble", ["full", "folder", "blocked"])
def test_no_request_depends_on_the_access_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    path = tmp_path / "access.log"
    if trouble == "full":
        path.symlink_to("/dev/full")
    elif trouble == "folder":
        path.mkdir()
    else:
        # Opening it waits for a reader.
        os.mkfifo(path)
        monkeypatch.setattr(access_log, "CLOSE_SECONDS", 0.1)
    stand = Stand(tmp_path)
    stand.serve(Target(stand.revision("echo-1")))
    assert [stand.ask()[0] for _ in range(3)] == [200] * 3
    stand.close()


def test_payloads_go_to_the_sink_that_the_service_names(stand: Stand) -> None:
    events: queue.SimpleQueue[tuple[dict[str, str], bytes]] = queue.SimpleQueue()

    def take(head: Head, read: RequestBody) -> Answer:
        events.put((head.headers, read.whole()))
        return Answer(202)

    sink = Server("sink", 0, MODEL_SERVER, take)
    sink.start()
    logger = {"mode": "all", "url": f"http://{LOOPBACK}:{sink.port}/events"}

    def answer(_head: Head, body: bytes) -> Answer:
        return Answer(200 if body == b"{}" else 400, {}, b"[1]")

    revision = stand.revision("told", answer, logger=logger)
    stand.serve(Target(revision))
    assert [stand.ask(body)[0] for body in (b"{}", b"[]")] == [200, 400]
    found = [events.get(timeout=10) for _ in range(3)]
    kinds = [(headers["ce-type"].rpartition(".")[2], body) for headers, body in found]
    # An answer that is no prediction is not logged.
    assert kinds == [("request", b"{}"), ("response", b"[1]"), ("request", b"[]")]
    first, second, third = (headers["ce-id"] for headers, _ in found)
    assert first == second != third
    assert found[0][0]["ce-inferenceservicename"] == "echo"
    # A sink that is gone costs no prediction.
    sink.stop()
    assert stand.ask()[0] == 200
    revision.close()
    assert stand.revision("silent").payloads is None


@pytest.mark.parametrize(
    ("more", "told"),
    [({"logger": {"mode": "all"}}, "no broker here"), ({"batcher": {"maxBatchSize": 2}}, "no batcher")],
)
def test_what_the_predictor_cannot_have_is_refused(stand: Stand, more: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelServerError, match=told):
        stand.revision("refused", **more).check()


def test_a_kept_connection_serves_again_and_a_dead_server_is_a_502(stand: Stand) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    connection = http.client.HTTPConnection(LOOPBACK, stand.front.port, timeout=20)
    for body in (b"{}", b"[" + b" " * 300_000 + b"]", b"[]"):
        connection.request("POST", PREDICT, body, {"Host": HOST})
        assert json.loads(connection.getresponse().read())["bytes"] == len(body)
    connection.close()
    stand.models[0].stop()
    assert stand.ask()[0] == 502


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: x\r\n\r\n" % HOST.encode(), 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nlong: " + b"x" * 70_000, 431),
    ],
)
def test_what_is_not_http_is_refused(stand: Stand, message: bytes, code: int) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5) as client:
        client.sendall(message.replace(b"Host: a\r", b"Host: " + HOST.encode() + b"\r"))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000).startswith(b"HTTP/1.1 %d " % code)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHo", b"The head did not arrive in time."),
        (
            b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: 9\r\n\r\nabc" % (PREDICT.encode(), HOST.encode()),
            b"3 bytes did",
        ),
    ],
)
def test_a_silent_client_does_not_hold_its_connection(tmp_path: Path, sent: bytes, told: bytes) -> None:
    stand = Stand(tmp_path, head_seconds=0.2, body_seconds=0.2)
    stand.serve(Target(stand.revision("echo-1")))
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5) as client:
        client.sendall(sent)
        got = b"".join(iter(lambda: client.recv(1000), b""))
    assert got.startswith(b"HTTP/1.1 408 ") if told else got == b""
    assert told in got
    stand.close()


def test_a_kept_connection_ends_after_a_while(tmp_path: Path) -> None:
    stand = Stand(tmp_path, keep_alive_seconds=0.2)
    stand.serve(Target(stand.revision("echo-1")))
    connection = http.client.HTTPConnection(LOOPBACK, stand.front.port, timeout=5)
    connection.request("POST", PREDICT, b"{}", {"Host": HOST})
    assert connection.getresponse().read()
    assert connection.sock.recv(1) == b""
    connection.close()
    stand.close()


def test_requests_that_come_together_are_answered_in_their_order(stand: Stand) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5) as client:
        head = b"POST %b HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n%b\r\n"
        first = head % (PREDICT.encode(), HOST.encode(), 2, b"") + b"{}"
        last = head % (PREDICT.encode(), HOST.encode(), 3, b"Connection: close\r\n") + b"{ }"
        client.sendall(first + last)
        got = b"".join(iter(lambda: client.recv(1000), b""))
    assert [part.partition(b",")[0] for part in got.split(b'"bytes": ')[1:]] == [b"2", b"3"]


def test_a_connection_too_many_is_told_so(tmp_path: Path) -> None:
    stand = Stand(tmp_path, connections=1)
    stand.serve(Target(stand.revision("echo-1")))
    with socket.create_connection((LOOPBACK, stand.front.port), timeout=5):
        code, body, headers = stand.ask(None, "/v1/models")
        assert (code, body["error"], headers["Retry-After"]) == (503, "Too many connections.", "1")
    wait_for(lambda: stand.ask(None, "/v1/models")[0] == 200, 5)
    stand.close()


def test_the_listener_pauses_when_descriptors_run_out(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    listener, failed = stand.front._listener, threading.Event()

    class Exhausted:
        """Fails once, as accept() does without descriptors."""

        def __getattr__(self, name: str) -> Any:
            return getattr(listener, name)

        def accept(self) -> Any:
            if failed.is_set():
                return listener.accept()
            failed.set()
            raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(server_module, "ACCEPT_RETRY_SECONDS", 0.3)
    monkeypatch.setattr(stand.front, "_listener", Exhausted())
    # The accept() that is under way still takes this one.
    assert stand.ask()[0] == 200
    assert failed.wait(5)
    started = time.monotonic()
    assert stand.ask()[0] == 200
    assert time.monotonic() - started > 0.2


def test_what_kserve_answers_itself(stand: Stand) -> None:
    stand.serve(Target(stand.revision("echo-1")))
    assert stand.ask(None, "/v1/models")[1] == {"models": ["echo"]}
    assert stand.ask(None, "/v2")[1]["extensions"] == ["model_repository_extension"]
    assert stand.ask(None, "/v1/models/echo")[1] == {"name": "echo", "ready": True}
    assert stand.ask(None, "/v2/models/echo/ready")[1] == {"name": "echo", "ready": True}
    assert stand.ask(None, "/v1/models/dog")[0] == 404
    assert stand.ask(b"{}", host="other.models.example.com")[0] == 404


def test_requests_go_to_the_least_busy_replica_and_from_one_that_dies_to_another(stand: Stand) -> None:
    revision = stand.revision("echo-1")
    first = revision.replicas.members[0]
    other = stand.revision("echo-2").replicas.members[0]
    second = stand.replica(revision, other.upstream.port)
    stand.serve(Target(revision))
    stand.release.clear()
    clients = [threading.Thread(target=stand.ask) for _ in range(6)]
    for each in clients:
        each.start()
    deadline = time.monotonic() + 10
    while first.inflight + second.inflight < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (first.inflight, second.inflight) == (3, 3)
    stand.release.set()
    for each in clients:
        each.join()

    # The first dies: who was sent there is sent on; the keeper notices a moment later.
    stand.models[0].stop()
    with revision.replicas.changed:
        second.inflight += 1
    threading.Timer(0.05, lambda: _end(revision, first)).start()
    code, body, _ = stand.ask()
    assert (code, body["revision"]) == (200, "echo-2")
    assert (first.inflight, second.inflight) == (0, 1)


def _end(revision: Revision, replica: Replica) -> None:
    with revision.replicas.changed:
        replica.ready = False
        revision.replicas.changed.notify_all()
