"""The common base of the model servers: process, environment, limits, readiness, and log."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from pdk_stack.common import logs
from pdk_stack.common.polling import poll
from pdk_stack.common.processes import ProcessGroup
from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.container_logs import keep_times, rotate
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded, last_error, reason_of
from pdk_stack.kubernetes.core.inference.resources import guard_memory

POLL_S = 0.05
STOP_SECONDS = 10.0
# Where failures are looked for: a server that fails says so at the end of its log.
LOG_LINES = 1000
#: Files in a server's folder for cleanup after a crash: its process, and the path of its scratch folder.
PROCESS_NOTE, SCRATCH_NOTE = "process.json", "scratch"
SCRATCH_PREFIX = "pdkts-"


def remove_scratch(home: Path) -> None:
    """Delete the scratch folder that a killed daemon left of a server.

    Args:
        home: The server's own folder.
    """
    with contextlib.suppress(OSError):
        scratch = Path((home / SCRATCH_NOTE).read_text())
        if scratch.name.startswith(SCRATCH_PREFIX):
            shutil.rmtree(scratch, ignore_errors=True)
        (home / SCRATCH_NOTE).unlink()


class ModelServer(ABC):
    """A local process that serves the models of one revision.

    Args:
        folder: The revision's folder, with the models in ``mnt/models``.
        home: The server's own folder, for its log and effective configuration.
        protocol: ``v1`` or ``v2``.
        environment: The predictor's own environment variables.
        memory_limit: Memory limit of the process and its children in bytes; 0 means no limit.

    Attributes:
        models: Names of the served models; empty when only the server knows them.
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
        self.process: ProcessGroup | None = None
        self._running: ProcessGroup | None = None
        self._killed_why = ""
        self._scratch: Path | None = None

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.running

    @property
    def log_path(self) -> Path:
        """The log of the server and its workers."""
        return self.home / "kserve-container.log"

    def start(self) -> None:
        """Start the server.

        Raises:
            ModelServerError: The model has no usable configuration or archive.
        """
        # Worker sockets are in TMPDIR, whose path must be short: a socket path is limited to about 100 bytes.
        short = "/tmp" if Path("/tmp").is_dir() else None
        self.home.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=short))
        (self.home / SCRATCH_NOTE).write_text(str(self._scratch))
        # Ignore log lines from earlier starts.
        rotate(self.log_path)
        self._killed_why = ""
        command = self.command(self._scratch)
        environment = self._process_environment(self._scratch)
        with self.log_path.open("wb") as sink:
            self.process = self._running = ProcessGroup(command, environment, folder=self._scratch, stdout=sink)
        self.process.note(self.home / PROCESS_NOTE)
        keep_times(self.log_path, self.process)
        if self.memory_limit:
            guard_memory(self.process.pid, self.memory_limit, self._kill)

    def _kill(self, used: int) -> None:
        """Kill the server for exceeding its memory limit, as the kernel does to a container."""
        limit = self.memory_limit / 2**20
        self._killed_why = f"it used {used / 2**20:.0f} MiB of memory; its limit is {limit:.0f} MiB"
        if self.process is not None:
            self.process.kill()

    @abstractmethod
    def command(self, scratch: Path) -> list[str]:
        """Return the server's command line.

        Args:
            scratch: A folder that is deleted with the process.
        """

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether every model is ready."""

    def lost_workers(self) -> str:
        """Return which models lack a worker although the process runs; empty for none, and where nobody can tell."""
        return ""

    @property
    def inference_headers(self) -> dict[str, str]:
        """Headers, by lowercase name, that every request to the inference port needs; known once it is ready."""
        return {}

    def load_failure(self) -> str:
        """Return why the model can never become ready; empty while it still can."""
        return ""

    def _process_environment(self, scratch: Path) -> dict[str, str]:
        """Return a minimal environment: an archive is untrusted code and must not see the stack's credentials."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        # One thread per worker avoids tail latencies of seconds on a shared machine.
        kept |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **self.environment}
        kept |= {"TMPDIR": str(scratch), "TEMP": str(scratch), "MPLCONFIGDIR": str(scratch)}
        kept["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each.endswith("site-packages"))
        return kept

    def wait_ready(self, timeout: float, given_up: Callable[[], bool] = lambda: False) -> None:
        """Wait until every model is ready.

        Args:
            timeout: Maximum wait in seconds.
            given_up: Returns whether the server is no longer wanted.

        Raises:
            ModelServerError: The server ended, a model failed to load, or the timeout expired.
            Superseded: The server is no longer wanted.
        """

        def ready() -> bool:
            if given_up():
                raise Superseded
            if not self.alive:
                raise self._ended()
            if self.is_ready():
                return True
            if failure := self.load_failure():
                raise ModelServerError(failure, reason=reason_of(self.log_text()))
            return False

        if not poll(ready, timeout, POLL_S):
            why = f"The model was not ready within {timeout:.0f} s: {last_error(self.log_text())}"
            raise ModelServerError(why, reason=Reason.TIMEOUT)

    def wait(self, seconds: float) -> bool:
        """Wait until the process ends, for a limited time; return whether it has ended."""
        return self.process is None or self.process.wait(seconds) is not None

    def wait_end(self) -> ModelServerError:
        """Wait until the process ends; return why."""
        if self.process is not None:
            self.process.wait()
        return self._ended()

    def _ended(self) -> ModelServerError:
        code = self.process.exit_code if self.process else None
        code = 1 if code is None else code
        if self._killed_why:
            return ModelServerError(f"{self.title} was killed: {self._killed_why}", 137, Reason.OOM_KILLED)
        log = self.log_text()
        why = f"{self.title} ended with exit code {code}: {last_error(log)}"
        return ModelServerError(why, code, reason_of(log, code))

    def log_text(self) -> str:
        """Return the end of the log of this server start."""
        return logs.tail(self.log_path, LOG_LINES)

    def warm_up(self, body: bytes, count: int = 2) -> None:
        """Send requests before traffic arrives, because TorchScript compiles during its first two calls.

        The answers don't matter; a model for other inputs can refuse them.
        """
        for model in self.models:
            path = f"/v1/models/{model}:predict" if self.protocol == "v1" else f"/v2/models/{model}/infer"
            for _ in range(count):
                request("POST", f"http://{LOOPBACK}:{self.inference_port}{path}", body, 30, self.inference_headers)

    def stop(self) -> None:
        """End the server and its workers."""
        running, self._running = self._running, None
        if running is not None:
            # Even after it has ended, because workers can outlive the front end.
            running.stop(STOP_SECONDS)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            (self.home / SCRATCH_NOTE).unlink(missing_ok=True)
            self._scratch = None


def accepts(port: int) -> bool:
    """Return whether a loopback port accepts connections."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2):
            return True
    except OSError:
        return False


def request(
    method: str, url: str, body: bytes | None = None, timeout: float = 5.0, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Send one HTTP request to a loopback server; code 0 means no answer."""
    given = {"Content-Type": "application/json", **(headers or {})}
    call = urllib.request.Request(url, data=body, headers=given, method=method)
    try:
        with urllib.request.urlopen(call, timeout=timeout) as answer:
            return int(answer.status), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
