"""What Determined's trials report: metrics and logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb.platforms.mlde._connection import session
from pdk_nb.platforms.mlde._errors import api_errors

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined


@dataclass(frozen=True)
class MetricPoint:
    """One report of a trial: group ``training`` or ``validation``, batches done, values."""

    trial: int
    group: str
    batches: int
    values: dict[str, Any]


@api_errors()
def metrics(
    client: Determined, trials: int | Sequence[int], groups: tuple[str, ...] = ("training", "validation")
) -> list[MetricPoint]:
    """All reports of one or more trials so far, in order of batches, with one request for each group.

    Args:
        client: A client.
        trials: The trial, or several.
        groups: Metric groups.
    """
    ids = [trials] if isinstance(trials, int) else list(trials)
    if not ids:
        return []
    points = []
    for group in groups:
        for report in client.iter_trials_metrics(ids, group):
            points.append(MetricPoint(report.trial_id, group, report.steps_completed, dict(report.metrics or {})))
    return sorted(points, key=lambda point: (point.batches, point.group))


@api_errors()
def tail_logs(client: Determined, trial_id: int, lines: int = 20) -> list[str]:
    """The last lines of a trial's log, oldest first."""
    reply = session(client).get(f"/api/v1/trials/{trial_id}/logs", params={"limit": lines, "orderBy": "ORDER_BY_DESC"})
    entries = [json.loads(line) for line in reply.iter_lines() if line]
    return [entry["result"]["message"].rstrip("\n") for entry in entries if "result" in entry][::-1]
