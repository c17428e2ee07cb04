"""The master's own log: the newest lines, kept in memory for clients to read."""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime, timezone
from typing import Any

from pdk_stack.common.database import Bell
from pdk_stack.determined.timestamps import written

__all__ = ["MasterLog"]

KEPT = 5000
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"}


class MasterLog(logging.Handler):
    """Logging handler that keeps the newest lines.

    Attributes:
        bell: Rings after every line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bell = Bell()
        self._guard = threading.Lock()
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._last = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Store a record as a line."""
        with self._guard:
            self._last += 1
            self._lines.append(
                {
                    "id": self._last,
                    "timestamp": written(datetime.fromtimestamp(record.created, timezone.utc)),
                    "level": f"LOG_LEVEL_{_LEVELS.get(record.levelname, record.levelname)}",
                    "message": record.getMessage(),
                }
            )
        self.bell.ring()

    def after(self, key: int) -> list[dict[str, Any]]:
        """Return the lines after a line number."""
        with self._guard:
            return [line for line in self._lines if line["id"] > key]
