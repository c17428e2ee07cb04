"""Real TorchServe: who can call its APIs, and what happens when its workers are lost."""

from __future__ import annotations

import json
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pdk_stack.kubernetes.core.inference.servers.model_folder import read_properties
from pdk_stack.kubernetes.core.inference.servers.torchserve import KEY_FILE
from pdk_stack.kubernetes.core.inference.servers.warm_up import warm_up_body
from tests.stack.kubernetes.serving import NAMESPACE, Service, wait_for
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow


class Running:
    """The TorchServe process of a service, seen from the machine."""

    def __init__(self, cluster: ServiceProcess) -> None:
        assert cluster.process is not None
        children = psutil.Process(cluster.process.pid).children(recursive=True)
        (self.process,) = (each for each in children if "org.pytorch.serve.ModelServer" in each.cmdline())
        command = self.process.cmdline()
        properties = read_properties(Path(command[command.index("-f") + 1]))
        self.inference, self.management = properties["inference_address"], properties["management_address"]
        self.key_file = Path(self.process.cwd()) / KEY_FILE

    def key(self, api: str) -> str:
        return str(json.loads(self.key_file.read_text())[api]["key"])

    def predict(self, key: str = "") -> int:
        return call("POST", f"{self.inference}/v1/models/tiny:predict", key, warm_up_body())

    def scale(self, workers: int, key: str = "") -> int:
        url = f"{self.management}/models/tiny?min_worker={workers}&max_worker={workers}"
        return call("PUT", url, key)


def call(method: str, url: str, key: str = "", body: bytes | None = None) -> int:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.fixture
def service(cluster: ServiceProcess, api: Any, tiny_model: Path) -> Iterator[Service]:
    made = Service(cluster, api, "guarded")
    made.create(tiny_model.as_uri())
    made.wait_ready()
    yield made
    made.delete()


def test_only_the_stack_can_call_torchserve(service: Service, cluster: ServiceProcess) -> None:
    server = Running(cluster)
    for path, mode in ((server.key_file, 0o600), (server.key_file.parent, 0o700)):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (mode, os.getuid())
    assert [server.predict(key) for key in ("", "wrong", server.key("management"))] == [400, 400, 400]
    assert [server.scale(0, key) for key in ("", "wrong", server.key("inference"))] == [400, 400, 400]
    assert call("GET", f"{server.management}/models") == 400
    assert call("GET", f"{server.management}/token?type=management") == 400
    assert server.predict(server.key("inference")) == 200
    assert service.predict()[0] == 200
    # What a client sends for itself doesn't take the key's place.
    host = {"Host": f"{service.name}.{NAMESPACE}.example.com", "Authorization": "Bearer mine"}
    mine = urllib.request.Request(f"{cluster.ready['ingress']}/v1/models/tiny:predict", warm_up_body(), host)
    with urllib.request.urlopen(mine, timeout=30) as answer:
        assert answer.status == 200
    # The keys last as long as the server.
    assert json.loads(server.key_file.read_text())["inference"]["expiration time"] > "3000"


def test_a_service_without_workers_is_not_ready_until_they_are_back(
    service: Service, cluster: ServiceProcess, kubectl: Callable[..., str]
) -> None:
    server = Running(cluster)
    label = ("-l", "serving.kserve.io/inferenceservice=guarded")
    why = "TorchServe has no ready worker for tiny"

    def pod() -> list[str]:
        return kubectl("-n", NAMESPACE, "get", "pods", "--no-headers", *label).split()[1:4]

    def ready() -> dict[str, Any]:
        return next(each for each in service.status()["conditions"] if each["type"] == "Ready")

    assert server.scale(0, server.key("management")) == 202
    wait_for(lambda: ready()["status"] == "False", 60)
    assert why in ready()["message"]
    assert pod() == ["0/1", "Running", "0"]
    # The workers come back by themselves, or the server is started again.
    assert server.scale(1, server.key("management")) == 202
    wait_for(service.ready, 60)
    assert pod() == ["1/1", "Running", "0"]
    assert server.scale(0, server.key("management")) == 202
    wait_for(lambda: not service.ready(), 60)
    service.wait_ready()
    assert service.predict()[0] == 200
    assert pod() == ["1/1", "Running", "1"]
    assert Running(cluster).process.pid != server.process.pid
    described = kubectl("-n", NAMESPACE, "describe", "pods", *label)
    assert f"Readiness probe failed: {why}" in described
    assert "Last State:     Terminated" in described
    assert f"guarded-predictor-00001: {why}" in kubectl("-n", NAMESPACE, "describe", "isvc", "guarded")
