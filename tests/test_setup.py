"""``scripts/setup.sh``: which Python and which PyTorch it takes. Small programs stand in for uv and the environment's
Python, and note how they are called; ``docs/install.md`` tells how whole environments were tried."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UV = """#!/bin/sh
echo "uv $*" >>"{log}"
case "$1 $2" in
"python find") [ "$3" = "$FOUND" ] && echo "/python$3" ;;
"venv --quiet") for last; do :; done; mkdir -p "$last/bin" && ln -sf "{python}" "$last/bin/python" ;;
esac
"""
# torch isn't installed, and scripts are only noted: the one that removes files must not meet a real environment.
PYTHON = """#!/bin/sh
case "$*" in
*'version("torch")'*) exit 1 ;;
-c*|-\\ *) exec "{real}" "$@" ;;
*) echo "python $*" >>"{log}" ;;
esac
"""


class Machine:
    """A machine with uv, and the calls that the script made."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "calls"
        self._log.touch()
        python = self._program("python", PYTHON.format(real=sys.executable, log=self._log))
        self._uv = self._program("uv", UV.format(log=self._log, python=python))

    def _program(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def set_up(self, *extras: str, **variables: str) -> tuple[str, list[str]]:
        """Run the script; returns what it says, and the calls."""
        known = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "TORCH", "TORCH_INDEX")}
        done = subprocess.run(
            ["sh", str(ROOT / "scripts" / "setup.sh"), str(self._folder / "venv"), *extras],
            env={**known, "UV": str(self._uv), "FOUND": "", **variables},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not done.stderr, done.stderr
        return done.stdout, self._log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def index() -> Iterator[str]:
    """A package index that answers."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/cpu"
    server.shutdown()
    server.server_close()


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, PyPI's wheels of PyTorch have no CUDA")


@linux
def test_the_wheels_for_cpus_where_their_index_answers(machine: Machine, index: str) -> None:
    said, calls = machine.set_up(TORCH="cpu", TORCH_INDEX=index)
    assert f"the wheels for CPUs from {index}" in said
    assert f"--extra-index-url {index} --index-strategy unsafe-best-match -e .[all]" in calls[-1]


@linux
def test_an_index_that_does_not_answer_is_a_sentence(machine: Machine) -> None:
    said, calls = machine.set_up(TORCH="cpu", TORCH_INDEX="http://127.0.0.1:9/cpu")
    assert "http://127.0.0.1:9/cpu doesn't answer" in said
    assert "index-url" not in calls[-2]
    assert calls[-1].endswith("images/deploy/drop_gpu_files.py")


def test_wheels_with_cuda_where_they_are_wanted(machine: Machine, index: str) -> None:
    _, calls = machine.set_up("dev", TORCH="cuda", TORCH_INDEX=index)
    assert calls[-1].endswith("-c constraints.txt -e .[all,dev] -e ./pdk_stack")


@pytest.mark.parametrize(
    ("found", "taken"), [("3.11", "/python3.11"), (">=3.10,<3.14", "/python>=3.10,<3.14"), ("", "3.11")]
)
def test_uv_takes_a_python_that_is_there_and_else_brings_one(machine: Machine, found: str, taken: str) -> None:
    _, calls = machine.set_up(TORCH="cuda", FOUND=found)
    (made,) = [line for line in calls if line.startswith("uv venv")]
    assert f"--python {taken} " in made
    # The next call finds it.
    _, calls = machine.set_up("dev", TORCH="cuda", FOUND=found)
    assert len([line for line in calls if line.startswith("uv venv")]) == 1


def test_a_word_that_torch_cannot_be(machine: Machine) -> None:
    said, calls = machine.set_up(TORCH="gpu")
    assert "TORCH=gpu is none of cpu, cuda, and auto." in said
    assert not any("pip install" in line for line in calls)
