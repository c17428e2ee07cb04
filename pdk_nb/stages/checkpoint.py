"""The checkpoint of a registered model version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.platforms import mlde
from pdk_nb.stages.model_info import ModelInfo
from pdk_nb.stages.worker import Login
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from determined.common.experimental.model import ModelVersion

__all__ = ["fetch", "find"]


def find(login: Login, info: ModelInfo) -> ModelVersion:
    """Look up a version and its checkpoint in the registry.

    Args:
        login: How to log in to Determined.
        info: The model version.

    Raises:
        DeploymentError: The registry has no such version.
    """
    client = mlde.connect(login.master, login.user, login.password)
    model = mlde.find_model(client, info.name)
    if model is None:
        raise DeploymentError(
            f"The registry has no model '{info.name}'.",
            where=login.master,
            fix="The train pipeline's job registers it; check its log.",
        )
    version = (
        model.get_version(info.number) if info.number else mlde.version_for_commit(client, info.name, info.version)
    )
    if version is None or version.checkpoint is None:
        raise DeploymentError(
            f"The registry has no version {info.number or info.version} of '{info.name}'.",
            where=login.master,
            fix=f"det model list-versions {info.name}",
        )
    if version.name and version.name != info.version:
        raise DeploymentError(
            f"Version {info.number} of '{info.name}' is called '{version.name}', the commit says '{info.version}'.",
            fix=f"det model list-versions {info.name}",
        )
    return version


def fetch(version: ModelVersion, info: ModelInfo, target: Path) -> ModelInfo:
    """Download the checkpoint of a registered version.

    Args:
        version: The version; it has a checkpoint.
        info: Its description.
        target: A folder that does not exist yet.

    Returns:
        The description with the checkpoint and the version's number in the registry.

    Raises:
        PdkError: The checkpoint cannot be downloaded.
    """
    assert version.checkpoint is not None
    mlde.download(version.checkpoint, target)
    return replace(info, checkpoint=version.checkpoint.uuid, number=info.number or version.model_version or 0)
