"""The prediction panel without a browser: the very messages that a browser sends, and a service that really looks."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pdk_nb.names import Names
from pdk_nb.panel import PredictionPanel
from pdk_nb.panel.answer import curl_for
from pdk_nb.panel.picture_results import prepare
from pdk_nb.panel.styles import SHEET
from pdk_nb.platforms import serving
from pdk_nb.platforms.serving.batches import BATCH_SIZE
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.session import Session
from pdk_nb.settings import from_maps
from pdk_shared.errors import DataError, PdkError, PredictionError
from tests.support.command_line import ROOT
from tests.support.serving_tools import BLUE, RED, picture

CLASSES = ("car", "bus", "bicycle")


class Eyes(BaseHTTPRequestHandler):
    """A model server that takes the strongest of red, green and blue for its three classes."""

    refuse = 0
    requests: list[dict[str, Any]] = []

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Eyes.requests.append(request)
        rows = [self.look(base64.b64decode(each["data"])) for each in request["instances"]]
        content = json.dumps({"predictions": rows}).encode()
        self.send_response(self.refuse or 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @staticmethod
    def look(content: bytes) -> dict[str, Any]:
        bands = Image.open(io.BytesIO(content)).convert("RGB").resize((1, 1)).tobytes()
        scores = {name: round(band / max(1, sum(bands)), 3) for name, band in zip(CLASSES, bands, strict=True)}
        best = max(scores, key=lambda name: scores[name])
        return {"index": CLASSES.index(best), "label": best, "scores": scores, "model": "m", "version": "c0ffee"}


@pytest.fixture
def target() -> Iterator[Endpoint]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Eyes)
    Eyes.refuse, Eyes.requests = 0, []
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield Endpoint("traffic", f"127.0.0.1:{server.server_port}", "traffic.models.example.com", "m")
    server.shutdown()
    server.server_close()


@pytest.fixture
def panel(target: Endpoint, monkeypatch: pytest.MonkeyPatch) -> PredictionPanel:
    monkeypatch.setattr(serving, "endpoint", lambda where, name="": target)
    return PredictionPanel(Session(from_maps({}), Names(service="traffic")))


class Browser:
    """The browser's side of the upload, as ``upload.js`` plays it.

    Args:
        panel: The panel.
    """

    def __init__(self, panel: PredictionPanel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.upload = panel.upload
        self.asked: list[dict[str, Any]] = []
        monkeypatch.setattr(self.upload, "send", lambda content, buffers=None: self.asked.append(content))

    def say(self, content: dict[str, Any], *buffers: bytes) -> None:
        message = {"content": {"data": {"method": "custom", "content": content}}}
        self.upload._handle_msg({**message, "buffers": [memoryview(each) for each in buffers]})

    def upload_files(self, *files: tuple[str, bytes], chunk: int = 2 << 20) -> None:
        described = [{"name": name, "size": len(content), "type": "image/png"} for name, content in files]
        self.say({"kind": "begin", "key": "k", "files": described})
        while self.asked[-1]["kind"] == "next":
            wanted = self.asked[-1]
            content = files[wanted["place"]][1]
            self.say({"kind": "chunk", "key": "k"}, content[wanted["offset"] : wanted["offset"] + chunk])


@pytest.fixture
def browser(panel: PredictionPanel, monkeypatch: pytest.MonkeyPatch) -> Browser:
    return Browser(panel, monkeypatch)


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_picture_submitted_from_the_kernel(
    panel: PredictionPanel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    panel.submit(write(tmp_path, "bicycle.1.png", BLUE))
    assert panel.last is not None
    assert (panel.last.label, panel.error) == ("bicycle", None)
    assert panel.upload.value == ()
    shown = panel.answer.value
    for words in ("bicycle.1.png", "100.0%", "✓ right", "c0ffee", "&quot;label&quot;: &quot;bicycle&quot;", "curl"):
        assert words in shown, words
    assert 'alt="bicycle.1.png' in shown
    # What a notebook keeps when the widgets are gone.
    assert "bicycle.1.png: bicycle 100.0%" in capsys.readouterr().out


def test_a_name_that_lies_is_told(panel: PredictionPanel, tmp_path: Path) -> None:
    panel.submit(write(tmp_path, "car.7.png", BLUE))
    assert "the name says car" in panel.answer.value
    panel.submit(write(tmp_path, "holiday.png", BLUE))
    assert "right" not in panel.answer.value
    assert "the name says" not in panel.answer.value


def test_an_upload_by_hand_comes_in_chunks(panel: PredictionPanel, browser: Browser) -> None:
    browser.upload_files(("car.1.png", RED), chunk=100)
    assert panel.last is not None
    assert panel.last.label == "car"
    sent = [each["offset"] for each in browser.asked if each["kind"] == "next"]
    assert sent == list(range(0, len(RED), 100))
    assert browser.asked[-1] == {"kind": "done", "key": "k"}


def test_fifty_megabytes_arrive_and_are_sent_small(panel: PredictionPanel, browser: Browser) -> None:
    side = 4160
    large = picture((255, 0, 0))
    buffer = io.BytesIO()
    Image.open(io.BytesIO(large)).resize((side, side)).save(buffer, "BMP")
    content = buffer.getvalue()
    assert 49 << 20 < len(content) <= 50 << 20
    browser.upload_files(("car.big.bmp", content))
    assert panel.last is not None
    assert panel.last.label == "car"
    sent = base64.b64decode(Eyes.requests[-1]["instances"][0]["data"])
    assert max(Image.open(io.BytesIO(sent)).size) <= 1024
    assert f"{side} × {side} pixels" in panel.answer.value


def test_what_is_too_large_is_refused_before_it_is_sent(panel: PredictionPanel, browser: Browser) -> None:
    files = [{"name": "huge.tif", "size": 51 << 20, "type": ""}, {"name": "car.1.png", "size": len(RED), "type": ""}]
    browser.say({"kind": "begin", "key": "k", "files": files})
    assert browser.asked == [{"kind": "next", "key": "k", "place": 1, "offset": 0}]
    browser.say({"kind": "chunk", "key": "k"}, RED)
    assert "huge.tif has 51 MB; the limit is 50 MB" in panel.status.value
    assert "car.1.png" in panel.answer.value
    browser.say({"kind": "begin", "key": "k", "files": files[:1]})
    assert browser.asked[-1]["kind"] == "done"


def test_a_file_that_changes_while_it_is_sent(panel: PredictionPanel, browser: Browser) -> None:
    browser.say({"kind": "begin", "key": "k", "files": [{"name": "a.png", "size": 10, "type": ""}]})
    browser.say({"kind": "chunk", "key": "k"}, b"x" * 11)
    assert "a.png changed during the upload" in panel.status.value
    # A chunk that belongs to nothing any more changes nothing.
    browser.say({"kind": "chunk", "key": "k"}, b"x")
    assert panel.pictures == []


def test_folders_tell_classes_too(panel: PredictionPanel, tmp_path: Path) -> None:
    for name, content in (("car", RED), ("bus", BLUE)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "1.png", content)
    own = sorted(tmp_path.rglob("*.png"))
    panel.submit(*own)
    assert [each.expected for each in panel.pictures] == ["bus", "car"]
    # Both are called the same, so that the gallery says the folders.
    assert [each["name"] for each in PredictionPanel(panel.session, own).upload.gallery] == ["bus/1.png", "car/1.png"]


def test_a_sample_goes_the_same_way(panel: PredictionPanel, browser: Browser) -> None:
    names = [each["name"] for each in panel.upload.gallery]
    assert len(names) == 6
    assert all(each["picture"].startswith("data:image/jpeg;base64,") for each in panel.upload.gallery)
    browser.say({"kind": "samples", "names": names[:1]})
    assert [each.name for each in panel.pictures] == names[:1]


def test_many_pictures_make_a_sheet_and_a_matrix(panel: PredictionPanel, browser: Browser) -> None:
    green = picture((0, 255, 0))
    files = [(f"bus.{number}.png", green) for number in range(BATCH_SIZE)]
    files += [("car.1.png", RED), ("car.2.png", BLUE), ("unnamed.png", RED), ("bus.9.png", b"no picture")]
    browser.upload_files(*files)
    assert [len(each["instances"]) for each in Eyes.requests] == [BATCH_SIZE, 3]
    assert panel.answer.value.count("<figure") == len(files)
    assert "11 of 12 pictures answered; 9 of 10 right (90%); 1 without a class in the name" in panel.status.value
    assert "bus.9.png: the picture can&#x27;t be decoded" in panel.answer.value
    table = panel.answer.value.partition('<table class="pdk-matrix">')[2].partition("</table>")[0]
    rows = [row.split("</td>")[:-1] for row in table.split("<tr>")[2:]]
    assert [[int(cell.rpartition(">")[2]) for cell in row] for row in rows] == [
        [1, 0, 1],
        [0, BATCH_SIZE, 0],
        [0, 0, 0],
    ]
    assert isinstance(panel.error, PdkError)


def test_a_service_that_fails_says_so_for_every_picture(panel: PredictionPanel, tmp_path: Path) -> None:
    Eyes.refuse = 503
    with pytest.raises(PredictionError, match="503"):
        panel.submit(write(tmp_path, "car.1.png", RED))
    assert "What to do:" in panel.answer.value
    files = [write(tmp_path, f"car.{number}.png", RED) for number in range(BATCH_SIZE + 1)]
    Eyes.requests.clear()
    with pytest.raises(PredictionError, match="503"):
        panel.submit(*files)
    # Not asked again and again.
    assert len(Eyes.requests) == 1
    assert all(each.error for each in panel.pictures)
    assert not panel.upload.busy


def test_the_service_is_not_ready(panel: PredictionPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def not_ready(where: Any, name: str = "") -> Endpoint:
        raise PredictionError("The service has no URL yet: it is starting", fix="Wait until it is READY.")

    monkeypatch.setattr(serving, "endpoint", not_ready)
    with pytest.raises(PredictionError):
        panel.submit(write(tmp_path, "car.1.png", RED))
    assert "has no URL yet" in panel.status.value
    assert "Wait until it is READY" in panel.status.value


def test_a_fault_of_the_panel_itself_is_shown(
    panel: PredictionPanel, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(where: Any, name: str = "") -> Endpoint:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr(serving, "endpoint", broken)
    browser.upload_files(("car.1.png", RED))
    assert "ZeroDivisionError: surprise" in panel.status.value
    assert not panel.upload.busy


def test_names_and_labels_cannot_bring_html(panel: PredictionPanel, tmp_path: Path) -> None:
    panel.submit(write(tmp_path, "<img src=x onerror=alert(1)>.png", RED))
    with pytest.raises(PdkError):
        panel.submit(write(tmp_path, "<b>broken.png", b"x"))
    everything = panel.answer.value + panel.status.value
    assert "<img src=x" not in everything
    assert "<b>broken" not in everything


def test_the_curl_line_gives_the_same_answer(panel: PredictionPanel, target: Endpoint, tmp_path: Path) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    name = "it's a bus.png"
    write(tmp_path, name, picture((0, 255, 0)))
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    starter = write(bin_folder, "pdk-nb", f'#!/bin/sh\nexec {sys.executable} -m pdk_nb.cli "$@"\n'.encode())
    starter.chmod(0o700)
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    line = ["sh", "-c", curl_for(name, target)]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["predictions"][0]["label"] == "bus", done.stderr


def test_the_kernel_looks_at_sizes_too(target: Endpoint) -> None:
    asked = prepare("big.png", b"\0" * ((50 << 20) + 1), target)
    assert isinstance(asked.error, PdkError)
    assert "50 MB" in asked.error.what
    assert isinstance(prepare("a.png", b"", target).error, PdkError)


def test_the_style_sheet_loads_nothing() -> None:
    assert "url(" not in SHEET.read_text()
    assert "@import" not in SHEET.read_text()
    script = SHEET.with_name("upload.js").read_text()
    # The only address is the example in the empty field.
    assert script.count("://") == script.count("https://example.org/cat.jpg") == 1


def test_an_unknown_address_is_a_data_error(panel: PredictionPanel, browser: Browser) -> None:
    browser.say({"kind": "address", "address": "file:///etc/passwd"})
    assert "Only http and https addresses are allowed" in panel.status.value
    assert isinstance(panel.error, DataError)


def test_a_refused_upload_removes_the_answer_before(panel: PredictionPanel, browser: Browser) -> None:
    browser.upload_files(("car.1.png", RED))
    assert "car.1.png" in panel.answer.value
    browser.upload_files(("empty.png", b""))
    assert panel.answer.value == ""
    assert "empty.png is empty" in panel.status.value
    assert "smaller" not in panel.status.value
    # A refusal of some pictures keeps the answers of the others.
    browser.upload_files(("empty.png", b""), ("car.1.png", RED))
    assert "car.1.png" in panel.answer.value
    assert "empty.png is empty" in panel.status.value


def test_wrong_answers_go_into_the_tray(panel: PredictionPanel, tmp_path: Path) -> None:
    teaching = panel.teaching
    row, tray_row = teaching.widget.children[:2]
    assert (row.layout.display, tray_row.layout.display) == ("none", "none")
    panel.submit(write(tmp_path, "car.7.png", BLUE))
    # The name says car, the answer is bicycle: the class is offered.
    assert (row.layout.display, teaching.choice.value) == ("", "car")
    teaching.add.click()
    assert "1 picture in the tray (car: 1)" in teaching.content.value
    assert tray_row.layout.display == ""
    panel.submit(write(tmp_path, "holiday.png", RED))
    assert teaching.choice.value == ""
    teaching.add.click()
    assert "No class is chosen" in panel.status.value
    panel.correct("bus")
    assert [(each.name, each.label) for each in teaching.tray.corrections] == [
        ("car.7.png", "car"),
        ("holiday.png", "bus"),
    ]
    teaching.empty.click()
    assert (len(teaching.tray), tray_row.layout.display) == (0, "none")


def test_many_wrong_answers_are_collected_by_their_names(panel: PredictionPanel, tmp_path: Path) -> None:
    panel.submit(write(tmp_path, "car.1.png", RED), write(tmp_path, "bus.2.png", BLUE), write(tmp_path, "x.png", BLUE))
    assert panel.teaching.choice.options[0][0] == "the 1 wrong answer, by the pictures' names"
    panel.teaching.add.click()
    assert [(each.name, each.label) for each in panel.teaching.tray.corrections] == [("bus.2.png", "bus")]
    panel.submit(write(tmp_path, "car.1.png", RED))
    with pytest.raises(DataError, match="no answer to correct"):
        panel.correct("*")
