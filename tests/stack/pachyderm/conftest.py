from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import python_pachyderm
from filelock import FileLock
from hypothesis import settings

from tests.stack.pachyderm.server import REPO, Server

SDK = "pachyderm-sdk==2.8.1"
INSTALL_TIMEOUT_S = 240

# How fast the machine is, is no matter of these tests.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One daemon for all tests that need no state of their own."""
    found = Server(tmp_path_factory.mktemp("pachd")).start()
    yield found
    found.kill()


@pytest.fixture
def client(server: Server) -> Iterator[python_pachyderm.Client]:
    """A client of the shared daemon. Its pipelines go with the test: a cluster without a license has at most 16."""
    found = server.client()
    yield found
    for each in found.list_pipeline():
        found.delete_pipeline(each.pipeline.name, force=True, project_name=each.pipeline.project.name)


@pytest.fixture
def name() -> Callable[[str], str]:
    """Makes names that no other test uses."""
    suffix = uuid.uuid4().hex[:8]
    return lambda stem: f"{stem}-{suffix}"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts daemons of the test's own."""
    started: list[Server] = []

    def start(**options: str) -> Server:
        folder = tmp_path / f"pachd-{len(started)}"
        folder.mkdir()
        found = Server(folder, **options)
        started.append(found)
        return found.start()

    yield start
    for each in started:
        each.kill()


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """An interpreter that has pachyderm-sdk 2.8.

    By pip's rules it cannot share an environment with python-pachyderm, so it gets its own: the interpreter that
    ``PDK_SDK_PYTHON`` names, else ``.venv-sdk`` in the checkout, which is made when packages can be fetched.
    """
    named = os.environ.get("PDK_SDK_PYTHON")
    if named:
        return Path(named)
    folder = REPO / ".venv-sdk"
    python = folder / "bin" / "python"
    # The tests are shared out to several processes: one makes it, the others wait.
    with FileLock(f"{folder}.lock", timeout=2 * INSTALL_TIMEOUT_S):
        if not python.exists() or subprocess.run([python, "-c", "import pachyderm_sdk"]).returncode != 0:
            try:
                subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=INSTALL_TIMEOUT_S)
                install = [str(python), "-m", "pip", "install", "-q", SDK]
                subprocess.run(install, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"no environment with {SDK}, and none can be made: {error}")
    return python


@pytest.fixture
def run_sdk(server: Server, sdk_python: Path) -> Callable[..., str]:
    """Runs a script of this folder in the SDK's environment; its output."""

    def run(script: str, *arguments: str) -> str:
        environment = {key: text for key, text in os.environ.items() if not key.startswith("PACH")}
        path = Path(__file__).with_name(script)
        done = subprocess.run(
            [str(sdk_python), str(path), "127.0.0.1", str(server.ports["grpc"]), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


@pytest.fixture
def refused() -> Callable[[grpc.RpcError], tuple[str, str]]:
    """Code and words of an error."""
    return lambda error: (error.code().name, error.details())
