"""The event log of a headless run: checks and predictions of its notebooks, one line of JSON each.

The runner sets the file in ``PDK_RUN_RECORD``. Without it, nothing is written and nothing else changes.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

EVENT_LOG_VARIABLE = "PDK_RUN_RECORD"
HEADLESS_VARIABLE = "PDK_HEADLESS"


def is_headless() -> bool:
    """Whether the notebook runs unattended, so that a failed check must stop the run."""
    return os.environ.get(HEADLESS_VARIABLE, "") not in ("", "0")


def log_event(kind: str, **values: Any) -> None:
    """Append one event to the log, if the run keeps one.

    Args:
        kind: ``check`` or ``prediction``.
        values: What happened; must be JSON.
    """
    target = os.environ.get(EVENT_LOG_VARIABLE)
    if target:
        with Path(target).open("a") as sink:
            sink.write(json.dumps({"kind": kind, "time": time.time(), **values}) + "\n")


def read_events(path: Path) -> list[dict[str, Any]]:
    """All events of a log; none when there is no log.

    Args:
        path: The log.
    """
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def score(predictions: Sequence[Mapping[str, Any]]) -> str:
    """How many predictions with a known class are right, e.g. ``8 of 9``.

    Args:
        predictions: Each with ``correct``; None when the class is unknown.
    """
    judged = [bool(each["correct"]) for each in predictions if each.get("correct") is not None]
    return f"{sum(judged)} of {len(judged)}"
