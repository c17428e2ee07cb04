"""The service: the master and its port."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pdk_stack.common.http.server import Server
from pdk_stack.common.limits import PORTS
from pdk_stack.common.service import LOOPBACK
from pdk_stack.determined.api.application import Application
from pdk_stack.determined.core.master import Master

__all__ = ["Config", "Service"]

PORT = "determined.master"


@dataclass(frozen=True)
class Config:
    """Configuration of the service.

    Attributes:
        state_dir: Folder of everything that survives a restart.
        port: The master's port; 0 lets the system choose.
        admin_password: Password of the user ``admin``.
        user_password: Password of the user ``determined``.
        slots: Slots for training; 0 means one per CPU core.
        trial_python: Python interpreter for trials; empty means the master's own.
    """

    state_dir: Path
    port: int = 0
    admin_password: str = field(default="", repr=False)
    user_password: str = field(default="", repr=False)
    slots: int = 0
    trial_python: str = ""


class Service:
    """An embedded Determined.

    Args:
        config: The configuration.

    Raises:
        StackError: The port is taken, or another release wrote the state.
    """

    def __init__(self, config: Config) -> None:
        self.master = Master(config.state_dir, config.slots, config.trial_python)
        self.master.ensure_accounts(config.admin_password, config.user_password)
        # Trials of a killed master keep calling it, and can occupy its port.
        self.master.end_left_processes()
        self._server = Server(PORT, config.port, PORTS[PORT])

    def start(self) -> dict[str, str]:
        """Start serving.

        Returns:
            The addresses for the ready file.
        """
        # Experiments start first, so that the first reply already shows their real state. The listening socket queues
        # the calls of trials that start now.
        self.master.start(self._server.port)
        self._server.start(Application(self.master).asgi(PORTS[PORT], self._server.closing))
        return {"determined": f"http://{LOOPBACK}:{self._server.port}"}

    def stop(self) -> None:
        """End all trials, stop serving, and close the database."""
        self.master.experiments.stop()
        self._server.stop()
        self.master.close()
