"""Checkpoints on disk: location, download, and deletion."""

from __future__ import annotations

import fnmatch
import gzip
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from pdk_stack.determined.errors import invalid, not_found

__all__ = ["archive", "checkpoint_folder", "delete_files", "tensorboard_folder"]


#: Storage types whose files this master can reach.
READABLE = ("directory", "shared_fs")


def _root(storage: dict[str, Any]) -> Path:
    if storage["type"] == "directory":
        return Path(storage["container_path"])
    if storage["type"] == "shared_fs":
        root = Path(storage["host_path"])
        inside = storage.get("storage_path")
        if not inside:
            return root
        # The configuration rules require an absolute storage_path to be under host_path.
        return Path(inside) if os.path.isabs(inside) else root / inside
    raise invalid(f"the embedded master cannot read checkpoint storage of type {storage['type']}")


def checkpoint_folder(storage: dict[str, Any], uuid: str) -> Path:
    """Return a checkpoint's folder."""
    return _root(storage) / uuid


def tensorboard_folder(storage: dict[str, Any], cluster_id: str, experiment_id: int) -> Path:
    """Return the folder where the harness writes an experiment's TensorBoard files."""
    return _root(storage) / cluster_id / "tensorboard" / "experiment" / str(experiment_id)


def delete_files(folder: Path, globs: list[str] | None = None) -> dict[str, str] | None:
    """Delete a checkpoint's files.

    Args:
        globs: Patterns of files to delete; None deletes all.

    Returns:
        Sizes in bytes of the remaining files by path; None when nothing remains.
    """
    if not globs or "**/*" in globs or "**" in globs:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and any(fnmatch.fnmatch(name, pattern.lstrip("/")) for pattern in globs):
            path.unlink()
    return {
        path.relative_to(folder).as_posix() + ("/" if path.is_dir() else ""): str(
            path.stat().st_size if path.is_file() else 0
        )
        for path in sorted(folder.rglob("*"))
    }


def archive(folder: Path, form: str) -> Iterator[bytes]:
    """Stream a checkpoint as an archive.

    Args:
        folder: The checkpoint's folder; members are named relative to it.
        form: ``application/gzip``, ``application/x-tar`` or ``application/zip``.

    Raises:
        Refusal: The folder doesn't exist.
    """
    if not folder.is_dir():
        raise not_found(f"checkpoint files are missing in {folder}")
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as sink:
            try:
                _write(folder, form, sink)
            except BrokenPipeError:
                return

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    with os.fdopen(reader, "rb") as source:
        while chunk := source.read(1 << 18):
            yield chunk
    thread.join()


def _write(folder: Path, form: str, sink: IO[bytes]) -> None:
    paths = sorted(folder.rglob("*"))
    if form == "application/zip":
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archived:
            for path in paths:
                archived.write(path, path.relative_to(folder).as_posix())
        return
    if form == "application/gzip":
        # Weights hardly compress, so use the fastest level.
        with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=1) as packed:
            _write_tar(folder, paths, packed)
    else:
        _write_tar(folder, paths, sink)


def _write_tar(folder: Path, paths: list[Path], sink: Any) -> None:
    with tarfile.open(fileobj=sink, mode="w|") as archived:
        for path in paths:
            archived.add(path, path.relative_to(folder).as_posix(), recursive=False)
