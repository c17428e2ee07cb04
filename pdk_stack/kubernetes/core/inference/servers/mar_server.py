"""Serves a TorchServe archive with KServe's Python model server: the same handler and answers, without Java.

Run as ``python -m <this module> NAME ARCHIVE FOLDER PORT PROTOCOL INSTALL``. TorchServe's Python loader and KServe
envelopes do the work of its worker process; KServe's server handles HTTP.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ENVELOPES = {"v1": "kserve", "v2": "kservev2"}


class NoMetrics:
    """Discards handlers' metrics, because there is no TorchServe front end to collect them."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_more: None


def install(requirements: Path, folder: Path) -> None:
    """Install an archive's requirements into its folder, with TorchServe's own options (``ModelManager.java``).

    Raises:
        RuntimeError: pip failed.
    """
    command = [sys.executable, "-m", "pip", "install", "-U", "-t", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    print(done.stdout + done.stderr, flush=True)
    if done.returncode:
        errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR: ")]
        raise RuntimeError(f"Custom pip package installation failed: {errors[0] if errors else 'see the log'}")


def load(name: str, archive: Path, folder: Path, protocol: str, *, with_packages: bool) -> Any:
    """Unpack an archive and load its handler as TorchServe's worker does.

    Args:
        name: The model's name.
        archive: The ``.mar`` file.
        folder: Where to unpack it.
        protocol: ``v1`` or ``v2``.
        with_packages: Whether to install the archive's requirements.
    """
    from ts.model_loader import ModelLoaderFactory

    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())["model"]
    if with_packages and manifest.get("requirementsFile"):
        install(folder / manifest["requirementsFile"], folder)
    sys.path.insert(0, str(folder))
    loader = ModelLoaderFactory.get_model_loader()
    return loader.load(name, str(folder), manifest["handler"], None, 1, ENVELOPES[protocol], True, None)


def serve(name: str, archive: Path, folder: Path, port: int, protocol: str, *, with_packages: bool) -> None:
    """Load the model, then serve it on loopback until SIGTERM."""
    from kserve import InferRequest, Model, ModelServer
    from kserve.errors import InvalidInput
    from kserve.protocol.rest.server import UvicornServer
    from ts.context import RequestProcessor
    from ts.utils.util import PredictionException

    service = load(name, archive, folder, protocol, with_packages=with_packages)
    # One request at a time, like TorchServe's single worker.
    worker = ThreadPoolExecutor(1)

    def predict(body: dict[str, Any], headers: dict[str, str]) -> Any:
        context = service.context
        context.request_ids = {0: str(uuid.uuid4())}
        context.request_processor = [RequestProcessor(headers)]
        context.metrics = NoMetrics()
        return service._entry_point([{"body": body}], context)[0]

    class MarModel(Model):
        """The archive's handler as a KServe model."""

        async def predict(self, payload: Any, headers: dict[str, str] | None = None, *_: Any, **__: Any) -> Any:
            if isinstance(payload, InferRequest):
                payload = payload.to_rest()
            field = "instances" if protocol == "v1" else "inputs"
            if not isinstance(payload, dict) or not isinstance(payload.get(field), list):
                raise InvalidInput(f'Expected "{field}" to be a list')
            try:
                return await asyncio.get_running_loop().run_in_executor(worker, predict, payload, headers or {})
            except PredictionException as error:
                raise InvalidInput(error.message) from error

    model = MarModel(name)
    model.ready = True
    server = ModelServer(http_port=port, enable_grpc=False, enable_docs_url=False)
    server.register_model(model)
    rest = UvicornServer(port, None, server.dataplane, server.model_repository_extension, False, log_config=None)
    # KServe's own start() listens on all interfaces.
    rest.cfg.host = "127.0.0.1"
    print(f"{name} is loaded; listening on port {port}", flush=True)
    rest.run_sync()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    # KServe's module parses the command line on import.
    sys.argv[1:] = []
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    name, archive, folder, port, protocol, packages = arguments
    serve(name, Path(archive), Path(folder), int(port), protocol, with_packages=packages == "true")
