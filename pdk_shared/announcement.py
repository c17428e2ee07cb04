"""How a cluster that runs on this machine says where it is: a lock that it holds, and a file with its addresses.

The embedded stack writes both into its state folder. Whoever looks for a cluster reads them there; nobody needs the
stack's code for that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from pdk_shared.checkout import find_source
from pdk_shared.errors import UsageError

__all__ = ["ANNOUNCEMENT", "LOCK", "STATE_VARIABLE", "announced_kubeconfig", "is_held", "read", "state_folder"]

STATE_VARIABLE = "PDK_STATE_DIR"
IN_CHECKOUT = ".pdk"
# Below the state folder.
LOCK = "lock"
ANNOUNCEMENT = "run/stack.json"


def state_folder(chosen: str | Path | None = None) -> Path:
    """The state folder of this person's cluster.

    Args:
        chosen: The folder, if a person named one.

    Returns:
        The argument, ``PDK_STATE_DIR``, ``.pdk`` in the lab's checkout, or, without a checkout, the system's folder for
        user state. It needn't exist.
    """
    named = str(chosen or "") or os.environ.get(STATE_VARIABLE, "")
    if not named:
        try:
            named = str(find_source() / IN_CHECKOUT)
        except UsageError:
            import platformdirs

            named = platformdirs.user_state_dir("pdk-lab", appauthor=False)
    return Path(named).expanduser().resolve()


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock; the system releases it when the process ends, however it ends.

    Raises:
        OSError: The file can't be read.
    """
    if not lock.exists():
        return False
    with lock.open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read(folder: Path) -> dict[str, Any] | None:
    """What the cluster of a state folder announces; None when none runs, or while it starts."""
    with contextlib.suppress(OSError, ValueError):
        if is_held(folder / LOCK):
            content = json.loads((folder / ANNOUNCEMENT).read_text())
            return content if isinstance(content, dict) else None
    return None


def announced_kubeconfig(chosen: str | Path | None = None) -> str:
    """The kubeconfig of the cluster that runs on this machine; empty when none runs.

    Args:
        chosen: Its state folder, as for :func:`state_folder`.
    """
    path = str((read(state_folder(chosen)) or {}).get("kubeconfig", ""))
    return path if path and Path(path).is_file() else ""
