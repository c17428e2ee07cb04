"""The environment of a run's kernels: a separate IPython folder, sockets, and environment variables."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["environment_variables", "kernels_in", "quiet_profile"]


def kernels_in(folder: str) -> type:
    """A class for papermill that starts kernels which listen on socket files.

    Jupyter chooses free TCP ports, and a kernel binds them a second later. By then, the kernel of another run that
    started at the same time can have them.

    Args:
        folder: Folder of the socket files; its path is short, because a socket's is limited to about 100 bytes.
    """
    from jupyter_client.manager import AsyncKernelManager

    class FolderKernelManager(AsyncKernelManager):
        def __init__(self, **options: object) -> None:
            super().__init__(**options)
            self.transport = "ipc"
            self.ip = str(Path(folder) / "kernel")

    return FolderKernelManager


def quiet_profile() -> tempfile.TemporaryDirectory[str]:
    """A separate IPython folder: no start-up files of the user, and no log messages of the kernel."""
    folder = tempfile.TemporaryDirectory(prefix="pdk-ipython-", ignore_cleanup_errors=True)
    config = Path(folder.name) / "profile_default" / "ipython_kernel_config.py"
    config.parent.mkdir()
    config.write_text("c = get_config()\nc.IPKernelApp.log_level = 50\nc.HistoryManager.enabled = False\n")
    return folder


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the kernels that start in this context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if value})
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old
