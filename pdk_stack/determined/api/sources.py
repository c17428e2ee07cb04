"""Trials that use a checkpoint or a model version for inference or fine-tuning, and their metrics."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.metric_views import report_view
from pdk_stack.determined.api.models import find_version
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.store.documents import Document

UNSPECIFIED = "TRIAL_SOURCE_INFO_TYPE_UNSPECIFIED"


@route("POST", "/api/v1/trial-source-info")
def report_source(request: Request) -> dict[str, Any]:
    """Link a trial to the checkpoint or model version that it uses."""
    info = request.get("trialSourceInfo") or {}
    trial = request.master.experiments.trial(int(info.get("trialId") or 0))
    checkpoint = request.master.store.need("checkpoint", info.get("checkpointUuid") or "")
    entry = {
        "trialId": trial["id"],
        "checkpointUuid": checkpoint["uuid"],
        "trialSourceInfoType": info.get("trialSourceInfoType") or UNSPECIFIED,
        "modelId": info.get("modelId"),
        "modelVersion": info.get("modelVersion"),
    }
    request.master.store.put("source_info", f"{trial['id']}/{entry['checkpointUuid']}", entry, parent=trial["id"])
    return {"trialId": trial["id"], "checkpointUuid": entry["checkpointUuid"]}


def _metrics(request: Request, links: list[Document]) -> dict[str, Any]:
    """Return the linked trials' reports, filtered by link type and metric group."""
    kind, group = request.text("trialSourceInfoType", UNSPECIFIED), request.text("metricGroup") or None
    trials = sorted({link["trialId"] for link in links if kind in (UNSPECIFIED, link["trialSourceInfoType"])})
    store, metrics = request.master.store, request.master.metrics
    return {
        "metrics": [
            report_view(report, trial)
            for trial in trials
            if store.get("trial", trial) is not None
            for report in metrics.rows(trial, group)
        ]
    }


@route("GET", "/api/v1/checkpoints/{uuid}/metrics")
def metrics_by_checkpoint(request: Request, uuid: str) -> dict[str, Any]:
    store = request.master.store
    store.need("checkpoint", uuid)
    return _metrics(request, [link for link in store.list("source_info") if link["checkpointUuid"] == uuid])


@route("GET", "/api/v1/models/{name}/versions/{key}/metrics")
def metrics_by_version(request: Request, name: str, key: int) -> dict[str, Any]:
    model, version = find_version(request, name, key)
    links = request.master.store.list("source_info")
    wanted = (model["id"], version["version"])
    return _metrics(request, [link for link in links if (link["modelId"], link["modelVersion"]) == wanted])
