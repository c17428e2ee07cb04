"""Model archives for TorchServe: a TorchScript file and a handler become a ``.mar``.

``torch-model-archiver`` collects the files and writes the manifest. This module packs the archive, because the tool's
zip contains timestamps: here, the same TorchScript file, handler, and version give the same bytes.

The layout that KServe expects under a service's ``storageUri``
(``config/runtimes/kserve-torchserve.yaml`` of KServe 0.13)::

    config/config.properties
    model-store/<model>.mar
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pdk_shared
from pdk_shared.errors import DeploymentError, UsageError

__all__ = ["MODEL_FILE", "ArchiveInfo", "ArchiveEntry", "build", "check_model_name", "describe"]

# The archiver's own rule (model_packaging_utils.validate_inputs of torch-model-archiver 0.12).
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# The handler's information about its model, in addition to TorchServe's manifest and index_to_name.json.
MODEL_FILE = "pdk-model.json"
INDEX_FILE = "index_to_name.json"
# What every handler imports, each with its purpose; they come from where the handler comes from.
HANDLER_MODULES = {
    "pdk_shared/__init__.py": "package of the shared modules",
    "pdk_shared/prediction_requests.py": "the form of requests and answers",
}
# Of the handler's information, what is the same for every kind of model.
GENERAL_FACTS = {"model", "version", "number", "classes"}
MANIFEST = "MAR-INF/MANIFEST.json"
# The zip format's earliest date; a fixed one makes archives reproducible.
EPOCH = (1980, 1, 1, 0, 0, 0)
ARCHIVER_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class ArchiveEntry:
    """One file of an archive.

    Attributes:
        name: Path inside the archive.
        size: Bytes, unpacked.
        role: Its purpose.
    """

    name: str
    size: int
    role: str


@dataclass(frozen=True)
class ArchiveInfo:
    """Contents of a ``.mar``.

    Attributes:
        name: Model name, as in prediction URLs.
        version: Model version (the commit id in this lab).
        handler: File name of the handler.
        serialized_file: File name of the TorchScript module.
        classes: Class names in the order of the model's outputs; empty when the archive has none.
        facts: What the handler reads about its input, beside the classes.
        sha256: Hash of the whole archive.
        entries: Its files.
    """

    name: str
    version: str
    handler: str
    serialized_file: str
    classes: tuple[str, ...]
    facts: Mapping[str, Any]
    sha256: str
    entries: tuple[ArchiveEntry, ...]

    def rows(self) -> list[dict[str, object]]:
        """The files as rows of a table."""
        return [{"file": each.name, "bytes": each.size, "role": each.role} for each in self.entries]


def check_model_name(name: str) -> str:
    """Refuse names that are invalid for TorchServe, a URL, or a bucket key.

    Raises:
        UsageError: The name has characters other than letters, digits, ``_``, ``.``, and ``-``.
    """
    if not MODEL_NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' isn't a valid name or version of a served model.",
            fix="Use letters, digits, '_', '.', and '-', starting with a letter or digit.",
        )
    return name


def build(
    script: Path,
    *,
    name: str,
    version: str,
    handler: Path,
    classes: Sequence[str],
    facts: Mapping[str, Any],
    out_dir: Path,
    extra_files: Sequence[Path] = (),
    shared_modules: Sequence[str] = (),
    number: int | None = None,
    training_code: Path | None = None,
) -> Path:
    """Create a ``.mar`` from a TorchScript file.

    Args:
        script: The saved ScriptModule.
        name: Model name; the archive is ``<name>.mar``.
        version: Model version; the commit id in this lab.
        handler: The handler's Python file.
        classes: Class names in the order of the model's outputs.
        facts: What the handler reads about its input, beside the classes.
        out_dir: Output folder; an archive with the same name is replaced.
        extra_files: Additional files that the handler needs.
        shared_modules: Further modules of this installation that the handler needs, as paths.
        number: Version number in the model registry, for the handler's detailed replies.
        training_code: Folder of the checkpoint's code. Its shared modules are packed; without them, those of this
            installation.

    Returns:
        The archive's path.

    Raises:
        UsageError: A name is invalid.
        DeploymentError: A file is missing, two files have the same name, or the archiver fails.
    """
    check_model_name(name)
    check_model_name(version)
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pdk-mar-") as scratch:
        staging = Path(scratch)
        extra = staging / "extra"
        extra.mkdir()
        _stage(script, staging / "model.pt")
        _stage(handler, staging / handler.name)
        for source in extra_files:
            if (extra / source.name).exists() or source.name in (handler.name, MODEL_FILE, INDEX_FILE):
                raise DeploymentError(f"Two files of the archive have the name {source.name}.", where=str(source))
            _stage(source, extra / source.name)
        installed = Path(pdk_shared.__file__).parents[1]
        travelled = training_code is not None and handler.is_relative_to(training_code)
        for module in HANDLER_MODULES:
            (extra / module).parent.mkdir(parents=True, exist_ok=True)
            _stage((training_code if training_code and travelled else installed) / module, extra / module)
        complete = training_code and all((training_code / module).is_file() for module in shared_modules)
        for module in shared_modules:
            (extra / module).parent.mkdir(parents=True, exist_ok=True)
            _stage((training_code if training_code and complete else installed) / module, extra / module)
        index = {str(position): label for position, label in enumerate(classes)}
        (extra / INDEX_FILE).write_text(json.dumps(index, indent=1) + "\n")
        known: dict[str, object] = {"model": name, "version": version, "number": number}
        known |= {"classes": list(classes), **facts}
        (extra / MODEL_FILE).write_text(json.dumps(known, indent=1) + "\n")
        folder = _collect(staging, name, version, handler.name)
        return _pack(folder, out_dir / f"{name}.mar")


def _stage(source: Path, target: Path) -> None:
    if not source.is_file():
        raise DeploymentError("A file for the archive is missing.", where=str(source))
    shutil.copyfile(source, target)


def _collect(staging: Path, name: str, version: str, handler: str) -> Path:
    """Let the archiver check and collect the files into a folder with its manifest.

    Names are relative to a folder of our own, because the tool splits lists at commas and expands wildcards; TMPDIR is
    our own, because it deletes ``$TMPDIR/<model name>``.
    """
    own = staging / "tmp"
    own.mkdir()
    export = staging / "export"
    export.mkdir()
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", name, "--version", version, "--serialized-file", "model.pt"]
    command += ["--handler", handler, "--extra-files", "extra"]
    command += ["--archive-format", "no-archive", "--export-path", str(export)]
    try:
        result = subprocess.run(
            command,
            cwd=staging,
            env={**os.environ, "TMPDIR": str(own)},
            capture_output=True,
            text=True,
            timeout=ARCHIVER_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeploymentError(f"torch-model-archiver didn't run: {error}") from error
    folder = export / name
    if result.returncode or not (folder / MANIFEST).is_file():
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise DeploymentError(
            f"torch-model-archiver failed (exit code {result.returncode}): {lines[-1] if lines else 'no output'}",
            where=" ".join(command[2:]),
            fix="pip install torch-model-archiver" if "No module named" in result.stderr else "",
        )
    return folder


def _pack(folder: Path, target: Path) -> Path:
    """Zip a folder reproducibly: sorted names, one date, one mode, no clock time in the manifest."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest.pop("createdOn", None)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    partial = target.with_suffix(".mar.partial")
    with zipfile.ZipFile(partial, "w") as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if not path.is_file() or "__pycache__" in name:
                continue
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            # Compression doesn't make weights smaller, and takes seconds for 100 MB.
            entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".pt" else zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    partial.replace(target)
    return target


def _roles(manifest: dict[str, Any]) -> dict[str, str]:
    model = manifest.get("model", {})
    return {
        str(model.get("serializedFile", "")): "the model as TorchScript",
        str(model.get("handler", "")): "handler: request to tensor to answer",
        INDEX_FILE: "class names by index",
        MODEL_FILE: "the handler's information about its model",
        MANIFEST: "TorchServe's manifest",
        **HANDLER_MODULES,
    }


def describe(mar: Path, roles: Mapping[str, str] | None = None) -> ArchiveInfo:
    """Read the contents of an archive, without unpacking it.

    Args:
        mar: Any TorchServe archive; archives of this lab contain more information.
        roles: Purpose of further files, by name.

    Raises:
        DeploymentError: The file isn't an archive, or lacks a file that its manifest names.
    """
    try:
        with zipfile.ZipFile(mar) as archive:
            sizes = {each.filename: each.file_size for each in archive.infolist() if not each.is_dir()}
            manifest = json.loads(archive.read(MANIFEST))
            index = json.loads(archive.read(INDEX_FILE)) if INDEX_FILE in sizes else {}
            known = json.loads(archive.read(MODEL_FILE)) if MODEL_FILE in sizes else {}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DeploymentError(f"This isn't a TorchServe archive: {error}", where=str(mar)) from error
    model = manifest.get("model", {})
    for key in ("serializedFile", "handler"):
        named = str(model.get(key, ""))
        # A handler without .py is built in to TorchServe.
        if named and named.split(":")[0] not in sizes and (key != "handler" or named.endswith(".py")):
            raise DeploymentError(f"The archive lacks its {key} {named}.", where=str(mar))
    roles = {**_roles(manifest), **(roles or {})}
    with mar.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256") if sys.version_info >= (3, 11) else _digest(stream)
    return ArchiveInfo(
        name=str(model.get("modelName", "")),
        version=str(model.get("modelVersion", "")),
        handler=str(model.get("handler", "")),
        serialized_file=str(model.get("serializedFile", "")),
        classes=tuple(str(index[key]) for key in sorted(index, key=int)),
        facts={key: value for key, value in known.items() if key not in GENERAL_FACTS},
        sha256=digest.hexdigest(),
        entries=tuple(ArchiveEntry(name, size, roles.get(name, "")) for name, size in sorted(sizes.items())),
    )


def _digest(stream: Any) -> Any:
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest
