"""The storage initialiser against a stand-in for Google's storage: fetched, waited for, refused."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from pdk_stack.kubernetes.core.inference.revisions import fetch as fetch_module
from pdk_stack.kubernetes.store.models import KSERVE, of_package
from pdk_stack.kubernetes.store.schemas import USED
from pdk_stack.third_party import kserve as third_party_kserve
from pdk_stack.third_party.kserve import RELEASE

FILES = {"pets/1/config/config.properties": b"a=b", "pets/1/model-store/pets.mar": b"archive"}


class Storage(BaseHTTPRequestHandler):
    """The two calls of Google's JSON API that the downloader makes: list, and read."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        code, body = 404, b"{}"
        if url.path.startswith("/storage/v1/b/models/o") and "prefix" in parse_qs(url.query):
            names = [name for name in FILES if name.startswith(parse_qs(url.query)["prefix"][0])]
            code, body = 200, json.dumps({"items": [{"name": name, "bucket": "models"} for name in names]}).encode()
        elif url.path.startswith("/download/storage/v1/b/models/o/"):
            code, body = 200, FILES[unquote(url.path.rpartition("/o/")[2])]
        elif "/b/forbidden/" in url.path:
            code = 403
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def emulator() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Storage)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(uri: str, target: Path, emulator: str) -> tuple[int, list[dict[str, object]]]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "pdk_stack.kubernetes.core.inference.revisions.fetch",
        uri,
        str(target),
        "0",
    ]
    environment = {"STORAGE_EMULATOR_HOST": emulator, "PATH": "", "HOME": str(target), "NO_GCE_CHECK": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.parametrize("name", ["storage/storage.py", "v2_datamodels.py"])
def test_kserves_files_are_those_of_its_package(name: str) -> None:
    package = importlib.util.find_spec("kserve")
    if package is None or not package.submodule_search_locations:
        pytest.skip("there is no kserve 0.13.1 for this version of Python")
    assert importlib.metadata.version("kserve") == RELEASE
    original = Path(package.submodule_search_locations[0], name.replace("v2_", "protocol/rest/v2_"))
    assert (Path(third_party_kserve.__file__).parent / name).read_bytes() == original.read_bytes()


def test_kserves_models_are_those_of_its_package() -> None:
    if importlib.util.find_spec("kserve") is None:
        pytest.skip("there is no kserve 0.13.1 for this version of Python")
    assert json.loads(KSERVE.read_text()) == of_package(USED), "python -m pdk_stack.kubernetes.store.schemas"


def test_google_storage(emulator: str, tmp_path: Path) -> None:
    assert fetch("gs://models/pets/1", tmp_path / "models", emulator)[0] == 0
    found = {str(path.relative_to(tmp_path / "models")) for path in (tmp_path / "models").rglob("*") if path.is_file()}
    assert found == {"config/config.properties", "model-store/pets.mar"}
    code, told = fetch("gs://models/cows/1", tmp_path / "cows", emulator)
    assert (code, told[-1]["absent"]) == (1, True)
    code, told = fetch("gs://forbidden/pets/1", tmp_path / "forbidden", emulator)
    assert (code, told[-1]["absent"]) == (1, False)


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        (FileNotFoundError("x"), True),
        (RuntimeError("Failed to fetch model. No model found in s3://b/m."), True),
        (RuntimeError("something else"), False),
        (ConnectionError("refused"), False),
    ],
)
def test_what_may_still_come(error: Exception, absent: bool) -> None:
    assert fetch_module.is_absent(error) is absent
