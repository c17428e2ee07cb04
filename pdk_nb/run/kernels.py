"""Where kernels start: an IPython folder and environment variables of the run's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["environment_variables", "quiet_profile"]


def quiet_profile() -> tempfile.TemporaryDirectory[str]:
    """An IPython folder of the run's own: nobody's start-up files, and no words of the kernel about itself."""
    folder = tempfile.TemporaryDirectory(prefix="pdk-ipython-", ignore_cleanup_errors=True)
    config = Path(folder.name) / "profile_default" / "ipython_kernel_config.py"
    config.parent.mkdir()
    config.write_text("c = get_config()\nc.IPKernelApp.log_level = 50\nc.HistoryManager.enabled = False\n")
    return folder


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the kernels that start meanwhile."""
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
