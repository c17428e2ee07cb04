"""A real daemon process for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import python_pachyderm

REPO = Path(__file__).resolve().parents[3]
START_TIMEOUT_S = 60.0


class Server:
    """One daemon with its state folder; may be killed and started again on the same ports."""

    def __init__(self, folder: Path, token: str = "", **flags: str) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.token = token
        self.flags = flags
        self.ports = {"grpc": 0, "s3": 0}
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder / "daemon.log"
        credentials = folder / "credentials.json"
        credentials.write_text(json.dumps({"root_token": token}))
        credentials.chmod(0o600)
        self.credentials = credentials

    def start(self) -> Server:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pdk_stack.pachyderm"]
        command += ["--state-dir", str(self.state), "--credentials-file", str(self.credentials)]
        command += ["--ready-file", str(ready)]
        for name, port in self.ports.items():
            command += [f"--{name}-port", str(port)]
        for flag, value in self.flags.items():
            command += [f"--{flag.replace('_', '-')}", value]
        environment = {**os.environ, "PYTHONPATH": str(REPO)}
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment, cwd=REPO
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the daemon did not start:\n{self.log.read_text()}")
            time.sleep(0.02)
        found = json.loads(ready.read_text())
        for name, key in (("grpc", "pachd"), ("s3", "s3")):
            self.ports[name] = urlsplit(found[key]).port or 0
        return self

    @property
    def s3(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3']}"

    def client(self, token: str | None = None) -> python_pachyderm.Client:
        chosen = self.token if token is None else token
        return python_pachyderm.Client("127.0.0.1", self.ports["grpc"], auth_token=chosen or None)

    def kill(self) -> None:
        """SIGKILL: the daemon has no chance to clean up."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """SIGTERM, as the supervisor does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        finally:
            self.kill()
