"""What the model servers have in common: the process, its environment and limits, readiness, the log."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
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

from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.container_logs import keep_times, rotate
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded, reason_of
from pdk_stack.kubernetes.core.inference.resources import guard_memory
from pdk_stack.kubernetes.core.inference.servers.model_folder import ModelFolder

POLL_S = 0.05
PYTHON_ERROR = re.compile(r"(?!java\.|org\.|io\.)[\w.]+(Error|Exception)\b(:|$)")
# Not a line of a stack trace, and not what Java says of the worker's end.
ERROR = re.compile(r"(?!at |io\.netty).*(Error|Exception)")
STOP_SECONDS = 10.0


class ModelServer(ABC):
    """One local process that serves the models of one revision.

    Args:
        folder: The revision's folder; the models lie in ``mnt/models`` below it.
        home: The server's own folder, for its log and its effective configuration.
        protocol: ``v1`` or ``v2``.
        environment: The predictor's own environment variables.
        memory_limit: Bytes that the process and its children may use; 0 for no limit.

    Attributes:
        models: Names of the models that it serves; empty when only the server itself knows them.
    """

    title = "The model server"

    def __init__(
        self,
        folder: Path,
        home: Path,
        protocol: str = "v1",
        environment: dict[str, str] | None = None,
        memory_limit: int = 0,
    ) -> None:
        self.folder = folder
        self.home = home
        self.protocol = protocol
        self.environment = environment or {}
        self.memory_limit = memory_limit
        self.models: list[str] = []
        self.inference_port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._killed_why = ""
        self._scratch: Path | None = None

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def log_path(self) -> Path:
        """The log of the server and its workers."""
        return self.home / "kserve-container.log"

    def start(self) -> None:
        """Start the server.

        Raises:
            ModelServerError: The model has no usable configuration or archive.
        """
        # Worker sockets lie in TMPDIR, and a socket path holds about 100 bytes: it has to be short.
        short = "/tmp" if Path("/tmp").is_dir() else None
        self._scratch = Path(tempfile.mkdtemp(prefix="pdkts-", dir=short))
        self.home.mkdir(parents=True, exist_ok=True)
        # What an earlier start wrote is not this one's trouble.
        rotate(self.log_path)
        self._killed_why = ""
        command = self.command(self._scratch)
        with self.log_path.open("wb") as sink:
            self.process = subprocess.Popen(
                command,
                cwd=self._scratch,
                env=self._process_environment(self._scratch),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        keep_times(self.log_path, self.process)
        if self.memory_limit:
            guard_memory(self.process.pid, self.memory_limit, self._kill)

    def _kill(self, used: int) -> None:
        """The kernel does this to a container that uses more than its limit."""
        limit = self.memory_limit / 2**20
        self._killed_why = f"it used {used / 2**20:.0f} MiB of memory; its limit is {limit:.0f} MiB"
        if self.process is not None:
            kill_group(self.process)

    @abstractmethod
    def command(self, scratch: Path) -> list[str]:
        """The command line of the server.

        Args:
            scratch: A folder that goes with the process.
        """

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether every model can be asked."""

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
                raise self._ended()
            if self.is_ready():
                return
            if failure := self.load_failure():
                raise ModelServerError(failure, reason=reason_of(self.log_text()))
            time.sleep(POLL_S)
        why = f"The model was not ready within {timeout:.0f} s: {self.last_error()}"
        raise ModelServerError(why, reason=Reason.TIMEOUT)

    def wait_end(self) -> ModelServerError:
        """Wait until the process ends; why it did."""
        if self.process is not None:
            self.process.wait()
        return self._ended()

    def _ended(self) -> ModelServerError:
        code = self.process.returncode if self.process else 1
        if self._killed_why:
            return ModelServerError(f"{self.title} was killed: {self._killed_why}", 137, Reason.OOM_KILLED)
        reason = reason_of(self.log_text(), code)
        return ModelServerError(f"{self.title} ended with exit code {code}: {self.last_error()}", code, reason)

    def log_text(self) -> str:
        """What this start of the server has written."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def last_error(self) -> str:
        """The last line of the log that says what went wrong; Python's own words before the front end's."""
        lines = self.log_text().splitlines()
        told = [line.rsplit(" - ", 1)[-1].strip() for line in lines]
        errors = [each for each in told if PYTHON_ERROR.match(each)] or [each for each in told if ERROR.match(each)]
        found = errors or lines[-1:] or ["no output"]
        return found[-1][:400]

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


class ArchiveServer(ModelServer):
    """A server of TorchServe archives with their ``config.properties``."""

    def command(self, scratch: Path) -> list[str]:
        """The command line for the archives of the model's folder.

        Raises:
            ModelServerError: The folder has no usable configuration or archive.
        """
        model = ModelFolder(self.folder / "mnt" / "models")
        self.models = list(model.archives)
        return self.archive_command(model, scratch)

    @abstractmethod
    def archive_command(self, model: ModelFolder, scratch: Path) -> list[str]:
        """The command line of the server.

        Args:
            model: What it serves.
            scratch: A folder that goes with the process.
        """

    def is_ready(self) -> bool:
        """Whether every model can be asked."""
        return all(self.is_model_ready(model) for model in self.models)

    @abstractmethod
    def is_model_ready(self, model: str) -> bool:
        """Whether a model can be asked."""


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
    kill_group(process)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process and its whole group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def accepts(port: int) -> bool:
    """Whether a loopback port is open."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2):
            return True
    except OSError:
        return False


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
