"""Reports and checkpoints as the workloads of a trial."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.store.metrics import Report

__all__ = ["checkpoint_workload", "metrics_workload"]


def metrics_workload(report: Report, *, batches: bool) -> dict[str, Any]:
    """``v1MetricsWorkload``.

    Args:
        batches: With the metrics of each batch.
    """
    return {
        "endTime": report.end_time,
        "metrics": {
            "avgMetrics": report.averages,
            "batchMetrics": (report.batches or []) if batches else [],
        },
        "numInputs": 0,
        "totalBatches": report.steps,
    }


def checkpoint_workload(checkpoint: Document) -> dict[str, Any]:
    """``v1CheckpointWorkload``."""
    return {
        "uuid": checkpoint["uuid"],
        "endTime": checkpoint["reportTime"],
        "state": checkpoint["state"],
        "resources": checkpoint["resources"],
        "totalBatches": int(checkpoint["metadata"].get("steps_completed") or 0),
        "metadata": checkpoint["metadata"],
    }
