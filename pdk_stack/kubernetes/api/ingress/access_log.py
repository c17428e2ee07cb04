"""The access log: one JSON line per request, without bodies.

A separate thread writes it, so that no request depends on it: what can't be written is lost, and nothing else. The
supervisor rotates it.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from pathlib import Path
from typing import Any, TextIO

__all__ = ["AccessLog"]

# Lines that wait for a slow disk; further ones are lost.
QUEUE_LENGTH = 10_000
CLOSE_SECONDS = 5.0


class AccessLog:
    """Writes lines in the background.

    Args:
        path: The file; it is opened with the first line, and again after each failure.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(QUEUE_LENGTH)
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def record(self, line: dict[str, Any]) -> None:
        """Write a line soon, or lose it if too many wait."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(line)

    def _run(self) -> None:
        file: TextIO | None = None
        while (line := self._waiting.get()) is not None:
            try:
                file = file or self._path.open("a", buffering=1)
                file.write(json.dumps(line) + "\n")
            except OSError:
                _close(file)
                file = None
        _close(file)

    def close(self) -> None:
        """Write what waits and close the file, unless the disk takes too long."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)


def _close(file: TextIO | None) -> None:
    """Close a file, whose last line may not fit on the disk."""
    with contextlib.suppress(OSError):
        if file is not None:
            file.close()
