"""What the model servers have in common: the model's folder, the process, readiness, the log."""

from __future__ import annotations

import contextlib
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
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdk_nb.local.service import LOOPBACK

POLL_S = 0.05
STOP_SECONDS = 10.0


class ModelServerError(Exception):
    """The model server cannot serve the model; the text says why."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Superseded(Exception):
    """A newer revision has been asked for; this one is not needed any more."""


def read_properties(path: Path) -> dict[str, str]:
    """Read a Java properties file of ``key=value`` lines."""
    properties = {}
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "!")) and "=" in stripped:
            key, _, value = stripped.partition("=")
            properties[key.strip()] = value.strip()
    return properties


class ModelFolder:
    """A model as KServe's TorchServe runtime wants it: ``config/config.properties`` and archives.

    Args:
        mount: What a pod would see as ``/mnt/models``.

    Attributes:
        properties: The configuration.
        archives: Archive file by model name.
        store: The folder of the archives.

    Raises:
        ModelServerError: There is no configuration, it cannot be read, or an archive is missing.
    """

    def __init__(self, mount: Path) -> None:
        source = mount / "config" / "config.properties"
        if not source.is_file():
            raise ModelServerError(f"The model has no config/config.properties; it holds {listing(mount)}.")
        self.properties = read_properties(source)
        try:
            models = json.loads(self.properties["model_snapshot"])["models"]
            names = {model: entry["marName"] for model, versions in models.items() for entry in versions.values()}
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ModelServerError(f"model_snapshot in config.properties cannot be read: {error}") from error
        if not names:
            raise ModelServerError("model_snapshot in config.properties names no model.")
        wanted = self.properties.get("model_store", "/mnt/models/model-store")
        inside = wanted.startswith("/mnt/models")
        self.store = mount / wanted.removeprefix("/mnt/models").lstrip("/") if inside else Path(wanted)
        if not all((self.store / name).is_file() for name in names.values()):
            # KServe 0.11 to 0.14 may put the archive one folder up (kserve#4112).
            folders = [path.parent for path in mount.rglob(next(iter(names.values())))]
            fitting = (each for each in folders if all((each / name).is_file() for name in names.values()))
            self.store = next(fitting, self.store)
        missing = [name for name in names.values() if not (self.store / name).is_file()]
        if missing:
            raise ModelServerError(
                f"Archive {missing[0]} is not in {self.store.name}; the model holds {listing(mount)}."
            )
        self.archives = {model: self.store / name for model, name in names.items()}


class ModelServer(ABC):
    """One local process that serves the models of one revision.

    Args:
        folder: The revision's folder; the models lie in ``mnt/models`` below it.
        protocol: ``v1`` or ``v2``.
        environment: The predictor's own environment variables.
    """

    title = "The model server"

    def __init__(self, folder: Path, protocol: str = "v1", environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.protocol = protocol
        self.environment = environment or {}
        self.models: list[str] = []
        self.inference_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._scratch: Path | None = None
        self._log_start = 0

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_path(self) -> Path:
        """The log of the server and its workers."""
        return self.folder / "kserve-container.log"

    def start(self) -> None:
        """Start the server.

        Raises:
            ModelServerError: The model has no usable configuration or archive.
        """
        model = ModelFolder(self.folder / "mnt" / "models")
        self.models = list(model.archives)
        # Worker sockets lie in TMPDIR, and a socket path holds about 100 bytes: it has to be short.
        short = "/tmp" if Path("/tmp").is_dir() else None
        self._scratch = Path(tempfile.mkdtemp(prefix="pdkts-", dir=short))
        # What an earlier start wrote is not this one's trouble.
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        command = self.command(model, self._scratch)
        with self.log_path.open("ab") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=self._scratch,
                env=self._process_environment(self._scratch),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    @abstractmethod
    def command(self, model: ModelFolder, scratch: Path) -> list[str]:
        """The command line of the server.

        Args:
            model: What it serves.
            scratch: A folder that goes with the process.
        """

    @abstractmethod
    def is_ready(self, model: str) -> bool:
        """Whether a model can be asked."""

    def load_failure(self) -> str:
        """Why the model will never be ready; empty as long as it may be."""
        return ""

    def _process_environment(self, scratch: Path) -> dict[str, str]:
        """A small environment: an archive is somebody's code and has no business with our credentials."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        # One thread a worker removes latency tails of seconds on a shared machine.
        kept |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **self.environment}
        kept |= {"TMPDIR": str(scratch), "TEMP": str(scratch), "MPLCONFIGDIR": str(scratch)}
        kept["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each.endswith("site-packages"))
        return kept

    def wait_ready(self, timeout: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Wait until every model can be asked.

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
            if not self.alive:
                code = self.process.returncode if self.process else 1
                raise ModelServerError(f"{self.title} ended with exit code {code}: {self.last_error()}", code)
            if all(self.is_ready(model) for model in self.models):
                return
            if failure := self.load_failure():
                raise ModelServerError(failure)
            time.sleep(POLL_S)
        raise ModelServerError(f"No worker was ready within {timeout:.0f} s: {self.last_error()}")

    def log_text(self) -> str:
        """What this start of the server has written."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def last_error(self) -> str:
        """The last line of the log that says what went wrong."""
        lines = self.log_text().splitlines()
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
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None


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


def listing(folder: Path) -> str:
    names: list[Any] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return ", ".join(names[:8]) or "nothing"
