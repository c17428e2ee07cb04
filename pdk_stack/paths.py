"""Paths of the embedded stack's state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pdk_shared.announcement import ANNOUNCEMENT, LOCK, state_folder


@dataclass(frozen=True)
class StatePaths:
    """The files of one stack, all below its state folder.

    Attributes:
        root: The state folder.
    """

    root: Path

    @property
    def lock(self) -> Path:
        """The lock that the supervisor holds while it runs."""
        return self.root / LOCK

    @property
    def announcement(self) -> Path:
        """The stack's addresses; exists while the stack is ready."""
        return self.root / ANNOUNCEMENT

    @property
    def failure(self) -> Path:
        """Why the last start failed."""
        return self.root / "run" / "failure.json"

    def death(self, name: str) -> Path:
        """How a service last ended, and when it starts again; exists until it answers."""
        return self.root / "run" / f"{name}-death.json"

    @property
    def options(self) -> Path:
        """Ports that a restart reuses."""
        return self.root / "stack-options.json"

    @property
    def credentials(self) -> Path:
        """All credentials of this stack, readable only by the user."""
        return self.root / "private" / "credentials.json"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig for users and notebooks."""
        return self.service("kubernetes") / "kubeconfig"

    @property
    def worker_kubeconfig(self) -> Path:
        """The kubeconfig of the pipelines' service account."""
        return self.service("kubernetes") / "worker-kubeconfig"

    @property
    def own_images(self) -> Path:
        """The user's own mapping of pipeline images to folders (format: ``pachyderm/pps/images.py``)."""
        return self.root / "images.json"

    @property
    def pachyderm_config(self) -> Path:
        """The client configuration that ``PACH_CONFIG`` names."""
        return self.root / "private" / "pachyderm-config.json"

    @property
    def access_log(self) -> Path:
        """The ingress's access log."""
        return self.service("kubernetes") / "access.log"

    def service(self, name: str) -> Path:
        """Return a service's folder."""
        return self.root / name

    def service_credentials(self, name: str) -> Path:
        """Return a service's credentials file."""
        return self.root / "private" / f"{name}.json"

    def ready(self, name: str) -> Path:
        """Return a service's ready file."""
        return self.root / "run" / f"{name}.json"

    def log(self, name: str) -> Path:
        """Return a service's log."""
        return self.root / "logs" / f"{name}.log"


def state_paths(state_dir: str | Path | None = None) -> StatePaths:
    """Choose the state folder; see :func:`pdk_shared.announcement.state_folder`."""
    return StatePaths(state_folder(state_dir))
