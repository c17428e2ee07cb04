"""Writes the files that the services and the platforms' clients read."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdk_shared.errors import StackError, UsageError
from pdk_stack.common.service import write_private
from pdk_stack.paths import StatePaths

__all__ = ["add_images", "write_images", "write_pachyderm_config", "write_worker_environment"]


def write_images(paths: StatePaths, checkout: Path) -> Path:
    """Map pipeline images to local folders; entries in the state folder's ``images.json`` take precedence.

    Raises:
        StackError: ``images.json`` is not JSON.
    """
    path = [str(Path(sys.executable).parent)]
    known = {
        f"pdk-lab-{stage}": {"workdir": str(checkout / "images" / stage), "path": path} for stage in ("train", "deploy")
    }
    known.update(_own_images(paths))
    target = paths.root / "run" / "images.json"
    write_private(target, json.dumps(known, indent=1))
    return target


def add_images(paths: StatePaths, images: Mapping[str, Path]) -> None:
    """Add entries to the state folder's ``images.json``: folders that replace container images.

    Args:
        paths: The state folder's files.
        images: Folders by the last component of the image's name.

    Raises:
        UsageError: A folder doesn't exist.
        StackError: ``images.json`` is not JSON.
    """
    for name, folder in images.items():
        if not folder.is_dir():
            raise UsageError(
                f"The folder of the image {name} doesn't exist.",
                where=str(folder),
                fix="Name the folder with the image's code: NAME=FOLDER",
            )
    path = [str(Path(sys.executable).parent)]
    new = {name: {"workdir": str(folder.resolve()), "path": path} for name, folder in images.items()}
    write_private(paths.own_images, json.dumps({**_own_images(paths), **new}, indent=1))


def _own_images(paths: StatePaths) -> dict[str, Any]:
    """The user's own images."""
    try:
        known: dict[str, Any] = json.loads(paths.own_images.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StackError(f"The list of images is not JSON: {error}", where=str(paths.own_images)) from error
    return known


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
