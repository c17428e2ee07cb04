"""A trial's reports and checkpoints in their REST form."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.core.experiments.catalogue import steps_of
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.store.metrics import Report

__all__ = ["checkpoint_workload", "metrics_workload", "report_view"]


def metrics_workload(report: Report, *, batches: bool = False) -> dict[str, Any]:
    """Return a report as ``v1MetricsWorkload``.

    Args:
        batches: Whether to include the metrics of each batch.
    """
    shown = (report.batches or []) if batches else []
    return {
        "endTime": report.end_time,
        "metrics": {"avgMetrics": report.averages, "batchMetrics": shown},
        "numInputs": 0,
        "totalBatches": report.steps,
    }


def checkpoint_workload(checkpoint: Document) -> dict[str, Any]:
    """Return a checkpoint as ``v1CheckpointWorkload``."""
    return {
        **{name: checkpoint[name] for name in ("uuid", "state", "resources", "metadata")},
        "endTime": checkpoint["reportTime"],
        "totalBatches": steps_of(checkpoint),
    }


def report_view(report: Report, trial_id: int) -> dict[str, Any]:
    """Return a report as ``v1MetricsReport``."""
    name = "validation_metrics" if report.group == "validation" else "avg_metrics"
    metrics: dict[str, Any] = {name: report.averages}
    if report.group == "training" or report.batches:
        metrics["batch_metrics"] = report.batches or None
    return {
        "trialId": trial_id,
        "endTime": report.end_time,
        "metrics": metrics,
        "totalBatches": report.steps,
        "archived": False,
        "id": report.id,
        "trialRunId": report.run_id,
        "group": report.group,
    }
