"""Logs of services and their child processes: setup, limits, rotation, and tail."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["MAX_LOG_BYTES", "Flood", "rotate", "set_up", "tail"]

#: The size at which a kubelet rotates a container's log (``containerLogMaxSize``), and so does the stack.
MAX_LOG_BYTES = 10 << 20
TAIL_BYTES = 1 << 16
#: Records with one text that may follow each other: beyond, they say nothing new.
BURST, WINDOW_S = 10, 10.0
KNOWN_TEXTS = 256


class Flood(logging.Filter):
    """Lets a warning or an error pass so often within a while, and counts the others.

    Without file descriptors, asyncio reports every connection that it can't accept, with a traceback: 20 MB a second.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        # By logger, place and text: when its window began, how many passed, and how many were left out.
        self._seen: dict[tuple[str, int, str], tuple[float, int, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written; the first one of a new window tells how many weren't."""
        if record.levelno < logging.WARNING:
            return True
        # Text, not its arguments; what comes after the first line differs from time to time.
        key = (record.name, record.lineno, str(record.msg).partition("\n")[0])
        now = self._clock()
        with self._lock:
            began, passed, left_out = self._seen.pop(key, (now, 0, 0))
            if now - began >= WINDOW_S:
                if left_out:
                    record.msg, record.args = f"{record.getMessage()} (and {left_out:,} times more before)", None
                began, passed, left_out = now, 0, 0
            allowed = passed < BURST
            self._seen[key] = (began, passed + allowed, left_out + (not allowed))
            if len(self._seen) > KNOWN_TEXTS:
                del self._seen[next(iter(self._seen))]  # the one that was seen longest ago
        return allowed


def set_up(level: str = "INFO") -> None:
    """Log to stderr; the process that starts the service redirects it to a file."""
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(Flood())


def rotate(path: Path, limit: int = MAX_LOG_BYTES) -> bool:
    """Rotate a log that other processes append to: copy its end to ``<name>.1`` and truncate it.

    The file itself stays, because its writers have it open for appending; a line written in between may be lost.

    Args:
        path: The log file.
        limit: Size in bytes above which to rotate, and of what is kept.

    Returns:
        Whether the log was rotated.
    """
    with contextlib.suppress(OSError):
        if (size := path.stat().st_size) > limit:
            with path.open("rb") as source, path.with_name(f"{path.name}.1").open("wb") as kept:
                source.seek(size - limit)
                shutil.copyfileobj(source, kept)
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
