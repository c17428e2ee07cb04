"""From values to HTML: the templates, and how they write times, sizes, and ids."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pdk_nb.display.diagrams import State
from pdk_nb.journey.states import DATUMS, IDLE, drawn
from pdk_shared.errors import PdkError

__all__ = ["Renderer"]

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
# Words that aren't a job's, datum's, or experiment's state: readiness, findings of the doctor.
OWN_WORDS: dict[str, State] = {
    "ready": "done",
    "True": "done",
    "ok": "done",
    "failed": "failed",
    "False": "failed",
    "broken": "failed",
    "starting": "running",
    "warning": "missing",
    "unknown": "missing",
    "Unknown": "missing",
    "open": "waiting",
}
UNITS = ("B", "kB", "MB", "GB", "TB")


class Renderer:
    """Renders the console's templates.

    Args:
        changes: Whether pages offer actions.
        check: What a posted form must repeat.
    """

    def __init__(self, changes: bool = False, check: str = "") -> None:
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._environment.filters |= {"when": when, "size": size, "seconds": seconds, "quoted": quoted, "state": state}
        self._environment.filters |= {"latency": latency}
        self._environment.globals |= {"changes": changes, "check": check}
        # Unexpected errors that the terminal has shown.
        self._told: set[str] = set()

    def render(self, template: str, **values: Any) -> str:
        """The HTML of a template.

        Args:
            template: Its file name.
            values: What it shows; texts are escaped.
        """
        return self._environment.get_template(template).render(**values)

    def problem(self, error: Exception) -> str:
        """An error in words. The traceback of an unexpected one goes to the terminal, once."""
        if not isinstance(error, PdkError):
            kind = f"{type(error).__name__}: {error}"
            if kind not in self._told:
                self._told.add(kind)
                log.error("the console can't read the lab", exc_info=error)
            error = PdkError(
                f"The console can't read the lab: {kind}",
                fix="Please report this, with what the terminal of pdk-nb ui shows.",
            )
        return self.render("problem.html", error=error)


def when(moment: float) -> str:
    """A time in seconds since the epoch, in the local time zone; nothing for 0."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment)) if moment else ""


def size(count: int) -> str:
    """A size in bytes, in the largest fitting decimal unit."""
    value, unit = float(count), 0
    while value >= 999.95 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def seconds(count: float) -> str:
    """A duration in seconds, in words."""
    if count < 60:
        return f"{count:.1f} s" if count < 10 else f"{count:.0f} s"
    minutes, rest = divmod(round(count), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def latency(milliseconds: float | None) -> str:
    """A latency in milliseconds, as exact as a histogram has it; nothing for one that wasn't measured."""
    if milliseconds is None:
        return ""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def quoted(part: str) -> str:
    """A name as one part of an address."""
    return quote(part, safe="")


def state(word: str) -> State:
    """The color and sign of a word, as a drawing's state: a platform's own word, or one of the console's."""
    if word in OWN_WORDS:
        return OWN_WORDS[word]
    return "waiting" if word in IDLE else DATUMS.get(word) or drawn(word)
