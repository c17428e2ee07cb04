"""The lock that prevents two stacks on one state folder."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from pdk_shared.announcement import is_held
from pdk_shared.errors import StackError
from pdk_stack.paths import StatePaths

__all__ = ["hold_lock", "holder", "is_running", "unusable"]


def hold_lock(paths: StatePaths) -> IO[str]:
    """Lock the state folder for this process; the system releases the lock when the process ends.

    Raises:
        StackError: Another stack holds the lock.
    """
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = paths.lock.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        raise StackError(
            "A stack is already running on this state folder.", where=str(paths.root), fix="pdk-nb status"
        ) from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def is_running(paths: StatePaths) -> bool:
    """Return whether a supervisor holds the lock."""
    try:
        return is_held(paths.lock)
    except OSError as error:
        raise unusable(paths, error) from error


def holder(paths: StatePaths) -> int:
    """Return the process id of the supervisor that holds or last held the lock.

    Raises:
        OSError: There has been no supervisor.
        ValueError: The lock file is empty.
    """
    return int(paths.lock.read_text())


def unusable(paths: StatePaths, error: OSError) -> StackError:
    """The error for a state folder that cannot be read or written: full, read-only, or not a folder."""
    reason = (error.strerror or str(error)).lower()
    return StackError(
        f"The state folder cannot be used: {reason}.",
        where=str(error.filename or paths.root),
        fix="Make room, or name another folder: pdk-nb up --state-dir DIR (or PDK_STATE_DIR)",
    )
