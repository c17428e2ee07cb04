"""The supervisor: starts the embedded services in order, restarts those that die, and stops them in reverse order.

:mod:`pdk_stack.stack` runs it in the background; while it runs, its lock keeps other stacks off the state folder. It is
our own, not supervisord or circus: ordered start by ready files, one process, and no daemon configuration.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import threading
from pathlib import Path

from pdk_shared.errors import PdkError
from pdk_stack.client_files import write_images, write_pachyderm_config, write_worker_environment
from pdk_stack.common import logs
from pdk_stack.common.service import write_private
from pdk_stack.credentials import ensure_credentials
from pdk_stack.paths import StatePaths
from pdk_stack.seed import seed_cluster
from pdk_stack.service_process import ServiceProcess, service_environment
from pdk_stack.services import LISTENERS, SERVICES, START_ORDER
from pdk_stack.state_lock import hold_lock, unusable

log = logging.getLogger("pdk_stack.supervisor")

WATCH_S = 0.25


class Supervisor:
    """Runs the services of a state folder.

    Args:
        paths: The state folder's files.
        checkout: The checkout whose images and examples run.
        ports: Port by ``<service>.<listener>``; 0 lets the system choose.
    """

    def __init__(self, paths: StatePaths, checkout: Path, ports: dict[str, int]) -> None:
        self.paths = paths
        self.checkout = checkout
        self.credentials = ensure_credentials(paths)
        self.ended = threading.Event()
        own = {
            "pachyderm": [
                *("--kubeconfig", str(paths.worker_kubeconfig)),
                *("--images-file", str(write_images(paths, checkout))),
                *("--worker-env-file", str(write_worker_environment(paths, checkout))),
            ]
        }
        environment = service_environment()
        self.services = {name: ServiceProcess(name, paths, ports, own.get(name, []), environment) for name in SERVICES}

    def start(self) -> None:
        """Start all services, seed the cluster with the administrator's objects, and announce the stack's addresses.

        Raises:
            StackError: A service ended or did not answer in time.
        """
        addresses: dict[str, str] = {}
        for names in START_ORDER:
            for name in names:
                self.services[name].start()
            for name in names:
                addresses |= self.services[name].wait_ready(self.ended)
        seed_cluster(self.paths.kubeconfig, addresses, self.credentials, self.checkout)
        write_pachyderm_config(self.paths, addresses["pachd"], self.credentials["root_token"])
        announced = {key: addresses[key] for key in LISTENERS.values()}
        announced |= {"kubeconfig": str(self.paths.kubeconfig), "state_dir": str(self.paths.root)}
        write_private(self.paths.announcement, json.dumps({**announced, "supervisor_pid": os.getpid()}))

    def watch(self) -> None:
        """Restart services that die and rotate logs until the stack must stop."""
        while not self.ended.wait(WATCH_S):
            for service in self.services.values():
                service.look_after()
            for path in (self.paths.log("supervisor"), self.paths.access_log):
                with contextlib.suppress(OSError):
                    logs.rotate(path)

    def stop(self) -> None:
        """Stop the services in reverse start order."""
        self.paths.announcement.unlink(missing_ok=True)
        for names in reversed(START_ORDER):
            for name in reversed(names):
                self.services[name].stop()


def main(argv: list[str] | None = None) -> int:
    """Run one stack until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m pdk_stack.supervisor")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--ports", type=json.loads, default={})
    args = parser.parse_args(argv)
    logs.set_up()
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
    except (PdkError, OSError) as error:
        if supervisor is None or not supervisor.ended.is_set():
            told = error if isinstance(error, PdkError) else unusable(paths, error)
            log.error("%s", told)
            with contextlib.suppress(OSError):
                write_private(paths.failure, json.dumps(vars(told)))
            return told.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
