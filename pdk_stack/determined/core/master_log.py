"""The master's own log, kept for those who ask for it: the newest lines, in memory."""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime, timezone
from typing import Any

__all__ = ["Words"]

KEPT = 5000
_LEVELS = {"WARN": "WARNING", "FATAL": "CRITICAL"}


class Words(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._lines: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._last = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        moment = datetime.fromtimestamp(record.created, timezone.utc)
        with self._guard:
            self._last += 1
            self._lines.append(
                {
                    "id": self._last,
                    "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                    "level": f"LOG_LEVEL_{_LEVELS.get(record.levelname, record.levelname)}",
                    "message": record.getMessage(),
                }
            )

    def after(self, key: int) -> list[dict[str, Any]]:
        """Lines behind a number."""
        with self._guard:
            return [line for line in self._lines if line["id"] > key]
