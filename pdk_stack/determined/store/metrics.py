"""Trial metrics: rows in the database, and summaries in memory that are rebuilt from the rows after a restart."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from pdk_stack.determined.store.documents import Store
from pdk_stack.determined.timestamps import normalized

__all__ = ["Metrics", "Report", "Summary", "number"]

#: Summary names of the two well-known groups.
SUMMARY_NAMES = {"training": "avg_metrics", "validation": "validation_metrics"}
#: Only these groups count as training progress.
COUNTED = ("training", "validation")
PAGE = 1000


@dataclass(frozen=True)
class Report:
    """A stored report."""

    id: int
    run_id: int
    group: str
    steps: int
    end_time: str
    averages: dict[str, Any]
    batches: list[Any] | None


@dataclass
class Summary:
    """A trial's metrics in summary form, so that reads don't scan its rows.

    Attributes:
        total_batches: Highest step of a training or validation report.
        groups: Statistics per metric, by the group's summary name.
        validations: All validations of the searcher's metric: value and row id.
    """

    total_batches: int = 0
    groups: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    latest: Report | None = None
    best: Report | None = None
    best_value: float | None = None

    def add(self, report: Report, metric: str, smaller_is_better: bool) -> None:
        """Add a report to the summary."""
        if report.group in COUNTED:
            self.total_batches = max(self.total_batches, report.steps)
        entries = self.groups.setdefault(SUMMARY_NAMES.get(report.group, report.group), {})
        for name, value in report.averages.items():
            _count(entries.setdefault(name, {}), value)
        if report.group != "validation":
            return
        if self.latest is None or report.steps >= self.latest.steps:
            self.latest = report
        value = number(report.averages.get(metric))
        if value is None:
            return
        better = self.best_value is None or (value < self.best_value if smaller_is_better else value > self.best_value)
        if better:
            self.best, self.best_value = report, value


def number(value: Any) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _count(entry: dict[str, Any], value: Any) -> None:
    kind = "number" if number(value) is not None or value in ("NaN", "Infinity", "-Infinity") else _kind(value)
    known = entry.get("type", kind)
    entry["type"] = kind if kind == known else "string"
    entry["last"] = value
    finite = number(value)
    if entry["type"] != "number" or finite is None:
        return
    entry["count"] = entry.get("count", 0) + 1
    entry["sum"] = entry.get("sum", 0.0) + finite
    entry["min"] = min(entry.get("min", finite), finite)
    entry["max"] = max(entry.get("max", finite), finite)
    entry["mean"] = entry["sum"] / entry["count"]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", dict: "object", list: "array", type(None): "null"}.get(type(value), "string")


class Metrics:
    """All trials' metrics.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._summaries: dict[int, Summary] = {}

    def add(
        self,
        trial_id: int,
        run_id: int,
        group: str,
        steps: int,
        report_time: str | None,
        averages: dict[str, Any],
        batches: list[Any] | None,
        *,
        metric: str,
        smaller_is_better: bool,
    ) -> Report:
        """Store a report.

        Args:
            metric: The searcher's metric.
            smaller_is_better: Whether smaller values of that metric are better.
        """
        end_time = normalized(report_time)
        body = {"avg": averages, **({"batch": batches} if batches else {})}
        with self._store.write() as db:
            summary = self._summary(trial_id, metric, smaller_is_better)
            key = db.execute(
                "insert into metrics(trial_id, run_id, metric_group, steps, end_time, body) values(?,?,?,?,?,?)",
                (trial_id, run_id, group, steps, end_time, orjson.dumps(body).decode()),
            ).lastrowid
            report = Report(int(key or 0), run_id, group, steps, end_time, averages, batches)
            self._store.after_commit(lambda: summary.add(report, metric, smaller_is_better))
        return report

    def summary(self, trial_id: int, metric: str, smaller_is_better: bool) -> Summary:
        """Return a trial's summary."""
        with self._store.lock:
            return self._summary(trial_id, metric, smaller_is_better)

    def _summary(self, trial_id: int, metric: str, smaller_is_better: bool) -> Summary:
        found = self._summaries.get(trial_id)
        if found is None:
            found = Summary()
            for report in self.rows(trial_id):
                found.add(report, metric, smaller_is_better)
            self._summaries[trial_id] = found
        return found

    def archive_after(self, trial_id: int, steps: int) -> None:
        """Archive the reports that a restart from an older checkpoint repeats."""
        with self._store.write() as db:
            db.execute(
                "update metrics set archived = 1 where trial_id = ? and steps > ? and metric_group in (?, ?)",
                (trial_id, steps, *COUNTED),
            )
            self._store.after_commit(lambda: self._forget(trial_id))

    def _forget(self, trial_id: int) -> None:
        """Drop a trial's summary, so that the next read rebuilds it."""
        self._summaries.pop(trial_id, None)

    def rows(self, trial_id: int, group: str | None = None) -> Iterator[Report]:
        """Yield a trial's reports by steps, without archived ones."""
        condition, values = (" and metric_group = ?", [group]) if group else ("", [])
        last = (-1, -1)
        while True:
            page = self._select(
                f"trial_id = ?{condition} and (steps, id) > (?, ?) order by steps, id limit {PAGE}",
                trial_id,
                *values,
                *last,
            )
            yield from page
            if len(page) < PAGE:
                return
            last = (page[-1].steps, page[-1].id)

    def at(self, trial_id: int, group: str, steps: int) -> Report | None:
        """Return a group's newest report at a number of steps."""
        where = "trial_id = ? and metric_group = ? and steps = ? order by id desc limit 1"
        return next(iter(self._select(where, trial_id, group, steps)), None)

    def _select(self, where: str, *values: Any) -> list[Report]:
        with self._store.read() as db:
            rows = db.execute(
                "select id, run_id, metric_group, steps, end_time, body from metrics where archived = 0 and " + where,
                values,
            ).fetchall()
        return [
            Report(key, run_id, group, steps, end_time, body["avg"], body.get("batch"))
            for key, run_id, group, steps, end_time, text in rows
            for body in (json.loads(text),)
        ]

    def delete(self, trial_id: int) -> None:
        """Delete a trial's metrics."""
        with self._store.write() as db:
            db.execute("delete from metrics where trial_id = ?", (trial_id,))
            self._store.after_commit(lambda: self._forget(trial_id))
