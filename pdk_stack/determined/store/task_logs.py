"""Task logs: lines read from a trial's output or posted by a shipper, stored, filtered and followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.determined.store.documents import Store
from pdk_stack.determined.timestamps import normalised, now

__all__ = ["LEVELS", "LineSplitter", "LogFilter", "Logs", "parse_line"]

#: Levels by their plain name; other texts count as not stated.
LEVELS = {name: f"LOG_LEVEL_{name}" for name in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
UNSPECIFIED = "LOG_LEVEL_UNSPECIFIED"
PAGE = 1000
#: Longer lines are cut into pieces, as the master's own shipper does.
LINE_LIMIT = 8191

_RANK = re.compile(r" ?\[rank=(?P<rank>[0-9]+)\] ?(?P<rest>.*)", re.DOTALL)
_LEVEL = re.compile(r" ?(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL): ?(?P<rest>.*)", re.DOTALL)
_LINE_END = re.compile(rb"[\r\n]")


class LineSplitter:
    """Cuts a byte stream into lines at newlines and carriage returns; progress bars use the latter."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Finished lines, each with its newline."""
        pieces = _LINE_END.split(self._rest + chunk)
        self._rest = pieces.pop()
        while len(self._rest) > LINE_LIMIT:
            pieces.append(self._rest[:LINE_LIMIT])
            self._rest = self._rest[LINE_LIMIT:]
        return [piece.decode("utf-8", "replace") + "\n" for piece in pieces]

    def rest(self) -> list[str]:
        """What stands after the last newline."""
        last, self._rest = self._rest, b""
        return [last.decode("utf-8", "replace") + "\n"] if last else []


def parse_line(line: str) -> tuple[int | None, str | None, str]:
    """Rank, level and text of a line such as ``[rank=0] INFO: text``."""
    rank = level = None
    if match := _RANK.match(line):
        rank, line = int(match["rank"]), match["rest"]
    if match := _LEVEL.match(line):
        level, line = match["level"], match["rest"]
    return rank, level, line


@dataclass
class LogFilter:
    """Which lines a reader wants; empty sets want all.

    Attributes:
        levels: ``LOG_LEVEL_...`` names.
        ranks: Ranks as text; ``""`` means lines without one.
        after: Only lines later than this time.
        before: Only lines earlier than this time.
        text: Part of the line; a regular expression when ``regex``.
    """

    levels: set[str] = field(default_factory=set)
    ranks: set[str] = field(default_factory=set)
    sources: set[str] = field(default_factory=set)
    stdtypes: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    containers: set[str] = field(default_factory=set)
    allocations: set[str] = field(default_factory=set)
    after: str = ""
    before: str = ""
    text: str = ""
    regex: bool = False

    def where(self) -> tuple[str, list[Any]]:
        """The filter as SQL behind ``where task_id = ?``."""
        parts: list[str] = []
        values: list[Any] = []
        levels = {level.removeprefix("LOG_LEVEL_") for level in self.levels if level != UNSPECIFIED}
        named: list[tuple[str, set[Any]]] = [
            ("source", self.sources),
            ("stdtype", self.stdtypes),
            ("agent_id", self.agents),
            ("container_id", self.containers),
            ("allocation_id", self.allocations),
            ("rank_id", {int(rank) for rank in self.ranks if rank.lstrip("-").isdigit()}),
        ]
        for column, wanted in named:
            if wanted:
                parts.append(f"{column} in ({','.join('?' * len(wanted))})")
                values += sorted(wanted)
        if levels or UNSPECIFIED in self.levels:
            inside = [f"level in ({','.join('?' * len(levels))})"] if levels else []
            inside += ["level is null"] if UNSPECIFIED in self.levels else []
            parts.append(f"({' or '.join(inside)})")
            values += sorted(levels)
        for operator, moment in ((">", self.after), ("<", self.before)):
            if moment:
                parts.append(f"timestamp {operator} ?")
                values.append(normalised(moment))
        if self.text and not self.regex:
            parts.append("instr(lower(log), lower(?)) > 0")
            values.append(self.text)
        return "".join(f" and {part}" for part in parts), values

    def matches(self, log: str) -> bool:
        """The part of the filter that SQL does not do."""
        return not (self.regex and self.text) or re.search(self.text, log) is not None


_COLUMNS = "id, timestamp, level, source, stdtype, rank_id, agent_id, container_id, allocation_id, log"


def _view(row: tuple[Any, ...]) -> dict[str, Any]:
    key, timestamp, level, source, stdtype, rank, agent, container, allocation, log = row
    shown = [f"[{timestamp}]", (container or "")[:8].ljust(8)]
    if rank is not None:
        shown.append(f"[rank={rank}]")
    shown.append("||")
    if level:
        shown.append(f"{level}:")
    return {
        "id": str(key),
        "timestamp": timestamp,
        "level": LEVELS.get(level or "", UNSPECIFIED),
        "message": f"{' '.join(shown)} {log}",
        "log": log,
        "agentId": agent,
        "containerId": container,
        "allocationId": allocation,
        "rankId": rank,
        "source": source,
        "stdtype": stdtype,
    }


class Logs:
    """All tasks' logs.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, entries: list[dict[str, Any]]) -> None:
        """Store lines; keys as a shipper posts them (``task_id``, ``log``, ``timestamp``, ``level``, ...)."""
        rows = [
            (
                entry["task_id"],
                entry.get("allocation_id"),
                normalised(entry.get("timestamp")),
                _plain_level(entry.get("level")),
                entry.get("source"),
                entry.get("stdtype"),
                entry.get("rank_id"),
                entry.get("agent_id"),
                entry.get("container_id"),
                entry["log"],
            )
            for entry in entries
        ]
        self.add_rows(rows)

    def add_rows(self, rows: list[tuple[Any, ...]]) -> None:
        """Store lines as rows of the table, without their ids."""
        with self._store.write() as db:
            db.executemany(
                "insert into logs(task_id, allocation_id, timestamp, level, source, stdtype, rank_id, agent_id, "
                "container_id, log) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        self._store.ring()

    def say(self, task_id: str, text: str, *, level: str = "INFO", allocation_id: str | None = None) -> None:
        """A line by the master itself."""
        self.add_rows([(task_id, allocation_id, now(), level, "master", None, None, None, None, text + "\n")])

    def read(
        self, task_id: str, wanted: LogFilter, *, limit: int = 0, newest_first: bool = False, after_id: int = 0
    ) -> Iterator[dict[str, Any]]:
        """Stored lines, a page of the table at a time.

        Args:
            limit: At most so many; 0 gives all.
            newest_first: Walk from the end.
            after_id: Only lines stored after this one.
        """
        condition, values = wanted.where()
        order, step = ("desc", "<") if newest_first else ("asc", ">")
        last, given = (2**62 if newest_first else after_id), 0
        while True:
            rows = self._store.db.execute(
                f"select {_COLUMNS} from logs where task_id = ? and id {step} ?{condition} order by id {order} limit ?",
                [task_id, last, *values, PAGE],
            ).fetchall()
            for row in rows:
                if wanted.matches(row[-1]):
                    yield _view(row)
                    given += 1
                    if limit and given >= limit:
                        return
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    def last_id(self, task_id: str) -> int:
        """The id of the task's newest line; 0 when it has none."""
        row = self._store.db.execute("select max(id) from logs where task_id = ?", (task_id,)).fetchone()
        return int(row[0] or 0)

    def follow(
        self,
        task_id: str,
        wanted: LogFilter,
        *,
        limit: int,
        ended: Callable[[], bool],
        gone: Callable[[], bool],
    ) -> Iterator[dict[str, Any]]:
        """Stored lines, then new ones as they come, until the task has ended.

        Args:
            ended: Whether the task has ended, asked before each look for new lines.
            gone: Whether the reader has left.
        """
        last, given = 0, 0
        while True:
            finished, newest = ended(), self.last_id(task_id)
            if newest > last:
                for entry in self.read(task_id, wanted, after_id=last):
                    yield entry
                    last = max(last, int(entry["id"]))
                    given += 1
                    if limit and given >= limit:
                        return
                last = max(last, newest)
                continue
            if finished or gone():
                return
            with self._store.changed:
                if self.last_id(task_id) <= last and not ended():
                    self._store.changed.wait(1.0)

    def fields(self, task_id: str) -> dict[str, list[Any]]:
        """The values that a reader may filter by."""
        result: dict[str, list[Any]] = {}
        for name, column in (
            ("agentIds", "agent_id"),
            ("allocationIds", "allocation_id"),
            ("containerIds", "container_id"),
            ("rankIds", "rank_id"),
            ("stdtypes", "stdtype"),
            ("sources", "source"),
        ):
            rows = self._store.db.execute(
                f"select distinct {column} from logs where task_id = ? and {column} is not null order by 1",
                (task_id,),
            )
            result[name] = [row[0] for row in rows]
        return result

    def delete(self, task_id: str) -> None:
        """Forget a task's log."""
        with self._store.write() as db:
            db.execute("delete from logs where task_id = ?", (task_id,))


def _plain_level(level: Any) -> str | None:
    plain = str(level or "").removeprefix("LOG_LEVEL_")
    return plain if plain in LEVELS else None
