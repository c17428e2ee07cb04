"""JupyterLab with Pachyderm's own extension, in an environment of its own.

The extension pins ``jupyter_server`` below 2.15, and the lab uses a newer one. So JupyterLab's server and the extension
get an environment beside the lab's. Kernels still run in the lab's: the server finds them by a kernel description.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

from pdk_nb.settings import Settings
from pdk_shared.errors import PdkError

__all__ = ["PACKAGES", "environment_for", "folder", "prepare"]

# The extension's newest release; its front end is built for JupyterLab 4.
PACKAGES = (
    "jupyterlab-pachyderm==2.12.2",
    "jupyterlab>=4,<5",
    "setuptools<81",  # the extension imports distutils, which Python 3.12 has no more; setuptools brings it
)
# Their halves in the browser must fit those in the kernel.
WIDGETS = ("anywidget", "ipywidgets")
# It reports to the extension's maker; the lab makes no requests to others.
TELEMETRY = "jupyterlab-pachyderm:telemetry"
DONE = "installed.json"


def folder() -> Path:
    """The folder of the environment, in the person's own data; one for each version of Python."""
    import platformdirs

    version = ".".join(map(str, sys.version_info[:2]))
    return Path(platformdirs.user_data_dir("pdk-lab", appauthor=False)) / "pachyderm-extension" / version


def requirements() -> list[str]:
    """What the environment needs."""
    return [*PACKAGES, *(f"{name}=={importlib.metadata.version(name)}" for name in WIDGETS)]


def prepare(place: Path, progress: Callable[[str], None]) -> Path:
    """Make the environment, unless it is there with the same packages.

    Args:
        place: Its folder.
        progress: Called with one line for each step.

    Returns:
        Its Python.

    Raises:
        PdkError: The packages can't be installed.
    """
    python, record, wanted = place / "bin" / "python", place / DONE, requirements()
    if python.exists() and record.is_file() and json.loads(record.read_text()) == wanted:
        return python
    progress("Installing Pachyderm's extension into an environment of its own (once; a minute or two) ...")
    try:
        record.unlink(missing_ok=True)
        venv.EnvBuilder(clear=True, with_pip=True).create(place)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PdkError(f"Can't make the extension's environment: {error}", where=str(place)) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip gives no reason"])[-1]
        raise PdkError(
            f"Pachyderm's extension can't be installed: {last}",
            where=str(place),
            fix="Connect to the internet and try again, or leave out --with-pachyderm-extension.",
        )
    record.write_text(json.dumps(wanted))
    return python


def environment_for(place: Path, settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Variables for JupyterLab's server: the lab's kernel, Pachyderm's address, and no telemetry.

    Args:
        place: The folder of the environment; the files lie in it.
        settings: The cluster's settings.
        given: The environment so far.

    Returns:
        The variables to add. Without ``PACH_CONFIG``, the extension gets a client configuration of its own, which only
        this user can read; the person's stays as it is, since the extension writes to the file that it uses.
    """
    kernel = place / "lab" / "kernels" / "python3" / "kernel.json"
    config = place / "lab" / "config" / "labconfig" / "page_config.json"
    for path in (kernel, config):
        path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "Python 3 (ipykernel)", "language": "python"}))
    config.write_text(json.dumps({"disabledExtensions": {TELEMETRY: True}}))

    def first(folder: Path, variable: str) -> str:
        return os.pathsep.join(filter(None, (str(folder), given.get(variable, ""))))

    variables = {
        "JUPYTER_PATH": first(place / "lab", "JUPYTER_PATH"),
        "JUPYTER_CONFIG_PATH": first(place / "lab" / "config", "JUPYTER_CONFIG_PATH"),
    }
    if not given.get("PACH_CONFIG"):
        variables["PACH_CONFIG"] = str(_client_configuration(place / "lab" / "pachyderm.json", settings))
    return variables


def _client_configuration(path: Path, settings: Settings) -> Path:
    """Write Pachyderm's client configuration for a cluster."""
    settings.require("mldm_host", "mldm_port")
    scheme = "grpcs" if settings.mldm_url.startswith(("https://", "grpcs://")) else "grpc"
    context = {"pachd_address": f"{scheme}://{settings.mldm_host}:{settings.mldm_port}"}
    if settings.pac_token:
        context["session_token"] = settings.pac_token.reveal()
    content = {"v2": {"active_context": "pdk-lab", "contexts": {"pdk-lab": context}, "metrics": False}}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        os.fchmod(handle.fileno(), 0o600)
        json.dump(content, handle)
    return path
