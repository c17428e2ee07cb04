"""The lock of a state folder, which makes sure that one folder never has two stacks."""

from __future__ import annotations

import fcntl
import os
from typing import IO

from pdk_shared.errors import StackError
from pdk_stack.paths import StatePaths

__all__ = ["hold_lock", "holder", "is_running", "unusable"]


def hold_lock(paths: StatePaths) -> IO[str]:
    """Take the state folder for this process; released when the process ends, however it ends.

    Raises:
        StackError: Another stack has it.
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
    """Whether a supervisor holds the state folder."""
    if not paths.lock.exists():
        return False
    try:
        with paths.lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        raise unusable(paths, error) from error
    return False


def holder(paths: StatePaths) -> int:
    """The process id of the supervisor that holds the folder, or held it last.

    Raises:
        OSError: There was none.
        ValueError: The same.
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
