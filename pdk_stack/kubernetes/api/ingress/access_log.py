"""The access log: one JSON line per request, without bodies.

A separate thread writes it, so that no request depends on it: what can't be written is lost, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import queue
import threading
from pathlib import Path
from typing import Any

__all__ = ["AccessLog"]

# The kubelet's limits for a container's log: 10 MiB, rotated (``containerLogMaxSize``).
MAX_BYTES, OLD_FILES = 10 << 20, 1
# Lines that wait for a slow disk; further ones are lost.
QUEUE_LENGTH = 10_000
CLOSE_SECONDS = 5.0


class _Rotating(logging.handlers.RotatingFileHandler):
    """Writes lines, and ignores a full disk, a missing folder, or a lack of descriptors."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the line; the next one opens the file again."""
        with contextlib.suppress(OSError, ValueError):
            self.close()
        self.stream = None


class AccessLog:
    """Writes lines in the background.

    Args:
        path: The file; it is opened with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._file = _Rotating(path, maxBytes=MAX_BYTES, backupCount=OLD_FILES, delay=True)
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._write, name="access-log", daemon=True)
        self._thread.start()

    def record(self, line: dict[str, Any]) -> None:
        """Write a line soon, or lose it if too many wait."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(line)

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._file.handle(logging.makeLogRecord({"msg": json.dumps(line)}))
        self._file.close()

    def close(self) -> None:
        """Write what waits and close the file, unless the disk takes too long."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)
