"""Stores the output of a trial's processes as task log lines."""

from __future__ import annotations

import re
from collections.abc import Callable

from pdk_stack.determined.core.masking import mask_text
from pdk_stack.determined.core.trials.launch import AGENT_ID, Run
from pdk_stack.determined.store.task_logs import Logs
from pdk_stack.determined.timestamps import now

__all__ = ["LineSplitter", "OutputLog", "parse_line"]

#: Longer lines are split, as the master's log shipper does.
LINE_LIMIT = 8191

_RANK = re.compile(r" ?\[rank=(?P<rank>[0-9]+)\] ?(?P<rest>.*)", re.DOTALL)
_LEVEL = re.compile(r" ?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL): ?(?P<rest>.*)", re.DOTALL)
_LINE_END = re.compile(rb"[\r\n]")


class LineSplitter:
    """Splits a byte stream at newlines and at carriage returns, which progress bars use."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the complete lines, each with its newline."""
        pieces = _LINE_END.split(self._rest + chunk)
        self._rest = pieces.pop()
        while len(self._rest) > LINE_LIMIT:
            pieces.append(self._rest[:LINE_LIMIT])
            self._rest = self._rest[LINE_LIMIT:]
        return [piece.decode("utf-8", "replace") + "\n" for piece in pieces]

    def rest(self) -> list[str]:
        """Return the text after the last newline."""
        last, self._rest = self._rest, b""
        return [last.decode("utf-8", "replace") + "\n"] if last else []


def parse_line(line: str) -> tuple[int | None, str | None, str]:
    """Parse the rank, level, and text of a line such as ``[rank=0] INFO: text``."""
    rank = level = None
    if match := _RANK.match(line):
        rank, line = int(match["rank"]), match["rest"]
    if match := _LEVEL.match(line):
        level, line = match["level"], match["rest"]
    return rank, level, line


class OutputLog:
    """Stores the output of one run with secrets masked.

    Args:
        logs: All logs.
        run: The run that writes the output.
        secrets: Values to mask.
        watch: Sees every line; returns what the master adds to the log because of it.
    """

    def __init__(self, logs: Logs, run: Run, secrets: list[str], watch: Callable[[str], list[str]]) -> None:
        self._logs = logs
        self._run = run
        self._secrets = secrets
        self._watch = watch
        self._splitters = {"stdout": LineSplitter(), "stderr": LineSplitter()}

    def take(self, stream: str, chunk: bytes) -> None:
        """Store a chunk of output.

        Args:
            stream: ``stdout`` or ``stderr``.
            chunk: The bytes; empty at the end.
        """
        splitter = self._splitters[stream]
        lines = splitter.feed(chunk) if chunk else splitter.rest()
        moment, run = now(), self._run
        rows = []
        for line in lines:
            rank, level, text = parse_line(mask_text(line, self._secrets))
            rows.append(
                (run.task_id, run.allocation_id, moment, level, "task", stream, rank, AGENT_ID, run.container_id, text)
            )
        if rows:
            self._logs.add_rows(rows)
        for row in rows:
            for added in self._watch(row[-1]):
                self._logs.write_line(run.task_id, added, level="ERROR", allocation_id=run.allocation_id)
