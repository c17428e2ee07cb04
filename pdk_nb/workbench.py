"""Copies of the notebooks and of the lab's other files to work on, and JupyterLab on them.

The checkout's own notebooks stay as they are, so that ``git pull`` never conflicts with what a person did. People who
installed the lab without a checkout work on copies of all of its files. A copy that only ran counts as unchanged:
outputs come back by running it again, edits don't.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from pdk_shared.errors import PdkError, UsageError

__all__ = [
    "FOLDERS",
    "START",
    "is_copy",
    "jupyter_command",
    "jupyter_environment",
    "open_jupyter",
    "update_copies",
    "update_folder",
]

START = "START.md"
#: The folders of the lab's files that a person may want to change.
FOLDERS = ("cluster", "examples", "images", "notebooks", "sample-data")
# Hidden in JupyterLab: the record of what was copied, and JupyterLab's configuration.
PRIVATE = ".lab"
RECORD = f"{PRIVATE}/copied.json"
# Uploads beyond 10 MB would be lost without a word at Jupyter's own limit.
MAX_MESSAGE_BYTES = 100 << 20
# A page to start from instead of source text, no question about news, and room for the notebooks' names.
OVERRIDES = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": False, "showFileSizeColumn": False},
}
PAGE = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


def is_copy(folder: Path) -> bool:
    """Whether a folder has copies that :func:`update_copies` made."""
    return (folder / RECORD).is_file()


def update_folder(source: Path, folder: Path) -> list[str]:
    """Copy all that the lab's commands and notebooks read into a folder of a person's own; see :func:`update_copies`.

    Args:
        source: The lab's files.
        folder: The person's folder.

    Raises:
        UsageError: The folder can't be written, has other files, or is the one of the lab's files itself.
    """
    if folder.is_dir() and not is_copy(folder) and any(folder.iterdir()):
        raise UsageError(
            "The folder has other files.", where=str(folder), fix="Choose another one: pdk-nb lab --dir FOLDER"
        )
    names = [name for top in FOLDERS for name in _files(source, top)]
    return _update(source, folder, names, "--dir")


def update_copies(source: Path, work: Path) -> list[str]:
    """Copy the notebooks and what they show into a work folder, without overwriting what a person changed there.

    What the lab no longer has goes, unless the person changed it.

    Args:
        source: The lab's ``notebooks``.
        work: The work folder; it's made if it doesn't exist.

    Returns:
        For people: one line for each file that a person changed and of which there is a newer version.

    Raises:
        UsageError: The work folder can't be written, or is the folder of the notebooks itself.
    """
    return _update(source, work, list(_files(source)), "--work")


def _update(source: Path, work: Path, names: list[str], flag: str) -> list[str]:
    if work.resolve() == source.resolve():
        raise UsageError(
            "This is the folder of the lab's own files.", where=str(work), fix=f"Choose another one with {flag}."
        )
    record = work / RECORD
    try:
        copied: dict[str, str] = json.loads(record.read_text()) if record.is_file() else {}
    except ValueError:
        copied = {}  # every difference then counts as a person's
    said = []
    try:
        for name in names:
            original, copy = source / name, work / name
            content = _content(original)
            if not copy.exists() or _content(copy) == copied.get(name, ""):
                if not copy.exists() or content != copied.get(name):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(original, copy)
            elif _content(copy) != content and content != copied.get(name):
                newer = copy.with_name(f"{copy.stem}.new{copy.suffix}")
                shutil.copyfile(original, newer)
                said.append(f"You changed {name}; it stays. The lab's new version is beside it: {newer.name}")
            copied[name] = content
        for name in sorted(copied.keys() - set(names)):
            # Not the lab's any more: a renamed notebook would otherwise be there twice.
            if (work / name).is_file() and _content(work / name) == copied[name]:
                (work / name).unlink()
            del copied[name]
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(copied, indent=1))
    except OSError as error:
        raise UsageError(
            f"Can't write the work folder: {error.strerror}.", where=str(work), fix=f"Choose another one with {flag}."
        ) from error
    return said


def _files(source: Path, top: str = "") -> Iterator[str]:
    """Names of the files to copy, with their folders."""
    for path in sorted((source / top).rglob("*")):
        name = path.relative_to(source)
        if path.is_file() and not any(part.startswith(".") or part == "__pycache__" for part in name.parts):
            yield name.as_posix()


def _content(path: Path) -> str:
    """A digest of what a person can change: of a notebook, its cells without their outputs."""
    raw = path.read_bytes()
    if path.suffix == ".ipynb":
        try:
            cells = json.loads(raw)["cells"]
            raw = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells]).encode()
        except (ValueError, KeyError, TypeError):
            pass  # not a notebook any more: its bytes count
    return hashlib.sha256(raw).hexdigest()


def jupyter_command(
    work: Path, *, port: int = 0, open_browser: bool = True, python: str = sys.executable, start: str = START
) -> list[str]:
    """JupyterLab on a work folder, with the start page open.

    Args:
        work: The work folder.
        start: The start page, in the work folder.
        port: The port; 8888 or the next free one when 0.
        open_browser: Whether to open the browser.
        python: The Python of the environment that JupyterLab is installed in.
    """
    limit = f"{{'websocket_max_message_size': {MAX_MESSAGE_BYTES}}}"
    flags = [
        f"--ServerApp.root_dir={work.resolve()}",
        f"--LabApp.default_url=/lab/tree/{start}",
        f"--ServerApp.tornado_settings={limit}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    if port:
        flags.append(f"--ServerApp.port={port}")
    if not open_browser:
        flags.append("--no-browser")
    # Containers often have no other user than root.
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--allow-root")
    return [python, "-m", "jupyterlab", *flags]


def jupyter_environment(work: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of JupyterLab: its terminals find ``pdk-nb`` and ``det``, and its settings fit the lab.

    Writes the settings into the work folder. What a person sets in JupyterLab takes precedence.

    Args:
        work: The work folder.
        given: The environment of the command, with the cluster's variables.
    """
    config = work / PRIVATE / "jupyter"
    (config / "labconfig").mkdir(parents=True, exist_ok=True)
    (config / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(OVERRIDES, indent=1))
    (config / "labconfig" / "page_config.json").write_text(json.dumps(PAGE, indent=1))
    paths = [str(Path(sys.executable).parent), given.get("PATH", "")]
    configs = [str(config.resolve()), given.get("JUPYTER_CONFIG_PATH", "")]
    return {
        **given,
        "PATH": os.pathsep.join(filter(None, paths)),
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, configs)),
    }


def open_jupyter(
    work: Path,
    environment: Mapping[str, str],
    *,
    port: int = 0,
    open_browser: bool = True,
    python: str = sys.executable,
    start: str = START,
) -> int:
    """Run JupyterLab until it ends.

    Args:
        work: The work folder.
        environment: Variables of the cluster, over those of this process.
        port: The port; 8888 or the next free one when 0.
        open_browser: Whether to open the browser.
        python: The Python of the environment that JupyterLab is installed in.
        start: The start page, in the work folder.

    Returns:
        JupyterLab's exit status; 0 after Ctrl-C.

    Raises:
        PdkError: JupyterLab isn't installed.
    """
    import importlib.util

    if python == sys.executable and importlib.util.find_spec("jupyterlab") is None:
        raise PdkError("JupyterLab isn't installed.", fix="pip install pdk-lab")
    command = jupyter_command(work, port=port, open_browser=open_browser, python=python, start=start)
    try:
        return subprocess.run(
            command, env=jupyter_environment(work, {**os.environ, **environment}), check=False
        ).returncode
    except KeyboardInterrupt:
        return 0
