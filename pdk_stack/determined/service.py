"""The service: the master and its port, put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pdk_stack.common.http.limits import PORTS
from pdk_stack.common.http.server import Server
from pdk_stack.common.service import LOOPBACK
from pdk_stack.determined.api.application import Application
from pdk_stack.determined.core.master import Master

__all__ = ["Config", "Service"]

PORT = "determined.master"


@dataclass(frozen=True)
class Config:
    """How a service is set up.

    Attributes:
        state_dir: Everything that survives a restart.
        port: The master's port; 0 lets the system choose.
        admin_password: Of the user ``admin``.
        user_password: Of the user ``determined``.
        slots: Slots for training; the machine's cores when 0.
        trial_python: The Python of trials; the master's own when empty.
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
        config: How it is set up.

    Raises:
        StackError: The port is taken, or another release wrote the state.
    """

    def __init__(self, config: Config) -> None:
        self.master = Master(config.state_dir, config.slots, config.trial_python)
        self.master.ensure_accounts(config.admin_password, config.user_password)
        # Trials of a master that was killed keep asking for it, and may hold its port.
        self.master.end_left_processes()
        self._server = Server(PORT, config.port, PORTS[PORT])

    def start(self) -> dict[str, str]:
        """Begin to answer.

        Returns:
            The addresses, as the ready file has them.
        """
        # Experiments first: what the master tells its clients must be true from the first reply on. Trials that start
        # now are queued by the listening socket.
        self.master.start(self._server.port)
        self._server.start(Application(self.master).asgi(PORTS[PORT], self._server.closing))
        return {"determined": f"http://{LOOPBACK}:{self._server.port}"}

    def stop(self) -> None:
        """End all trials, stop answering, close the database."""
        self.master.experiments.stop()
        self._server.stop()
        self.master.close()
