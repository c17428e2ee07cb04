"""Local folders and programs that replace container images."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pdk_shared.errors import StackError

# Base images whose programs exist on any machine: their commands run in the host's shell.
HOST_IMAGES = ("alpine", "bash", "busybox", "debian", "python", "ubuntu")


@dataclass(frozen=True)
class Image:
    """The local replacement for an image.

    Attributes:
        name: The image name in the spec.
        workdir: The folder with its code, or empty.
        path: Folders to prepend to ``PATH``.
    """

    name: str
    workdir: str
    path: tuple[str, ...]


class Images:
    """The images that can run.

    Args:
        known: Images by the last component of their repository name.
    """

    def __init__(self, known: Mapping[str, Image] | None = None) -> None:
        here = (str(Path(sys.executable).parent),)
        self._known = {name: Image(name, "", here) for name in HOST_IMAGES}
        self._known.update(known or {})

    @staticmethod
    def load(path: Path | None) -> Images:
        """Read the images file: ``{name: {"workdir": …, "path": […]}}``.

        Raises:
            StackError: The file is invalid or can't be read.
        """
        if path is None:
            return Images()
        try:
            content = json.loads(path.read_text())
            known = {
                name: Image(name, entry.get("workdir", ""), tuple(entry.get("path", ())))
                for name, entry in content.items()
            }
        except (OSError, ValueError, AttributeError) as error:
            raise StackError(f"The images file cannot be read: {error}", where=str(path)) from error
        return Images(known)

    @property
    def names(self) -> list[str]:
        """Return the names of all images that can run."""
        return sorted(self._known)

    def find(self, image: str) -> Image | None:
        """Return the replacement for an image, ignoring its registry, tag, and digest."""
        return self._known.get(short_name(image))

    def identity(self, image: str) -> str:
        """Return the ID of an image that ran: its repository, with a digest of what replaces it here."""
        repository = image.split("@", 1)[0]
        head, _, last = repository.rpartition("/")
        repository = f"{head}/{last.split(':', 1)[0]}" if head else last.split(":", 1)[0]
        registry = repository.split("/", 1)[0]
        if "/" not in repository:
            repository = f"docker.io/library/{repository}"
        elif not set(registry) & set(".:") and registry != "localhost":
            repository = f"docker.io/{repository}"
        found = self.find(image)
        definition = json.dumps(asdict(found) if found else image, sort_keys=True)
        return f"{repository}@sha256:{hashlib.sha256(definition.encode()).hexdigest()}"

    def why_not(self, image: str) -> str:
        """Explain why an image can't run."""
        return (
            f"image {image} cannot be pulled: the embedded Pachyderm runs code of this machine, and knows "
            f"the images {', '.join(self.names)}"
        )


def short_name(image: str) -> str:
    """Return the last component of an image's repository: ``name`` for ``registry:5000/team/name:tag@sha256:…``."""
    return image.split("@", 1)[0].rsplit("/", 1)[-1].split(":", 1)[0]


def search_path(image: Image) -> str:
    """Return the ``PATH`` inside an image."""
    return os.pathsep.join([*image.path, os.environ.get("PATH", os.defpath)])
