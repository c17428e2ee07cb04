"""The supervisor: one process that starts the embedded services, restarts what dies, and stops them in order.

Started detached by :mod:`pdk_stack.stack` as ``python -m pdk_stack.supervisor``. It holds a lock for
as long as it lives, so that one state folder never has two stacks.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pdk_shared.errors import PdkError, StackError
from pdk_stack.common.service import write_private
from pdk_stack.credentials import ensure_credentials
from pdk_stack.paths import StatePaths
from pdk_stack.seed import seed_cluster

log = logging.getLogger("pdk_stack.supervisor")

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
POLL_S = 0.05
# A service that dies this often within the window is broken, not unlucky.
MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0

LISTENERS: dict[str, tuple[str, ...]] = {
    "kubernetes": ("api", "ingress"),
    "pachyderm": ("grpc", "s3"),
    "determined": ("master",),
}


@dataclass
class Service:
    """One embedded service and its process."""

    name: str
    command: list[str]
    ready_file: Path
    log_file: Path
    process: subprocess.Popen[bytes] | None = None
    deaths: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_RESTARTS))
    restarts: int = 0

    def start(self, environment: dict[str, str]) -> None:
        """Start the process with its own process group and log."""
        self.ready_file.unlink(missing_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as sink:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=environment,
                start_new_session=True,
            )

    def addresses(self) -> dict[str, str] | None:
        """What the service announced, or None while it does not answer yet."""
        try:
            content = json.loads(self.ready_file.read_text())
        except (OSError, ValueError):
            return None
        return {str(key): str(value) for key, value in content.items()}

    def last_words(self) -> str:
        """The end of its log, for the person who has to mend it."""
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-12:])

    def stop(self) -> None:
        """End the process: politely, then not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            log.warning("%s does not stop; killing it", self.name)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Supervisor:
    """Runs the services of one state folder.

    Args:
        paths: The state folder's files.
        checkout: The checkout whose images and examples are run.
        ports: Port by ``<service>.<listener>``; 0 lets the system choose.
    """

    def __init__(self, paths: StatePaths, checkout: Path, ports: dict[str, int]) -> None:
        self.paths = paths
        self.checkout = checkout
        self.ports = ports
        self.credentials = ensure_credentials(paths)
        self.ended = threading.Event()
        self.environment = service_environment()
        self.services = {name: self._service(name) for name in LISTENERS}

    def _service(self, name: str) -> Service:
        paths = self.paths
        command = [sys.executable, "-m", f"pdk_stack.{name}", "--state-dir", str(paths.service(name))]
        command += ["--credentials-file", str(paths.service_credentials(name))]
        command += ["--ready-file", str(paths.ready(name))]
        for listener in LISTENERS[name]:
            command += [f"--{listener}-port", str(self.ports.get(f"{name}.{listener}", 0))]
        if name == "pachyderm":
            command += ["--kubeconfig", str(paths.worker_kubeconfig)]
            command += ["--images-file", str(self._images_file())]
            command += ["--worker-env-file", str(self._worker_env_file())]
        return Service(name, command, paths.ready(name), paths.log(name))

    def _images_file(self) -> Path:
        """Which local folder stands for which pipeline image; the state folder's ``images.json`` has the last word."""
        target = self.paths.root / "run" / "images.json"
        known = {
            f"pdk-lab-{stage}": {
                "workdir": str(self.checkout / "images" / stage),
                "path": [str(Path(sys.executable).parent)],
            }
            for stage in ("train", "deploy")
        }
        own = self.paths.own_images
        if own.is_file():
            try:
                known.update(json.loads(own.read_text()))
            except ValueError as error:
                raise StackError(f"The list of images is not JSON: {error}", where=str(own)) from error
        write_private(target, json.dumps(known, indent=1))
        return target

    def _worker_env_file(self) -> Path:
        """What a cluster gives its workers through the pod: the service account, and the image's package."""
        target = self.paths.root / "private" / "worker-env.json"
        environment = {
            "KUBECONFIG": str(self.paths.worker_kubeconfig),
            "PYTHONPATH": str(self.checkout),
            "PYTHONUNBUFFERED": "1",
            # Several workers share this machine: threads shall sleep while they wait, not spin.
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        write_private(target, json.dumps(environment))
        return target

    def start(self) -> dict[str, str]:
        """Start all services and put the administrator's objects on the cluster.

        Returns:
            The stack's addresses.

        Raises:
            StackError: A service ended or did not answer in time.
        """
        addresses: dict[str, str] = {}
        # Kubernetes first: the others read their secrets from it.
        for names in (("kubernetes",), ("pachyderm", "determined")):
            for name in names:
                log.info("starting %s", name)
                self.services[name].start(self.environment)
            for name in names:
                addresses.update(self._wait_ready(self.services[name]))
        addresses.pop("pid", None)
        seed_cluster(self.paths.kubeconfig, addresses, self.credentials, self.checkout)
        self._write_pachyderm_config(addresses["pachd"])
        announced = {key: addresses[key] for key in ("pachd", "determined", "kubernetes", "ingress", "s3")}
        announced |= {"kubeconfig": str(self.paths.kubeconfig), "state_dir": str(self.paths.root)}
        write_private(self.paths.announcement, json.dumps({**announced, "supervisor_pid": os.getpid()}))
        return announced

    def _wait_ready(self, service: Service) -> dict[str, str]:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline and not self.ended.is_set():
            found = service.addresses()
            if found is not None:
                log.info("%s answers", service.name)
                return found
            if service.process is not None and service.process.poll() is not None:
                raise StackError(
                    f"{service.name} ended with exit code {service.process.returncode} while starting:\n"
                    f"{service.last_words()}",
                    where=str(service.log_file),
                    fix="Mend what the log says, then: pdk-nb up",
                )
            time.sleep(POLL_S)
        raise StackError(
            f"{service.name} did not answer within {READY_TIMEOUT_S:.0f} s:\n{service.last_words()}",
            where=str(service.log_file),
            fix="pdk-nb down, then pdk-nb up",
        )

    def _write_pachyderm_config(self, pachd: str) -> None:
        context = {"pachd_address": pachd, "session_token": self.credentials["root_token"]}
        config = {"v2": {"active_context": "pdk-lab", "contexts": {"pdk-lab": context}, "metrics": False}}
        write_private(self.paths.pachyderm_config, json.dumps(config, indent=1))

    def watch(self) -> None:
        """Restart services that die, until told to end.

        Raises:
            StackError: A service keeps dying.
        """
        while not self.ended.wait(0.25):
            for service in self.services.values():
                if service.process is None or service.process.poll() is None:
                    continue
                code = service.process.returncode
                service.deaths.append(time.monotonic())
                if len(service.deaths) == MAX_RESTARTS and (service.deaths[-1] - service.deaths[0] < RESTART_WINDOW_S):
                    raise StackError(
                        f"{service.name} died {MAX_RESTARTS} times in a minute (exit code {code}):\n"
                        f"{service.last_words()}",
                        where=str(service.log_file),
                    )
                service.restarts += 1
                log.warning("%s died (exit code %s); starting it again", service.name, code)
                self._pin_ports(service)
                service.start(self.environment)
                self._wait_ready(service)

    def _pin_ports(self, service: Service) -> None:
        """Let a restarted service come back where its clients look for it."""
        announced = json.loads(self.paths.announcement.read_text())
        for listener, key in (
            ("api", "kubernetes"),
            ("ingress", "ingress"),
            ("grpc", "pachd"),
            ("s3", "s3"),
            ("master", "determined"),
        ):
            flag = f"--{listener}-port"
            if flag in service.command:
                service.command[service.command.index(flag) + 1] = announced[key].rsplit(":", 1)[1]

    def stop(self) -> None:
        """Stop the services, those that use others first."""
        self.paths.announcement.unlink(missing_ok=True)
        for name in ("determined", "pachyderm", "kubernetes"):
            self.services[name].stop()


def service_environment() -> dict[str, str]:
    """The environment of the services: the user's, without what would change the platforms' clients."""
    dropped = ("PACH", "PPS_", "DET_", "KUBECONFIG", "AWS_", "GOOGLE_APPLICATION", "S3_", "TS_", "PDK_PFS")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    root = str(Path(__file__).resolve().parents[1])
    # The package may be run from a checkout without being installed.
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([root, *kept.get("PYTHONPATH", "").split(os.pathsep)]))
    kept["PYTHONPATH"] = kept["PYTHONPATH"].rstrip(os.pathsep)
    kept["NO_PROXY"] = kept["no_proxy"] = ",".join(filter(None, [kept.get("no_proxy"), "127.0.0.1,localhost"]))
    return kept


def hold_lock(paths: StatePaths) -> IO[str]:
    """Take the state folder for this process; released when the process ends, however it ends.

    Raises:
        StackError: Another stack has it.
    """
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = paths.lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise StackError(
            "A stack is already running on this state folder.", where=str(paths.root), fix="pdk-nb status"
        ) from error
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def main(argv: list[str] | None = None) -> int:
    """Run one stack until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m pdk_stack.supervisor")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--ports", type=json.loads, default={})
    args = parser.parse_args(argv)
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    paths = StatePaths(args.state_dir)
    supervisor: Supervisor | None = None
    try:
        with hold_lock(paths):
            paths.failure.unlink(missing_ok=True)
            supervisor = Supervisor(paths, args.checkout, args.ports)
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, lambda *_: supervisor.ended.set())
            try:
                supervisor.start()
                supervisor.watch()
            finally:
                supervisor.stop()
    except PdkError as error:
        if supervisor is None or not supervisor.ended.is_set():
            log.error("%s", error)
            write_private(paths.failure, json.dumps(vars(error)))
            return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
