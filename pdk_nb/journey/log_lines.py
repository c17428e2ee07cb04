"""A trial's log for readers: short lines, and a report of metrics as the numbers that it reports."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping

__all__ = ["cut", "short", "without_reports"]

# What the master puts before a trial's log lines: time, container, rank, level, process.
HEAD = re.compile(r"^\[\S+T(\d\d:\d\d:\d\d)\S*\][^|]*\|\| (?:\w+: )?(?:\[\d+\] )?")
# How Determined's harness logs a report: determined/core/_train.py.
REPORT = re.compile(
    r"determined\.core: report_(training|validation)_metrics\(steps_completed=(\d+), metrics=(\{.*\})\)"
)
# The metrics that a line has room for; the others are in Determined.
SHOWN = ("accuracy", "loss")


def short(line: str) -> str:
    """A log line with its time alone in front; of a report of metrics, the batches, the loss, and the accuracy.

    Args:
        line: A line as the master returns it.
    """
    line = HEAD.sub(r"\1 ", line)
    found = REPORT.search(line)
    if found is None:
        return line
    try:
        metrics = ast.literal_eval(found.group(3))
    except (ValueError, SyntaxError):
        return line  # Python doesn't write every number as a literal: nan, for example
    said = [f"{name} {metrics[name]:.3f}" for name in SHOWN if _is_number(metrics, name)]
    return f"{line[: found.start()]}{found.group(1)} after {found.group(2)} batches: {', '.join(said) or 'reported'}"


def cut(line: str, most: int = 200) -> str:
    """A line that fits into a page: the harness logs the whole configuration in one.

    Args:
        line: A line.
        most: Its longest length in characters.
    """
    return line if len(line) <= most else f"{line[: most - 1]}…"


def without_reports(lines: Iterable[str]) -> list[str]:
    """Log lines that aren't reports of metrics; the curves show those.

    Args:
        lines: Lines as the master returns them.
    """
    return [line for line in lines if REPORT.search(line) is None]


def _is_number(metrics: Mapping[str, object], name: str) -> bool:
    return isinstance(metrics.get(name), (int, float))
