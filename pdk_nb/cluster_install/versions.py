"""The pinned versions and the files of the checkout's folder ``cluster``: charts, manifests, images, and values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pdk_shared.errors import UsageError

__all__ = ["Chart", "Versions", "read_versions"]

FOLDER = "cluster"
FILE = "versions.yaml"


@dataclass(frozen=True)
class Chart:
    """A Helm chart, as its project publishes it.

    Attributes:
        name: Its name.
        repo: Address of its repository; ``oci://`` for a registry.
        version: Its version.
    """

    name: str
    repo: str
    version: str


@dataclass(frozen=True)
class Versions:
    """The content of ``cluster/versions.yaml``.

    Attributes:
        folder: The folder ``cluster`` of the checkout.
        charts: Charts by the name that the installer gives them.
        manifests: Version and addresses of manifests, by platform.
        tools: Oldest version that works, by tool.
        kubernetes: Images of the nodes and of the registry, and the range of Kubernetes' versions.
    """

    folder: Path
    charts: dict[str, Chart]
    manifests: dict[str, tuple[str, tuple[str, ...]]]
    tools: dict[str, str]
    kubernetes: dict[str, Any]

    def values(self, *names: str) -> list[Path]:
        """Files with values, by name without ending.

        Raises:
            UsageError: The checkout has no such file.
        """
        found = [self.folder / "values" / f"{name}.yaml" for name in names]
        for path in found:
            if not path.is_file():
                raise UsageError("A file with values is missing from the checkout.", where=str(path), fix="git status")
        return found


def read_versions(checkout: Path) -> Versions:
    """Read the pinned versions.

    Args:
        checkout: The lab's checkout.

    Raises:
        UsageError: The file is missing, or isn't what it should be.
    """
    path = checkout / FOLDER / FILE
    try:
        content = yaml.safe_load(path.read_text())
        charts = {
            name: Chart(each["chart"], each["repo"], str(each["version"])) for name, each in content["charts"].items()
        }
        manifests = {name: (str(each["version"]), tuple(each["files"])) for name, each in content["manifests"].items()}
        tools = {name: str(version) for name, version in content["tools"].items()}
        return Versions(path.parent, charts, manifests, tools, content["kubernetes"])
    except OSError as error:
        raise UsageError(f"Can't read the versions to install: {error.strerror}.", where=str(path)) from error
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"The file with the versions to install is malformed: {error}", where=str(path), fix="git diff cluster"
        ) from error
