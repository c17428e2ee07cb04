"""Task logs: stores, filters, and follows lines from trials, log shippers, and the master."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.determined.store.documents import Store
from pdk_stack.determined.timestamps import normalized, now

__all__ = ["COLUMNS", "LEVELS", "LogFilter", "Logs"]

#: Levels by plain name; other names count as unspecified.
LEVELS = {name: f"LOG_LEVEL_{name}" for name in ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
UNSPECIFIED = "LOG_LEVEL_UNSPECIFIED"
PAGE = 1000
#: Asks for lines without a rank.
NO_RANK = -1
#: How often a followed log checks whether its reader has disconnected.
LOOK_SECONDS = 1.0
#: Columns that a reader can filter by, by the request's name for them.
COLUMNS = {
    "agentIds": "agent_id",
    "allocationIds": "allocation_id",
    "containerIds": "container_id",
    "rankIds": "rank_id",
    "stdtypes": "stdtype",
    "sources": "source",
}


@dataclass
class LogFilter:
    """The lines that a reader wants; empty sets match all.

    Attributes:
        levels: ``LOG_LEVEL_...`` names.
        columns: Wanted values by column of :data:`COLUMNS`.
        after: Only lines later than this time.
        before: Only lines earlier than this time.
        text: Substring of the line. The master knows ``enableRegex``, but never looks at it.
    """

    levels: set[str] = field(default_factory=set)
    columns: Mapping[str, set[str]] = field(default_factory=dict)
    after: str = ""
    before: str = ""
    text: str = ""

    def where(self) -> tuple[str, list[Any]]:
        """Return the filter as SQL to append to ``where task_id = ?``."""
        parts: list[str] = []
        values: list[Any] = []
        levels = {level.removeprefix("LOG_LEVEL_") for level in self.levels if level != UNSPECIFIED}
        for column, texts in self.columns.items():
            found = {int(text) for text in texts if text.lstrip("-").isdigit()} if column == "rank_id" else texts
            if found:
                or_null = f" or {column} is null" if NO_RANK in found else ""
                parts.append(f"({column} in ({','.join('?' * len(found))}){or_null})")
                values += sorted(found)
        if levels or UNSPECIFIED in self.levels:
            inside = [f"level in ({','.join('?' * len(levels))})"] if levels else []
            inside += ["level is null"] if UNSPECIFIED in self.levels else []
            parts.append(f"({' or '.join(inside)})")
            values += sorted(levels)
        for operator, moment in ((">", self.after), ("<", self.before)):
            if moment:
                parts.append(f"timestamp {operator} ?")
                values.append(normalized(moment))
        if self.text:
            parts.append("instr(lower(log), lower(?)) > 0")
            values.append(self.text)
        return "".join(f" and {part}" for part in parts), values


_COLUMNS = "id, timestamp, level, source, stdtype, rank_id, agent_id, container_id, allocation_id, log"


def _view(row: sqlite3.Row) -> dict[str, Any]:
    key, timestamp, level, source, stdtype, rank, agent, container, allocation, log = row
    shown_rank = f" [rank={rank}]" if rank is not None else ""
    shown_level = f" {level}:" if level else ""
    filled = {
        "agentId": agent,
        "containerId": container,
        "allocationId": allocation,
        "rankId": rank,
        "source": source,
        "stdtype": stdtype,
    }
    return {
        "id": str(key),
        "timestamp": timestamp,
        "level": LEVELS.get(level or "", UNSPECIFIED),
        "message": f"[{timestamp}] {(container or '')[:8]:8}{shown_rank} ||{shown_level} {log}",
        "log": log,
        **{name: value for name, value in filled.items() if value is not None},
    }


class Logs:
    """The logs of all tasks.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, entries: list[dict[str, Any]]) -> None:
        """Store lines with a shipper's keys (``task_id``, ``log``, ``timestamp``, ``level``, ...)."""
        self.add_rows(
            [
                (
                    entry["task_id"],
                    entry.get("allocation_id"),
                    normalized(entry.get("timestamp")),
                    _plain_level(entry.get("level")),
                    *(entry.get(name) for name in ("source", "stdtype", "rank_id", "agent_id", "container_id")),
                    entry["log"],
                )
                for entry in entries
            ]
        )

    def add_rows(self, rows: list[tuple[Any, ...]]) -> None:
        """Store lines as table rows without ids."""
        with self._store.write() as db:
            db.executemany(
                "insert into logs(task_id, allocation_id, timestamp, level, source, stdtype, rank_id, agent_id, "
                "container_id, log) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def write_line(self, task_id: str, text: str, *, level: str = "INFO", allocation_id: str | None = None) -> None:
        """Write a line from the master itself."""
        self.add_rows([(task_id, allocation_id, now(), level, "master", "stdout", None, None, None, text + "\n")])

    def read(
        self, task_id: str, wanted: LogFilter, *, limit: int = 0, newest_first: bool = False, after_id: int = 0
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield stored lines, reading the table page by page.

        Args:
            limit: Maximum number of lines; 0 means all.
            newest_first: Whether to start at the end.
            after_id: Only lines stored after this one.
        """
        condition, values = wanted.where()
        order, step = ("desc", "<") if newest_first else ("asc", ">")
        last, left = (2**62 if newest_first else after_id), limit or 2**62
        while left > 0:
            with self._store.read() as db:
                rows = db.execute(
                    f"select {_COLUMNS} from logs where task_id = ? and id {step} ?{condition} "
                    f"order by id {order} limit ?",
                    [task_id, last, *values, PAGE],
                ).fetchall()
            lines = [_view(row) for row in rows][:left]
            if lines:
                yield lines
            if len(rows) < PAGE:
                return
            left -= len(lines)
            last = rows[-1]["id"]

    def last_id(self, task_id: str) -> int:
        """Return the id of a task's newest line; 0 when it has none."""
        with self._store.read() as db:
            return int(db.execute("select max(id) from logs where task_id = ?", (task_id,)).fetchone()[0] or 0)

    def follow(
        self, task_id: str, wanted: LogFilter, *, limit: int, ended: Callable[[], bool], gone: Callable[[], bool]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield stored lines, then new ones as they arrive, until the task ends.

        Args:
            ended: Returns whether the task has ended; called before each read of new lines.
            gone: Returns whether the reader has disconnected.
        """
        last, left = 0, limit or 2**62
        while not gone():
            seen, finished, newest = self._store.bell.count, ended(), self.last_id(task_id)
            if newest > last:
                for lines in self.read(task_id, wanted, after_id=last):
                    yield lines[:left]
                    last = int(lines[-1]["id"])
                    left -= len(lines)
                    if left <= 0:
                        return
                last = max(last, newest)
            elif finished:
                return
            else:
                self._store.bell.wait(seen, LOOK_SECONDS)

    def fields(self, task_id: str) -> dict[str, list[Any]]:
        """Return the values that a reader can filter by."""
        result: dict[str, list[Any]] = {}
        with self._store.read() as db:
            for name, column in COLUMNS.items():
                rows = db.execute(
                    f"select distinct {column} from logs where task_id = ? and {column} is not null order by 1",
                    (task_id,),
                )
                result[name] = [row[0] for row in rows]
        # The master's database sorts them as they are declared: stdout first.
        result["stdtypes"].reverse()
        return result

    def delete(self, task_id: str) -> None:
        """Delete a task's log."""
        with self._store.write() as db:
            db.execute("delete from logs where task_id = ?", (task_id,))


def _plain_level(level: Any) -> str | None:
    plain = str(level or "").removeprefix("LOG_LEVEL_")
    return plain if plain in LEVELS else None
