"""What a trial's own processes call: context, rendezvous, preemption, reports."""

from __future__ import annotations

import base64
import threading
import time
from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.workspaces import number
from pdk_stack.determined.core.trial_runs import ActiveRun
from pdk_stack.determined.errors import internal, not_found
from pdk_stack.determined.store.documents import Document

#: Shorter than the clients' own limits.
LONGEST_WAIT_S = 60.0


def _allocation(request: Request, key: str) -> Document:
    found = request.master.store.get("allocation", key)
    if found is None:
        raise not_found(f"allocation '{key}' not found")
    return found


def _run(request: Request, key: str) -> ActiveRun | None:
    return request.master.experiments.runs.of_allocation(key)


@route("GET", "/api/v1/tasks/{task_id}/context_directory")
def context_directory(request: Request, task_id: str) -> dict[str, Any]:
    task = request.master.store.get("task", task_id)
    if task is None:
        raise not_found(f"task '{task_id}' not found")
    packed = request.master.store.get_blob("model_definition", task["experimentId"]) or b""
    return {"b64Tgz": base64.b64encode(packed).decode()}


@route("POST", "/api/v1/allocations/{allocation_id}/acceleratorData")
def accelerator_data(request: Request, allocation_id: str) -> dict[str, Any]:
    _allocation(request, allocation_id)
    data = request.get("acceleratorData") or {}
    request.master.store.update("allocation", allocation_id, accelerator=data)
    return {}


@route("POST", "/api/v1/allocations/{allocation_id}/proxy_address")
def proxy_address(request: Request, allocation_id: str) -> dict[str, Any]:
    _allocation(request, allocation_id)
    request.master.store.update("allocation", allocation_id, proxyAddress=request.get("proxyAddress"))
    return {}


@route("GET", "/api/v1/allocations/{allocation_id}/resources/{resources_id}/rendezvous")
def rendezvous(request: Request, allocation_id: str, resources_id: str) -> dict[str, Any]:
    allocation = _allocation(request, allocation_id)
    return {"rendezvousInfo": {"addresses": ["127.0.0.1"], "rank": 0, "slots": [len(allocation["slots"])]}}


_gathering: dict[tuple[str, str], dict[str, Any]] = {}
_gathered = threading.Condition()


@route("POST", "/api/v1/allocations/{allocation_id}/all_gather")
def all_gather(request: Request, allocation_id: str) -> dict[str, Any]:
    """Every peer sends a piece and gets all pieces."""
    _allocation(request, allocation_id)
    peers, peer = int(request.get("numPeers") or 1), str(request.need("requestUuid"))
    deadline = time.monotonic() + 600
    with _gathered:
        pieces = _gathering.setdefault((allocation_id, "all"), {})
        pieces[peer] = request.get("data")
        _gathered.notify_all()
        while len(pieces) < peers:
            if _run(request, allocation_id) is None or request.gone() or time.monotonic() > deadline:
                raise internal("not all peers took part in the all gather")
            _gathered.wait(1.0)
        if len(pieces) >= peers:
            _gathering.pop((allocation_id, "all"), None)
        return {"data": list(pieces.values())}


@route("POST", "/api/v1/allocations/{allocation_id}/ready")
@route("POST", "/api/v1/allocations/{allocation_id}/waiting")
def ready(request: Request, allocation_id: str) -> dict[str, Any]:
    _allocation(request, allocation_id)
    run = _run(request, allocation_id)
    if run is not None:
        request.master.experiments.runs.mark_ready(run)
    return {}


@route("GET", "/api/v1/allocations/{allocation_id}/signals/preemption")
def preemption(request: Request, allocation_id: str) -> dict[str, Any]:
    run = _run(request, allocation_id)
    if run is None:
        _allocation(request, allocation_id)
        return {"preempt": True}
    request.master.experiments.runs.mark_ready(run)
    deadline = time.monotonic() + min(request.number("timeoutSeconds"), LONGEST_WAIT_S)
    while not run.preempt.is_set() and (left := deadline - time.monotonic()) > 0 and not request.gone():
        run.preempt.wait(min(left, 1.0))
    return {"preempt": run.preempt.is_set()}


@route("POST", "/api/v1/allocations/{allocation_id}/signals/ack_preemption")
def acknowledge(request: Request, allocation_id: str) -> dict[str, Any]:
    run = _run(request, allocation_id)
    if run is not None:
        run.acknowledged = True
    return {}


@route("POST", "/api/v1/allocations/{allocation_id}/signals/pending_preemption")
def pending(request: Request, allocation_id: str) -> dict[str, Any]:
    run = _run(request, allocation_id)
    if run is not None:
        run.preempt.set()
    return {}


@route("POST", "/api/v1/runs/start")
def start_run(request: Request) -> dict[str, Any]:
    trial = request.master.experiments.trial(int(request.need("runId")))
    request.master.store.update("trial", trial["id"], runnerState="starting")
    return {"storageId": None}


@route("POST", "/api/v1/trials/{key}/runner/metadata")
def runner_metadata(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.trial(number(key))
    request.master.store.update("trial", number(key), runnerState=str(request.get("state") or ""))
    return {}


@route("POST", "/api/v1/trials/{key}/progress")
def progress(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.report_progress(number(key), float(request.get("progress") or 0.0))
    return {}


@route("POST", "/api/v1/trials/{key}/early_exit")
def early_exit(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.exited_early(number(key), str(request.get("reason") or ""))
    return {}


def waits_for_nothing(body: bytes) -> bool:
    """Whether a report is just stored: a validation may wait for the scheduler, or make it start trials."""
    return b"validation" not in body


@route("POST", "/api/v1/trials/{key}/metrics", quick=waits_for_nothing)
def report_metrics(request: Request, key: str) -> dict[str, Any]:
    master, sent = request.master, request.need("metrics")
    trial_id = number(key)
    metric, smaller_is_better = master.experiments.goal(trial_id)
    group, values = str(request.get("group") or ""), sent.get("metrics") or {}
    averages = values.get("avgMetrics") or {}
    master.metrics.add(
        trial_id,
        int(sent.get("trialRunId") or 0),
        group,
        int(sent.get("stepsCompleted") or 0),
        sent.get("reportTime"),
        averages,
        values.get("batchMetrics"),
        metric=metric,
        smaller_is_better=smaller_is_better,
    )
    if group == "validation":
        try:
            master.experiments.validated(trial_id, averages)
        except ValueError as error:
            raise internal(str(error)) from error
    return {}


@route("GET", "/api/v1/runs/{key}/metadata")
def get_metadata(request: Request, key: str) -> dict[str, Any]:
    return {"metadata": request.master.experiments.trial(number(key)).get("metadata") or {}}


@route("POST", "/api/v1/runs/{key}/metadata")
def set_metadata(request: Request, key: str) -> dict[str, Any]:
    request.master.experiments.trial(number(key))
    changed = request.master.store.update("trial", number(key), metadata=request.get("metadata") or {})
    return {"metadata": changed["metadata"]}
