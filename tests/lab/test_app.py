"""``pdk-nb app`` without a browser: who gets in, what the page asks for, how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdk_nb.app import service_note
from pdk_nb.app.server import FOLDER, LOOPBACK, choose_port
from pdk_nb.names import Names
from pdk_shared.errors import UsageError
from tests.support.processes import heed_interrupts

ROOT = Path(__file__).resolve().parents[2]
STARTER = "from pdk_nb.app.server import serve; serve({}, open_browser=False)"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The running app, without any cluster, and its address."""
    environment = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "JUPYTER_PATH")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path_factory.mktemp("home")), "PYTHONUNBUFFERED": "1"}
    heed_interrupts()
    process = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    yield address, process
    if process.poll() is None:
        process.terminate()
    process.communicate(timeout=30)


def get(address: str, **headers: str) -> tuple[int, str, str]:
    """Status, final address and text of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=60) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'self'")
            return answer.status, answer.url, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.url or "", ""


def test_jupyters_own_pages_answer(app: tuple[str, subprocess.Popen[str]]) -> None:
    base, _, token = app[0].partition("?token=")
    status, _, text = get(f"{base}logout?token={token}")
    assert (status, "Successfully logged out" in text) == (200, True)


def test_the_page_has_a_main_part(app: tuple[str, subprocess.Popen[str]]) -> None:
    assert '<div id="rendered_cells" role="main"' in get(app[0])[2]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "There is no service dog-cat in the namespace models yet"),
        (SimpleNamespace(ready=False, summary=lambda: "Unknown: loading"), "isn't ready yet: Unknown: loading"),
        (SimpleNamespace(ready=True), ""),
    ],
)
def test_the_page_says_that_nothing_would_answer(status: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdk_nb.app.read_service", lambda session: status)
    session: Any = SimpleNamespace(names=Names(), settings=SimpleNamespace(kserve_model_namespace="models"))
    note = service_note(session)
    assert words in note.text if note is not None else not words


def test_nobody_gets_in_without_the_token(app: tuple[str, subprocess.Popen[str]]) -> None:
    base, _, token = app[0].partition("?token=")
    assert base.startswith(f"http://{LOOPBACK}:")
    assert len(token) >= 32
    for address in (base, f"{base}?token=guessed", f"{base}voila/render/predict.ipynb"):
        assert "/login" in get(address)[1]
    assert "new_password" not in get(base)[2]
    assert get(f"{base}api/kernels/12345678-1234-1234-1234-123456789012")[0] == 403
    assert get(app[0], Host="elsewhere.example")[0] == 403


def test_the_page_asks_nobody_else_and_says_what_is_missing(app: tuple[str, subprocess.Popen[str]]) -> None:
    code, _, page = get(app[0])
    assert code == 200
    assert "<title>PDK Lab: prediction panel</title>" in page
    assert not re.findall(r"<(?:link|script|img|iframe)[^>]+(?:href|src)=[\"']?(?:https?:)?//[^\"' >]+", page)
    assert "font-awesome" not in page.lower()
    # There is no cluster here; the person in front of the page has to read that.
    assert "kubeconfig" in page


def test_ctrl_c_ends_it(app: tuple[str, subprocess.Popen[str]]) -> None:
    _, process = app
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        with pytest.raises(UsageError, match="Can't use port"):
            choose_port(taken.getsockname()[1])
    with pytest.raises(UsageError):
        choose_port(99999)
    assert choose_port(0) > 0


def test_the_templates_name_no_other_place() -> None:
    for path in (FOLDER / "jupyter").rglob("*.*"):
        assert "//" not in path.read_text(), path
