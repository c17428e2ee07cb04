"""Start an embedded service as a process, as the supervisor does, and end it after the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

READY_SECONDS = 60.0


class ServiceProcess:
    """One ``python -m pdk_stack.<name>`` on free ports.

    Args:
        name: The service.
        folder: Folder for its state, credentials and log.
        credentials: Its secrets.
        arguments: Its own command line arguments.
    """

    def __init__(self, name: str, folder: Path, credentials: dict[str, str], arguments: Sequence[str] = ()) -> None:
        self.name = name
        self.folder = folder
        self.arguments = list(arguments)
        self.credentials = credentials
        self.ready: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> ServiceProcess:
        self.folder.mkdir(parents=True, exist_ok=True)
        secrets, ready = self.folder / f"{self.name}-credentials.json", self.folder / f"{self.name}-ready.json"
        secrets.write_text(json.dumps(self.credentials))
        secrets.chmod(0o600)
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", f"pdk_stack.{self.name}", "--state-dir", str(self.folder / self.name)]
        command += ["--credentials-file", str(secrets), "--ready-file", str(ready), *self.arguments]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PACH", "DET_", "KUBECONFIG"))
        }
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment, start_new_session=True
            )
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            assert self.process.poll() is None, f"{self.name} ended:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)
        self.ready = json.loads(ready.read_text())
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """As a crash or the out-of-memory killer does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.alive:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def heed_interrupts() -> None:
    """Heed SIGINT from here on, also where a shell started the tests in its background and had it ignored.

    Child processes inherit an ignored signal. ``preexec_fn`` could fix that in the child alone, but Python code
    between fork and exec is not safe in a process with threads.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
