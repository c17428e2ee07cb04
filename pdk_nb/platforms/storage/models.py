"""Contents of a model store: one prefix for each version, complete or absent."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

from pdk_nb.platforms.storage.stores import ModelStore
from pdk_shared.errors import DeploymentError, UsageError

CONFIG_KEY = "config/config.properties"


def probe(store: ModelStore, prefix: str = "") -> None:
    """Test that the store is writable: write a small object, read it, and delete it.

    Args:
        store: The store.
        prefix: Key prefix that will be written to.

    Raises:
        DeploymentError: It isn't writable, or returns other content.
    """
    content = uuid.uuid4().hex
    key = f"{prefix.strip('/')}/.pdk-probe-{content}".lstrip("/")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "probe"
        source.write_text(content)
        store.put(source, key)
    try:
        if store.read(key) != content.encode():
            raise DeploymentError("The model store doesn't return the content that was written.", where=store.uri + key)
    except KeyError as error:
        raise DeploymentError(
            "The model store has lost the object that was just written.", where=store.uri + key
        ) from error
    finally:
        store.delete(key)


def upload_model(store: ModelStore, model: str, version: str, folder: Path) -> str:
    """Store a model folder under its versioned prefix; the configuration goes last.

    A server that starts during the upload then finds no configuration, rather than one that names a missing archive.

    Args:
        store: Where to.
        model: Model name.
        version: Model version.
        folder: ``config/config.properties`` and ``model-store/*.mar``.

    Returns:
        The ``storageUri``, ending with ``/``.

    Raises:
        DeploymentError: The folder is incomplete, or the store refuses.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    if CONFIG_KEY not in files or not any(key.startswith("model-store/") for key in files):
        raise DeploymentError(
            f"The model folder is incomplete: {', '.join(files) or 'empty'}.",
            where=str(folder),
            fix=f"It needs {CONFIG_KEY} and model-store/<model>.mar.",
        )
    prefix = f"{model}/{version}"
    for key in sorted(files, key=lambda each: (each == CONFIG_KEY, each)):
        store.put(files[key], f"{prefix}/{key}")
    return f"{store.uri}{prefix}/"


def versions(store: ModelStore, model: str) -> list[str]:
    """Versions of a model whose upload is complete, sorted by name."""
    tail = f"/{CONFIG_KEY}"
    found = [key[len(model) + 1 : -len(tail)] for key in store.keys(f"{model}/") if key.endswith(tail)]
    return sorted(each for each in found if each and "/" not in each)


def delete_version(store: ModelStore, model: str, version: str) -> int:
    """Delete one version's files, the configuration first.

    Returns:
        How many files were deleted.

    Raises:
        UsageError: Model or version is empty, which would delete more than one version.
    """
    if not model or not version or "/" in version:
        raise UsageError(f"'{model}/{version}' doesn't name one model version.")
    keys = list(store.keys(f"{model}/{version}/"))
    for key in sorted(keys, key=lambda each: (not each.endswith(CONFIG_KEY), each)):
        store.delete(key)
    return len(keys)


def make_folders(store: ModelStore, model: str) -> list[str]:
    """The setup guide's "create folders" step: empty objects that consoles show as folders. Not needed by the lab.

    Returns:
        The keys.
    """
    keys = [f"{model}/{part}/.keep" for part in ("config", "model-store")]
    with tempfile.NamedTemporaryFile() as empty:
        for key in keys:
            store.put(Path(empty.name), key)
    return keys
