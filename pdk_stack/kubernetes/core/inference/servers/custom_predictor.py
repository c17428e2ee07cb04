"""Custom predictors: runs a container's command as a local process.

KServe starts a user's container (``spec.predictor.containers``) and sends it all requests. This stack doesn't pull
images: it runs ``command`` and ``args`` on this machine, with the environment's Python first in ``PATH``. As under
Knative, the container listens on ``PORT``. In arguments and values, ``/mnt/models`` stands for the model's folder,
which is fetched when KServe's variable ``STORAGE_URI`` is set.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from pdk_stack.common.service import LOOPBACK, free_port
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason
from pdk_stack.kubernetes.core.inference.servers.model_server import ModelServer, accepts, request

MOUNT = "/mnt/models"
STORAGE_URI = "STORAGE_URI"
# $(NAME) in command and args (k8s.io/kubernetes/third_party/forked/golang/expansion).
REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def plain_environment(container: dict[str, Any]) -> dict[str, str]:
    """Return a container's environment variables that have plain values."""
    return {str(each["name"]): str(each.get("value", "")) for each in container.get("env") or []}


def check_container(container: dict[str, Any]) -> None:
    """Refuse containers that can't run as a local process.

    Raises:
        ModelServerError: The container has no command, or the command isn't on this machine.
    """
    command = container.get("command") or []
    if not command:
        raise ModelServerError(
            f"Image {container.get('image', '')} is not pulled here; give the container a command of this machine.",
            reason=Reason.INVALID_SPEC,
        )
    if shutil.which(str(command[0]), path=_path()) is None:
        raise ModelServerError(f"The command {command[0]} is not on this machine.", reason=Reason.INVALID_SPEC)
    sources = [each["name"] for each in container.get("env") or [] if each.get("valueFrom")]
    if sources:
        raise ModelServerError(f"Variables from elsewhere are not offered: {sources[0]}.", reason=Reason.INVALID_SPEC)


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


class CustomServer(ModelServer):
    """A user's command that serves HTTP on ``PORT``.

    Args:
        folder: The revision's folder.
        home: The server's own folder.
        container: The predictor's container.
        memory_limit: Memory limit of the process and its children in bytes; 0 means no limit.
    """

    title = "The container"

    def __init__(self, folder: Path, home: Path, container: dict[str, Any], memory_limit: int = 0) -> None:
        super().__init__(folder, home, "", plain_environment(container), memory_limit)
        self._container = container
        probe = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("path")
        self._probe = str(probe) if probe else ""

    def command(self, scratch: Path) -> list[str]:
        """Return the container's command and arguments, with variables and the model's folder expanded."""
        self.inference_port = free_port()
        given = [*self._container["command"], *(self._container.get("args") or [])]
        known = {**self.environment, "PORT": str(self.inference_port)}
        return [self._local(REFERENCE.sub(lambda match: known.get(match[1], match[0]), str(each))) for each in given]

    def _local(self, text: str) -> str:
        return text.replace(MOUNT, str(self.folder / "mnt" / "models"))

    def _process_environment(self, scratch: Path) -> dict[str, str]:
        given = super()._process_environment(scratch)
        own = {name: self._local(value) for name, value in self.environment.items()}
        return {**given, **own, "PATH": _path(), "PORT": str(self.inference_port)}

    def is_ready(self) -> bool:
        """Return whether the readiness probe succeeds or, without a probe, whether the port is open."""
        if not self._probe:
            return accepts(self.inference_port)
        return 200 <= request("GET", f"http://{LOOPBACK}:{self.inference_port}{self._probe}", timeout=2)[0] < 400
