"""The classify stage: a datum's pictures, the service's answers, and what may be set aside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pdk_nb.stages.classify_options import parse_arguments
from pdk_shared.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
HOST = "dog-cat.models.example.com"
UNREACHABLE = f"127.0.0.1:9,{HOST}"


class Service(BaseHTTPRequestHandler):
    """A service that says dog to everything, or gives the status of :attr:`status`."""

    status = 200
    hosts: list[str] = []

    def do_POST(self) -> None:
        self.hosts.append(self.headers["Host"])
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/models/pets:predict"
        row = {"index": 0, "label": "dog", "scores": {"dog": 0.9, "cat": 0.1}, "version": "v1"}
        reply = json.dumps({"predictions": [row] * len(body["instances"])}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test's output stays readable."""


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Service, "status", 200)
    monkeypatch.setattr(Service, "hosts", [])
    server = HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port},{HOST}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pfs(tmp_path: Path) -> Path:
    """A worker's folder with a datum: one picture in a batch's folder."""
    (tmp_path / "data" / "batch1").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    Image.new("RGB", (32, 32), "brown").save(tmp_path / "data" / "batch1" / "dog.1.jpg")
    return tmp_path


def stage(pfs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "images" / "deploy" / "classify.py"), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PDK_PFS_ROOT": str(pfs)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_picture_gets_an_answer_of_its_own(pfs: Path, target: str) -> None:
    done = stage(pfs, "--target", target, "--model", "pets")
    assert done.returncode == 0, done.stderr
    assert "batch1/dog.1.jpg: dog (0.900)" in done.stdout
    # Nothing else is in the output: all datums of a job write there.
    assert [path for path in (pfs / "out").rglob("*") if path.is_file()] == [pfs / "out" / "batch1" / "dog.1.jpg.json"]
    answer = json.loads((pfs / "out" / "batch1" / "dog.1.jpg.json").read_text())
    assert (answer["picture"], answer["label"], answer["version"]) == ("batch1/dog.1.jpg", "dog", "v1")
    assert Service.hosts == [HOST]


def test_an_address_that_cannot_be_reached_is_not_the_last_word(pfs: Path, target: str) -> None:
    done = stage(pfs, "--target", UNREACHABLE, "--target", target, "--model", "pets")
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:9 can't be reached" in done.stdout


def test_a_service_that_refuses_is_not_asked_elsewhere(pfs: Path, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "status", 503)
    done = stage(pfs, "--target", target, "--target", UNREACHABLE, "--model", "pets")
    assert done.returncode != 0
    assert "503" in done.stderr
    assert len(Service.hosts) == 1


def test_only_a_picture_that_cannot_be_read_is_set_aside(pfs: Path, target: str) -> None:
    done = stage(pfs, "--set-aside")
    assert done.returncode != 0
    assert "isn't set aside" in done.stderr
    picture = pfs / "data" / "batch1" / "dog.1.jpg"
    picture.write_bytes(picture.read_bytes()[:300])
    failed = stage(pfs, "--target", target, "--model", "pets")
    assert failed.returncode != 0
    assert Service.hosts == []
    aside = stage(pfs, "--set-aside")
    assert aside.returncode == 0, aside.stderr
    assert "set aside: batch1/dog.1.jpg" in aside.stdout
    assert list((pfs / "out").rglob("*.json")) == []


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--model", "pets"],
        ["--target", "127.0.0.1:80", "--model", "pets"],
        ["--target", UNREACHABLE, "--model", "pets", "--timeout", "0"],
    ],
)
def test_a_command_line_that_does_not_fit_is_refused_before_any_work(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_arguments(words)
