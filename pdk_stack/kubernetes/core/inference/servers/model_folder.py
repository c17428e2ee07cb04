"""Reads and checks a model's folder for KServe's TorchServe runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pdk_stack.kubernetes.core.inference.failures import ModelServerError


def read_properties(path: Path) -> dict[str, str]:
    """Read a Java properties file of ``key=value`` lines."""
    properties = {}
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped and not stripped.startswith(("#", "!")) and "=" in stripped:
            key, _, value = stripped.partition("=")
            properties[key.strip()] = value.strip()
    return properties


class ModelFolder:
    """A model's folder for KServe's TorchServe runtime: ``config/config.properties`` and archives.

    Args:
        mount: The folder that a pod mounts at ``/mnt/models``.

    Attributes:
        properties: The configuration.
        archives: Archive file by model name.
        store: The folder of the archives.

    Raises:
        ModelServerError: The configuration is missing or unreadable, or an archive is missing.
    """

    def __init__(self, mount: Path) -> None:
        source = mount / "config" / "config.properties"
        if not source.is_file():
            raise ModelServerError(f"The model has no config/config.properties; it holds {listing(mount)}.")
        self.properties = read_properties(source)
        try:
            models = json.loads(self.properties["model_snapshot"])["models"]
            names = {model: entry["marName"] for model, versions in models.items() for entry in versions.values()}
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ModelServerError(f"model_snapshot in config.properties cannot be read: {error}") from error
        if not names:
            raise ModelServerError("model_snapshot in config.properties names no model.")
        wanted = self.properties.get("model_store", "/mnt/models/model-store")
        inside = wanted.startswith("/mnt/models")
        self.store = mount / wanted.removeprefix("/mnt/models").lstrip("/") if inside else Path(wanted)
        if not all((self.store / name).is_file() for name in names.values()):
            # KServe 0.11 to 0.14 can put the archive one folder up (kserve#4112).
            folders = [path.parent for path in mount.rglob(next(iter(names.values())))]
            fitting = (each for each in folders if all((each / name).is_file() for name in names.values()))
            self.store = next(fitting, self.store)
        missing = [name for name in names.values() if not (self.store / name).is_file()]
        if missing:
            raise ModelServerError(
                f"Archive {missing[0]} is not in {self.store.name}; the model holds {listing(mount)}."
            )
        self.archives = {model: self.store / name for model, name in names.items()}


def listing(folder: Path) -> str:
    """List the first files in a folder, for error messages."""
    names: list[Any] = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return ", ".join(names[:8]) or "nothing"
