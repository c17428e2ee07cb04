"""Logs of services and their child processes: setup, rotation, and tail."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from pathlib import Path

__all__ = ["MAX_LOG_BYTES", "rotate", "set_up", "tail"]

#: The size at which a kubelet rotates a container's log (``containerLogMaxSize``), and so does the stack.
MAX_LOG_BYTES = 10 << 20
TAIL_BYTES = 1 << 16


def set_up(level: str = "INFO") -> None:
    """Log to stderr; the process that starts the service redirects it to a file."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def rotate(path: Path, limit: int = MAX_LOG_BYTES) -> bool:
    """Rotate a log that other processes append to: copy its content to ``<name>.1`` and truncate it.

    The file itself stays, because its writers have it open for appending; a line written in between may be lost.

    Args:
        path: The log file.
        limit: Size in bytes above which to rotate.

    Returns:
        Whether the log was rotated.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > limit:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
            return True
    return False


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a log; an empty string if there is no log.

    Args:
        path: The log file.
        lines: Maximum number of lines, taken from the last 64 KiB.
    """
    try:
        with path.open("rb") as source:
            source.seek(max(0, source.seek(0, os.SEEK_END) - TAIL_BYTES))
            content = source.read()
    except OSError:
        return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-lines:])
