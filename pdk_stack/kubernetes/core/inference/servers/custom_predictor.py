"""Custom predictors: a container's command as a local process.

KServe starts a container of the user's own (``spec.predictor.containers``) and sends it all requests. Images are not
pulled here: ``command`` and ``args`` run on this machine, with the environment's Python first in ``PATH``. As under
Knative, the port to listen on is in ``PORT``; ``/mnt/models`` in arguments and values stands for the model's folder,
which is fetched when ``STORAGE_URI`` is set (KServe's own variable for it).
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
    """A container's environment variables with plain values."""
    return {str(each["name"]): str(each.get("value", "")) for each in container.get("env") or []}


def check_container(container: dict[str, Any]) -> None:
    """Refuse containers that cannot run as a local process.

    Raises:
        ModelServerError: It has no command, or one that is not on this machine.
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
    """A command of the user's own that speaks HTTP on ``PORT``.

    Args:
        folder: The revision's folder.
        home: The server's own folder.
        container: The container of the predictor.
        memory_limit: Bytes that the process and its children may use; 0 for no limit.
    """

    title = "The container"

    def __init__(self, folder: Path, home: Path, container: dict[str, Any], memory_limit: int = 0) -> None:
        super().__init__(folder, home, "", plain_environment(container), memory_limit)
        self._container = container
        probe = ((container.get("readinessProbe") or {}).get("httpGet") or {}).get("path")
        self._probe = str(probe) if probe else ""

    def command(self, scratch: Path) -> list[str]:
        """The container's command and arguments, with variables and the model's folder filled in."""
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
        """Whether the readiness probe's path answers, or the port is open when there is none."""
        if not self._probe:
            return accepts(self.inference_port)
        return 200 <= request("GET", f"http://{LOOPBACK}:{self.inference_port}{self._probe}", timeout=2)[0] < 400
