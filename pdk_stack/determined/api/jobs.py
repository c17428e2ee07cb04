"""The job queue."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import Views
from pdk_stack.determined.core.experiments.catalogue import TERMINAL
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.errors import plain
from pdk_stack.determined.store.documents import Document


def _jobs(request: Request) -> list[dict[str, Any]]:
    """List active experiments in scheduling order; paused ones are not queued."""
    master = request.master
    views = request.views
    held, wanted = master.experiments.slots_in_use(), Counter[int]()
    for waiting in master.experiments.waiting():
        wanted[waiting.experiment_id] += waiting.slots
    found = [
        each for each in master.store.list("experiment") if each["state"] == "ACTIVE" and not each.get("unmanaged")
    ]
    found.sort(key=lambda each: (not held[each["id"]], each["config"]["resources"]["priority"] or 42, each["id"]))
    return [_job(views, master.user(each["userId"]), each, held, wanted, place) for place, each in enumerate(found)]


def _job(
    views: Views, user: Document, experiment: Document, held: Counter[int], wanted: Counter[int], place: int
) -> dict[str, Any]:
    key, resources = experiment["id"], experiment["config"]["resources"]
    shown = views.experiment(experiment, full=False)
    return {
        "jobId": experiment["jobId"],
        "entityId": str(key),
        "type": "TYPE_EXPERIMENT",
        "name": experiment["name"],
        "username": user["username"],
        "userId": user["id"],
        "submissionTime": experiment["startTime"],
        "resourcePool": resources["resource_pool"],
        "isPreemptible": True,
        "priority": resources["priority"],
        "weight": float(resources["weight"] or 1),
        "requestedSlots": held[key] + wanted[key],
        "allocatedSlots": held[key],
        "progress": experiment["progress"],
        "workspaceId": shown["workspaceId"],
        "summary": {"state": "STATE_SCHEDULED" if held[key] else "STATE_QUEUED", "jobsAhead": place},
    }


def _listed(request: Request) -> tuple[list[dict[str, Any]], dict[str, int]]:
    pool = request.text("resourcePool")
    if pool not in ("", POOL):
        raise plain(f"cannot find resource pool {pool}")
    jobs, states = _jobs(request), set(request.all("states"))
    jobs = [
        job
        for job in jobs
        if (not states or job["summary"]["state"] in states) and (not pool or job["resourcePool"] == pool)
    ]
    if request.descending():
        jobs.reverse()
    return request.page(jobs)


@route("GET", "/api/v1/job-queues-v2")
def list_jobs(request: Request) -> dict[str, Any]:
    """List the queue as ``v1Job`` entries with full details."""
    shown, pagination = _listed(request)
    return {"jobs": [{"full": job} for job in shown], "pagination": pagination}


@route("GET", "/api/v1/job-queues")
def list_jobs_first_form(request: Request) -> dict[str, Any]:
    """List the queue in the older reply format."""
    shown, pagination = _listed(request)
    return {"jobs": shown, "pagination": pagination}


@route("GET", "/api/v1/job-queues/stats")
def stats(request: Request) -> dict[str, Any]:
    jobs = _jobs(request)
    running = sum(job["summary"]["state"] == "STATE_SCHEDULED" for job in jobs)
    counts = {"queuedCount": len(jobs) - running, "scheduledCount": running}
    return {"results": [{"resourcePool": POOL, "stats": counts, "aggregates": []}]}


@route("POST", "/api/v1/job-queues")
def update_jobs(request: Request) -> dict[str, Any]:
    """Change priorities and weights of the jobs in the queue; what is wrong with others doesn't stop that."""
    jobs = {
        each["jobId"]: each
        for each in request.master.store.list("experiment")
        if each["state"] not in TERMINAL and not each.get("unmanaged")
    }
    errors = [error for update in request.get("updates") or [] if (error := _update_job(request, jobs, update))]
    if len(errors) > 1:
        raise plain(f"encountered the following errors: {', '.join(errors)}")
    if errors:
        raise plain(errors[0])
    return {}


def _update_job(request: Request, jobs: dict[str, Document], update: dict[str, Any]) -> str:
    """Change a job; return what is in the way (``master/internal/job/jobservice``)."""
    job = update.get("jobId", "")
    if job not in jobs:
        return f"job {job} not found"
    if "priority" in update:
        if not 1 <= update["priority"] <= 99:
            return "priority must be between 1 and 99"
        request.master.control.set_resources(jobs[job]["id"], priority=update["priority"])
    elif "weight" in update:
        request.master.control.set_resources(jobs[job]["id"], weight=update["weight"])
    elif "resourcePool" in update:
        pool = update["resourcePool"]
        return (
            f"resource pool is unchanged ({pool} == {pool})" if pool == POOL else f"invalid resource pool name {pool}"
        )
    else:
        return "unexpected action: <nil>"
    return ""
