"""One embedded service as a child process: start, wait until ready, restart, and stop."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event

from pdk_shared.errors import StackError
from pdk_stack.common.logs import rotate, tail
from pdk_stack.common.polling import poll
from pdk_stack.common.processes import ProcessGroup
from pdk_stack.common.service import write_private
from pdk_stack.paths import StatePaths
from pdk_stack.services import SERVICES

__all__ = ["ServiceProcess", "service_environment"]

log = logging.getLogger(__name__)

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LAST_WORDS = 12
# Pause before a dead service restarts.
MIN_PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
# Variables that would affect the platforms' clients.
DROPPED_VARIABLES = ("PACH", "PPS_", "DET_", "KUBECONFIG", "AWS_", "GOOGLE_APPLICATION", "S3_", "TS_", "PDK_PFS")


class ServiceProcess:
    """One service of one state folder.

    Args:
        name: The service.
        paths: The state folder's files.
        ports: Port by ``<service>.<listener>``; 0 lets the system choose.
        arguments: The service's own arguments.
        environment: The service's complete environment.
    """

    def __init__(
        self,
        name: str,
        paths: StatePaths,
        ports: Mapping[str, int],
        arguments: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self._paths = paths
        self._ports = {listener: ports.get(f"{name}.{listener}", 0) for listener in SERVICES[name].listeners}
        self._arguments = arguments
        self._environment = environment
        self._log = paths.log(name)
        self._process: ProcessGroup | None = None
        self._started = 0.0
        self._answers_since: float | None = None
        self._next_start: float | None = None
        self._pause = 0.0

    def start(self) -> None:
        """Start the process in its own process group, with its own log."""
        paths = self._paths
        command = [sys.executable, "-m", f"pdk_stack.{self.name}", "--state-dir", str(paths.service(self.name))]
        command += ["--credentials-file", str(paths.service_credentials(self.name))]
        command += ["--ready-file", str(paths.ready(self.name)), *self._arguments]
        for listener, port in self._ports.items():
            command += [f"--{listener}-port", str(port)]
        paths.ready(self.name).unlink(missing_ok=True)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        log.info("starting %s", self.name)
        self._started = time.monotonic()
        with self._log.open("ab") as sink:
            self._process = ProcessGroup(command, self._environment, stdout=sink)

    def wait_ready(self, ended: Event) -> dict[str, str]:
        """Wait until the service answers, and pin its ports, so that clients find it after a restart.

        Args:
            ended: Set when the stack must stop.

        Returns:
            The addresses that the service announces.

        Raises:
            StackError: The service ended or did not answer in time, or the stack must stop.
        """
        found = poll(self._announced, READY_TIMEOUT_S, stop=ended)
        if found is None:
            raise StackError(
                f"{self.name} did not answer within {READY_TIMEOUT_S:.0f} s:\n{tail(self._log, LAST_WORDS)}",
                where=str(self._log),
                fix="pdk-nb down, then pdk-nb up",
            )
        log.info("%s is ready", self.name)
        self._answers_since = time.monotonic()
        for listener, key in SERVICES[self.name].listeners.items():
            self._ports[listener] = int(found[key].rsplit(":", 1)[1])
        return found

    def _announced(self) -> dict[str, str] | None:
        try:
            content = json.loads(self._paths.ready(self.name).read_text())
        except (OSError, ValueError):
            if self._process is not None and not self._process.running:
                raise StackError(
                    f"{self.name} ended with exit code {self._process.exit_code} while starting:\n"
                    f"{tail(self._log, LAST_WORDS)}",
                    where=str(self._log),
                    fix="Fix what the log reports, then: pdk-nb up",
                ) from None
            return None
        return {str(key): str(value) for key, value in content.items()}

    def look_after(self) -> None:
        """Keep the log below its size, and restart the process if it died. Never waits.

        The pause before a restart doubles with every death, from 1 s to 60 s. A process that answers for 60 s resets it
        to 1 s.
        """
        with contextlib.suppress(OSError):
            rotate(self._log)
        try:
            self._watch()
        except OSError as error:  # for example a full disk: keep the other services running, and retry later
            self._plan_restart(f"not started: {error}")

    def _watch(self) -> None:
        now = time.monotonic()
        if self._next_start is not None:
            if now >= self._next_start:
                self._next_start = None
                self.start()
            return
        if self._process is None:
            return
        if not self._process.running:
            self._plan_restart(_ending(self._process.exit_code))
        elif self._answers_since is not None:
            if now - self._answers_since > MAX_PAUSE_S:
                self._pause = 0.0
        elif self._paths.ready(self.name).exists():
            log.info("%s is ready again", self.name)
            self._answers_since = now
            with contextlib.suppress(OSError):
                self._paths.death(self.name).unlink(missing_ok=True)
        elif now - self._started > READY_TIMEOUT_S:
            self._process.kill()
            self._plan_restart(f"did not answer within {READY_TIMEOUT_S:.0f} s")

    def _plan_restart(self, reason: str) -> None:
        self._pause = min(MAX_PAUSE_S, 2 * self._pause or MIN_PAUSE_S)
        self._next_start = time.monotonic() + self._pause
        self._answers_since = None
        log.warning("%s: %s; restarting in %.0f s", self.name, reason, self._pause)
        words = " ".join(tail(self._log, 3).split())
        with contextlib.suppress(OSError):
            self._paths.ready(self.name).unlink(missing_ok=True)
            death = {"reason": reason, "next_start": time.time() + self._pause, "log": words}
            write_private(self._paths.death(self.name), json.dumps(death))

    def stop(self) -> None:
        """Terminate the process; kill it if it doesn't end in time."""
        if self._process is not None and self._process.stop(STOP_TIMEOUT_S) == -signal.SIGKILL:
            log.warning("%s did not stop and was killed", self.name)


def _ending(code: int | None) -> str:
    """Describe how a process ended."""
    if code is not None and code < 0:
        return f"killed by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
    return f"exit code {code}"


def service_environment() -> dict[str, str]:
    """Return the user's environment without variables that would affect the platforms' clients."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(DROPPED_VARIABLES)}
    # The package also runs from a checkout without installation.
    root = str(Path(__file__).resolve().parents[1])
    folders = dict.fromkeys([root, *kept.get("PYTHONPATH", "").split(os.pathsep)])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, folders))
    kept["NO_PROXY"] = kept["no_proxy"] = ",".join(filter(None, [kept.get("no_proxy"), "127.0.0.1,localhost"]))
    return kept
