"""The console in JupyterLab: a card in the launcher opens it in a tab.

jupyter-server-proxy, which Jupyter's own people keep, finds :func:`server` through the entry point group
``jupyter_serverproxy_servers``. It adds the card, starts the console when somebody clicks it, passes their requests to
it, and ends it with Jupyter. So it works wherever Jupyter does, also on a JupyterHub, and Jupyter decides who gets in.
The console listens on a Unix socket in a folder that only this user can open.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

__all__ = ["server"]

ICON = Path(__file__).parent / "static" / "console.svg"
#: Seconds until the console has read the cluster's settings.
START_SECONDS = 60


def server() -> dict[str, Any]:
    """What jupyter-server-proxy needs to know."""
    return {
        "command": [sys.executable, "-m", "pdk_nb.cli", "ui", "--socket", "{unix_socket}"],
        "unix_socket": True,
        "timeout": START_SECONDS,
        "new_browser_tab": False,
        # Among the notebooks, because JupyterLab shows icons from files only there.
        "launcher_entry": {"title": "PDK console", "icon_path": str(ICON), "category": "Notebook"},
    }
