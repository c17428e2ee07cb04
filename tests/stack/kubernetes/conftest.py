"""A running embedded Kubernetes, its clients, and a tiny model to serve."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from tests.support.processes import ServiceProcess

CREDENTIALS = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}

HANDLER = """
from ts.torch_handler.image_classifier import ImageClassifier


class Handler(ImageClassifier):
    def postprocess(self, data):
        return data.argmax(1).tolist()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess("kubernetes", tmp_path_factory.mktemp("kubernetes"), CREDENTIALS)
    yield service.start()
    service.stop()


@pytest.fixture(scope="module")
def api(cluster: ServiceProcess) -> Any:
    client = kubernetes.config.new_client_from_config(config_file=cluster.ready["kubeconfig"])
    core = kubernetes.client.CoreV1Api(client)
    core.create_namespace({"metadata": {"name": "models"}})
    return client


@pytest.fixture(scope="module")
def kubectl(cluster: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    executable = shutil.which("kubectl")
    if not executable:
        pytest.skip("kubectl is not installed")
    # kubectl caches discovery under HOME per address, and ports come again.
    home = tmp_path_factory.mktemp("home")

    def call(*arguments: str, text: str = "", code: int = 0, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [executable, "--kubeconfig", cluster.ready["kubeconfig"], *arguments],
            input=text,
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(home), **(environment or {})},
            timeout=90,
        )
        assert done.returncode == code, f"{arguments}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    return call


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as KServe wants it: a classifier of two classes that learned nothing."""
    import torch

    folder = tmp_path_factory.mktemp("model")
    (folder / "config").mkdir()
    (folder / "model-store").mkdir()

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return self.linear(pictures.mean((2, 3)))

    torch.jit.save(torch.jit.trace(Mean().eval(), torch.zeros(1, 3, 8, 8)), folder / "model.pt")
    (folder / "handler.py").write_text(HANDLER)
    subprocess.run(
        [Path(sys.executable).parent / "torch-model-archiver", "--model-name", "tiny", "--version", "1"]
        + ["--serialized-file", folder / "model.pt", "--handler", folder / "handler.py"]
        + ["--export-path", folder / "model-store"],
        check=True,
        capture_output=True,
    )
    entry = {"defaultVersion": True, "marName": "tiny.mar", "minWorkers": 1, "maxWorkers": 1, "batchSize": 1}
    entry |= {"maxBatchDelay": 50, "responseTimeout": 60}
    snapshot = {"name": "startup.cfg", "modelCount": 1, "models": {"tiny": {"1": entry}}}
    properties = f"model_store=/mnt/models/model-store\nmodel_snapshot={json.dumps(snapshot)}\n"
    (folder / "config" / "config.properties").write_text(properties)
    return folder
