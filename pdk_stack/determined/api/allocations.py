"""Calls that a trial's own processes make: context, rendezvous, preemption, reports."""

from __future__ import annotations

import base64
from typing import Any

from pdk_stack.common.polling import poll
from pdk_stack.determined.api.routing import LOOK_SECONDS, Request, route
from pdk_stack.determined.core.trials.runs import ActiveRun
from pdk_stack.determined.errors import internal, invalid, plain
from pdk_stack.determined.store.documents import Document

#: Shorter than the clients' own timeouts.
LONGEST_WAIT_S = 60.0


def _need(request: Request, key: str, doing: str = "") -> Document:
    """Return an allocation.

    Raises:
        Refusal: It doesn't exist, or the text is no allocation's id.
    """
    if "." not in key:
        raise invalid(f"{doing}allocationID {key} does not contain at least '.'")
    return request.master.store.need("allocation", key)


def _run(request: Request, key: str) -> ActiveRun | None:
    return request.master.experiments.runs.of_allocation(key)


@route("GET", "/api/v1/tasks/{task_id}/context_directory")
def context_directory(request: Request, task_id: str) -> dict[str, Any]:
    """Return the experiment's code as a base64 ``.tar.gz``."""
    task = request.master.experiments.task(task_id)
    packed = request.master.store.get_blob("model_definition", task["experimentId"]) or b""
    return {"b64Tgz": base64.b64encode(packed).decode()}


@route("POST", "/api/v1/allocations/{allocation_id}/acceleratorData")
def accelerator_data(request: Request, allocation_id: str) -> dict[str, Any]:
    """Store the accelerators that an allocation reports."""
    request.master.store.update("allocation", allocation_id, accelerator=request.get("acceleratorData") or {})
    return {}


@route("POST", "/api/v1/allocations/{allocation_id}/proxy_address")
def proxy_address(request: Request, allocation_id: str) -> dict[str, Any]:
    """Store the address that an allocation reports."""
    request.master.store.update("allocation", allocation_id, proxyAddress=request.get("proxyAddress"))
    return {}


@route("GET", "/api/v1/allocations/{allocation_id}/resources/{resources_id}/rendezvous")
def rendezvous(request: Request, allocation_id: str, resources_id: str) -> dict[str, Any]:
    """Return the peers' addresses; every run is on one machine, so there is one."""
    allocation, run = _need(request, allocation_id), _run(request, allocation_id)
    if run is not None:
        # From here on the trial runs, whether or not its code uses the Core API.
        request.master.experiments.runs.mark_ready(run)
    return {"rendezvousInfo": {"addresses": ["127.0.0.1"], "rank": 0, "slots": [len(allocation["slots"])]}}


@route("POST", "/api/v1/allocations/{allocation_id}/all_gather")
def all_gather(request: Request, allocation_id: str) -> dict[str, Any]:
    """Exchange data between peers: each sends one piece and receives all pieces."""
    _need(request, allocation_id)
    pieces = request.master.gather.take_part(
        allocation_id,
        str(request.need("requestUuid")),
        int(request.get("numPeers") or 1),
        request.get("data"),
        given_up=lambda: _run(request, allocation_id) is None or request.gone(),
    )
    if pieces is None:
        raise internal("not all peers took part in the all gather")
    return {"data": pieces}


@route("POST", "/api/v1/allocations/{allocation_id}/ready")
@route("POST", "/api/v1/allocations/{allocation_id}/waiting")
def ready(request: Request, allocation_id: str) -> dict[str, Any]:
    """Record that an allocation is ready, so that it can be preempted."""
    _need(request, allocation_id)
    run = _run(request, allocation_id)
    if run is not None:
        request.master.experiments.runs.mark_ready(run)
    return {}


@route("GET", "/api/v1/allocations/{allocation_id}/signals/preemption")
def preemption(request: Request, allocation_id: str) -> dict[str, Any]:
    """Wait until the run must stop or the timeout expires."""
    run = _run(request, allocation_id)
    if run is None:
        _need(request, allocation_id, "checking if allocation is editable: rpc error: code = InvalidArgument desc = ")
        return {"preempt": True}
    request.master.experiments.runs.mark_polling(run)
    poll(request.gone, min(request.number("timeoutSeconds"), LONGEST_WAIT_S), LOOK_SECONDS, stop=run.preempt)
    return {"preempt": run.preempt.is_set()}


@route("POST", "/api/v1/allocations/{allocation_id}/signals/ack_preemption")
def acknowledge(request: Request, allocation_id: str) -> dict[str, Any]:
    """Record that the trial stops because of the preemption."""
    run = _run(request, allocation_id)
    if run is not None:
        run.acknowledged = True
    return {}


@route("POST", "/api/v1/allocations/{allocation_id}/signals/pending_preemption")
def pending(request: Request, allocation_id: str) -> dict[str, Any]:
    """Request the preemption of a run."""
    run = _run(request, allocation_id)
    if run is not None:
        run.preempt.set()
    return {}


#: Checkpoints name the storage that holds them; here it is always the experiment's own.
STORAGE_ID = 1


@route("POST", "/api/v1/runs/start")
def start_run(request: Request) -> dict[str, Any]:
    """Record that a run starts; it uses the experiment's own checkpoint storage."""
    request.master.store.update("trial", int(request.need("runId")), runnerState="starting")
    return {"storageId": STORAGE_ID}


@route("POST", "/api/v1/trials/{key}/runner/metadata")
def runner_metadata(request: Request, key: int) -> dict[str, Any]:
    """Store the state that a trial's runner reports."""
    request.master.store.update("trial", key, runnerState=str(request.get("state") or ""))
    return {}


@route("POST", "/api/v1/trials/{key}/progress")
def progress(request: Request, key: int) -> dict[str, Any]:
    request.master.experiments.report_progress(key, float(request.get("progress") or 0.0))
    return {}


@route("POST", "/api/v1/trials/{key}/early_exit")
def early_exit(request: Request, key: int) -> dict[str, Any]:
    """Record that a trial exits early, and why."""
    request.master.experiments.exited_early(key, str(request.get("reason") or ""))
    return {}


# Trials send thousands of reports, and each is one insert.
@route("POST", "/api/v1/trials/{key}/metrics", brief=True)
def report_metrics(request: Request, key: int) -> dict[str, Any]:
    master, sent = request.master, request.need("metrics")
    metric, smaller_is_better = master.experiments.goal(key)
    run_id, expected = int(sent.get("trialRunId") or 0), master.experiments.run_id(key)
    if run_id != expected:
        # It comes from a process left over.
        raise plain(f"invalid run id, {run_id} (reported) != {expected} (expected): invalid arguments")
    group, values = str(request.get("group") or ""), sent.get("metrics") or {}
    averages = values.get("avgMetrics") or {}
    master.metrics.add(
        key,
        run_id,
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
            master.experiments.validated(key, averages)
        except ValueError as error:
            raise plain(str(error)) from error
    return {}


@route("GET", "/api/v1/runs/{key}/metadata")
def get_metadata(request: Request, key: int) -> dict[str, Any]:
    return {"metadata": request.master.experiments.trial(key).get("metadata") or {}}


@route("POST", "/api/v1/runs/{key}/metadata")
def set_metadata(request: Request, key: int) -> dict[str, Any]:
    changed = request.master.store.update("trial", key, metadata=request.get("metadata") or {})
    return {"metadata": changed["metadata"]}
