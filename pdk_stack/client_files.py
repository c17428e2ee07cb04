"""Writes the files that the services and the platforms' clients read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pdk_shared.errors import StackError
from pdk_stack.common.service import write_private
from pdk_stack.paths import StatePaths

__all__ = ["write_images", "write_pachyderm_config", "write_worker_environment"]


def write_images(paths: StatePaths, checkout: Path) -> Path:
    """Map pipeline images to local folders; entries in the state folder's ``images.json`` take precedence.

    Raises:
        StackError: ``images.json`` is not JSON.
    """
    path = [str(Path(sys.executable).parent)]
    known = {
        f"pdk-lab-{stage}": {"workdir": str(checkout / "images" / stage), "path": path} for stage in ("train", "deploy")
    }
    own = paths.own_images
    if own.is_file():
        try:
            known.update(json.loads(own.read_text()))
        except ValueError as error:
            raise StackError(f"The list of images is not JSON: {error}", where=str(own)) from error
    target = paths.root / "run" / "images.json"
    write_private(target, json.dumps(known, indent=1))
    return target


def write_worker_environment(paths: StatePaths, checkout: Path) -> Path:
    """Write the environment that a cluster's pod gives a worker: the service account and the image's package."""
    environment = {
        "KUBECONFIG": str(paths.worker_kubeconfig),
        "PYTHONPATH": str(checkout),
        "PYTHONUNBUFFERED": "1",
        # Several workers share this machine, so waiting threads must sleep instead of spin.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    target = paths.root / "private" / "worker-env.json"
    write_private(target, json.dumps(environment))
    return target


def write_pachyderm_config(paths: StatePaths, pachd: str, token: str) -> None:
    """Write the client configuration that ``PACH_CONFIG`` names.

    Args:
        paths: The state folder's files.
        pachd: Address of Pachyderm's gRPC listener.
        token: The administrator's token.
    """
    context = {"pachd_address": pachd, "session_token": token}
    config = {"v2": {"active_context": "pdk-lab", "contexts": {"pdk-lab": context}, "metrics": False}}
    write_private(paths.pachyderm_config, json.dumps(config, indent=1))
