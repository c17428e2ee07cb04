"""A master as a process of its own, reached by the official client only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.processes import ServiceProcess

EXPERIMENTS = Path(__file__).with_name("experiments")
ADMIN_PASSWORD, USER_PASSWORD = "Admin-pass-1", "User-pass-1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The client warns about parts of itself."""
    here = Path(__file__).parent
    for item in items:
        if here in Path(item.fspath).parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(autouse=True, scope="session")
def client_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The client's token cache, apart from the user's own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DET_DEBUG_CONFIG_PATH", str(tmp_path_factory.mktemp("client")))
    for name in ("DET_MASTER", "DET_USER", "DET_PASS", "DET_USER_TOKEN"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """One master for all tests that leave it usable."""
    process = new_master(tmp_path_factory.mktemp("master")).start()
    yield process
    process.stop()


def new_master(folder: Path, *arguments: str) -> ServiceProcess:
    """A master that is not started yet."""
    credentials = {"admin_password": ADMIN_PASSWORD, "user_password": USER_PASSWORD}
    return ServiceProcess("determined", folder, credentials, ["--slots", "2", *arguments])


def connect(process: ServiceProcess) -> Any:
    """The official client, logged in."""
    from determined.experimental import Determined

    return Determined(process.ready["determined"], "determined", USER_PASSWORD)


Ask = Callable[..., tuple[int, Any]]


def as_admin(process: ServiceProcess) -> Ask:
    """Return a function that asks as the administrator, without the client: method, path below /api/v1, body."""
    address = f"{process.ready['determined']}/api/v1/"
    login = {"username": "admin", "password": ADMIN_PASSWORD}
    token = requests.post(f"{address}auth/login", json=login, timeout=5).json()["token"]

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        reply = requests.request(method, address + path, json=body, headers=headers, timeout=10)
        try:
            return reply.status_code, reply.json()
        except ValueError:
            return reply.status_code, reply.text

    return ask


@pytest.fixture
def client(master: ServiceProcess) -> Any:
    return connect(master)


def tiny(batches: int = 20, **changes: Any) -> dict[str, Any]:
    """A configuration that trains in a moment."""
    config: dict[str, Any] = {
        "name": "tiny",
        "entrypoint": "python3 -m determined.exec.harness model_def:LineTrial",
        "hyperparameters": {"learning_rate": 0.1, "global_batch_size": 8},
        "searcher": {"name": "single", "metric": "validation_loss", "max_length": {"batches": batches}},
        "min_validation_period": {"batches": 10},
        "scheduling_unit": 5,
        "max_restarts": 0,
    }
    return {**config, **changes}


def wait_for(condition: Callable[[], Any], seconds: float = 60.0, what: str = "the condition") -> Any:
    """Poll until a condition holds, and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come true within {seconds:.0f} s")


def wait_end(experiment: Any, seconds: float = 240.0) -> str:
    """Wait for an experiment's end; the client's own wait polls every five seconds."""

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        experiment.reload()
        name = experiment.state.name
        if name in ("COMPLETED", "CANCELED", "ERROR"):
            return str(name)
        time.sleep(0.2)
    raise AssertionError(f"experiment {experiment.id} did not end: {experiment.state}")
