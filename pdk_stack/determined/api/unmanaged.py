"""Experiments that run elsewhere and only report here (the Core API's unmanaged mode), and continued experiments."""

from __future__ import annotations

import uuid
from typing import Any

from pdk_stack.determined.api.creation import create_experiment
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.errors import failed_precondition, invalid
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now


@route("PUT", "/api/v1/experiments/by-external-id/{external_id}")
def put_experiment(request: Request, external_id: str) -> dict[str, Any]:
    """Return the unmanaged experiment with this external id; create it if absent."""
    if not request.get("unmanaged"):
        raise invalid("only unmanaged experiments are supported")
    if request.get("parentId"):
        raise invalid("can't fork into an unmanaged experiment")
    store = request.master.store
    known = next((each for each in store.list("experiment") if each.get("externalId") == external_id), None)
    if known is None:
        made = create_experiment(request)
        store.update("experiment", made["experiment"]["id"], externalId=external_id)
        known = request.master.experiments.experiment(made["experiment"]["id"])
    views = request.views
    return {"experiment": views.experiment(known), "config": views.config(known)}


def _create(request: Request, wanted: dict[str, Any], external_id: str | None) -> Document:
    experiments = request.master.experiments
    experiment = experiments.experiment(int(wanted.get("experimentId") or wanted.get("experiment_id") or 0))
    if not experiment.get("unmanaged"):
        raise invalid("trials can only be created on unmanaged experiments")
    with experiments.lock:
        if external_id is not None:
            for trial in experiments.trials(experiment["id"]):
                if trial.get("externalId") == external_id:
                    return trial
        trial = experiments.create_trial(experiment, str(uuid.uuid4()), wanted.get("hparams") or {}, 0)
        if external_id is not None:
            trial = request.master.store.update("trial", trial["id"], externalId=external_id)
    return trial


@route("POST", "/api/v1/trials")
def create_trial(request: Request) -> dict[str, Any]:
    """Create a trial of an unmanaged experiment."""
    if not request.get("unmanaged"):
        raise invalid("only unmanaged trials are supported")
    return {"trial": request.views.trial(_create(request, request.body, None))}


@route("PUT", "/api/v1/trials")
def put_trial(request: Request) -> dict[str, Any]:
    """Return the trial with this external id; create it if absent."""
    wanted = request.need("createTrialRequest")
    trial = _create(request, wanted, str(request.need("externalTrialId")))
    return {"trial": request.views.trial(trial)}


@route("POST", "/api/v1/trials/{key}/start")
def start_trial(request: Request, key: int) -> dict[str, Any]:
    experiments = request.master.experiments
    with experiments.lock:
        trial = experiments.trial(key)
        if not experiments.experiment(trial["experimentId"]).get("unmanaged"):
            raise failed_precondition("cannot start managed trials directly")
        latest, steps = experiments.restore_point(trial) if request.get("resume") else (None, 0)
        if trial["runId"] and not request.get("resume"):
            raise failed_precondition("trial already exists and resume is not requested")
        if trial["runId"]:
            request.master.metrics.archive_after(trial["id"], steps)
        trial = request.master.store.update(
            "trial", trial["id"], runId=trial["runId"] + 1, state="RUNNING", endTime=None
        )
    return {"trialRunId": trial["runId"], "latestCheckpoint": latest, "stepsCompleted": steps}


@route("PATCH", "/api/v1/trials/{key}")
def patch_trial(request: Request, key: int) -> dict[str, Any]:
    """Record a heartbeat with the state that an unmanaged trial reports."""
    experiments, store = request.master.experiments, request.master.store
    with experiments.lock:
        trial = experiments.trial(key)
        experiment = experiments.experiment(trial["experimentId"])
        if not experiment.get("unmanaged"):
            raise invalid("only unmanaged trials are supported")
        state = str(request.get("state") or "").removeprefix("STATE_")
        if state not in ("", "UNSPECIFIED"):
            ended = now() if state in TERMINAL else None
            trial = store.update("trial", trial["id"], state=state, endTime=ended)
            store.update("task", trial["taskId"], endTime=ended)
            states = {each["state"] for each in experiments.trials(experiment["id"])}
            if states <= TERMINAL:
                worst = next(each for each in ("ERROR", "CANCELED", "COMPLETED") if each in states)
                store.update("experiment", experiment["id"], state=worst, endTime=ended, progress=1.0)
            else:
                store.update("experiment", experiment["id"], state="RUNNING", endTime=None)
    return {"trial": request.views.trial(trial)}


@route("POST", "/api/v1/experiments/continue")
def continue_experiment(request: Request) -> dict[str, Any]:
    made = request.master.control.resume(int(request.get("id") or 0), request.get("overrideConfig") or "")
    shown = request.views.experiment(made)
    if made["state"] == "ACTIVE":
        # The master answers before its trials start.
        shown["state"] = "STATE_QUEUED"
    return {"experiment": shown, "warnings": []}
