"""Where the embedded stack keeps its state."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StatePaths:
    """All files of one stack; every path derives from its state folder.

    Attributes:
        root: The state folder.
    """

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.root / "lock"

    @property
    def announcement(self) -> Path:
        """The stack's addresses; there while the stack is ready."""
        return self.root / "run" / "stack.json"

    @property
    def failure(self) -> Path:
        """Why the last start failed."""
        return self.root / "run" / "failure.json"

    def death(self, name: str) -> Path:
        """How a service last ended, and when it starts again; exists until it answers."""
        return self.root / "run" / f"{name}-death.json"

    @property
    def options(self) -> Path:
        """Ports and paths that a restart uses again."""
        return self.root / "stack-options.json"

    @property
    def credentials(self) -> Path:
        """All random credentials of this stack, readable by the user only."""
        return self.root / "private" / "credentials.json"

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig for people and notebooks."""
        return self.service("kubernetes") / "kubeconfig"

    @property
    def worker_kubeconfig(self) -> Path:
        """The kubeconfig of the pipelines' service account."""
        return self.service("kubernetes") / "worker-kubeconfig"

    @property
    def own_images(self) -> Path:
        """Written by people: what else stands for a pipeline image (``pachyderm/pps/images.py`` has the form)."""
        return self.root / "images.json"

    @property
    def pachyderm_config(self) -> Path:
        """The client configuration that ``PACH_CONFIG`` names."""
        return self.root / "private" / "pachyderm-config.json"

    @property
    def access_log(self) -> Path:
        """The ingress' log of requests."""
        return self.service("kubernetes") / "access.log"

    def service(self, name: str) -> Path:
        """A service's own folder."""
        return self.root / name

    def service_credentials(self, name: str) -> Path:
        """The credentials file that a service is given."""
        return self.root / "private" / f"{name}.json"

    def ready(self, name: str) -> Path:
        """A service's ready file."""
        return self.root / "run" / f"{name}.json"

    def log(self, name: str) -> Path:
        """A service's log."""
        return self.root / "logs" / f"{name}.log"


def state_paths(state_dir: str | Path | None = None) -> StatePaths:
    """The state folder: the argument, ``PDK_STATE_DIR``, or the user's state folder of the system."""
    chosen = str(state_dir or "") or os.environ.get("PDK_STATE_DIR", "")
    if not chosen:
        import platformdirs

        chosen = platformdirs.user_state_dir("pdk-lab", appauthor=False)
    return StatePaths(Path(chosen).expanduser().resolve())
