"""Logs of services and of what they start: set up once, kept to a size, read from their end."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from pathlib import Path

__all__ = ["MAX_LOG_BYTES", "rotate", "set_up", "tail"]

#: A kubelet rotates a container's log at this size (``containerLogMaxSize``), and so does the stack.
MAX_LOG_BYTES = 10 << 20
TAIL_BYTES = 1 << 16


def set_up(level: str = "INFO") -> None:
    """Write this process's log to stderr; whoever started the process keeps it in a file."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def rotate(path: Path, limit: int = MAX_LOG_BYTES) -> bool:
    """Keep a log that other processes append to below a size: its content moves to ``<name>.1``, the file is emptied.

    The file itself stays, as those who write have it open for appending; a line written in between may be lost.

    Args:
        path: The log.
        limit: Bytes from which on it is emptied.

    Returns:
        Whether it was.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > limit:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)
            return True
    return False


def tail(path: Path, lines: int) -> str:
    """The last lines of a log, read from its end; empty when there is none.

    Args:
        path: The log.
        lines: How many lines at most, out of its last 64 KiB.
    """
    try:
        with path.open("rb") as source:
            source.seek(max(0, source.seek(0, os.SEEK_END) - TAIL_BYTES))
            content = source.read()
    except OSError:
        return ""
    return "\n".join(content.decode(errors="replace").splitlines()[-lines:])
