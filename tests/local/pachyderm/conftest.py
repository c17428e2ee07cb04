from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import python_pachyderm

from tests.local.pachyderm.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One daemon for all tests that need no state of their own."""
    found = Server(tmp_path_factory.mktemp("pachd")).start()
    yield found
    found.kill()


@pytest.fixture
def client(server: Server) -> python_pachyderm.Client:
    return server.client()


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


@pytest.fixture
def refused() -> Callable[[grpc.RpcError], tuple[str, str]]:
    """Code and words of an error."""
    return lambda error: (error.code().name, error.details())
