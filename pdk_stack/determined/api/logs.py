"""Logs of trials and tasks: read, followed, posted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pdk_stack.determined.api.routing import Request, Stream, route
from pdk_stack.determined.api.workspaces import number
from pdk_stack.determined.core.masking import mask_text, secret_values
from pdk_stack.determined.errors import invalid, not_found
from pdk_stack.determined.store.task_logs import LogFilter


def _filter(request: Request) -> LogFilter:
    return LogFilter(
        levels=set(request.all("levels")),
        ranks=set(request.all("rankIds")),
        sources=set(request.all("sources")),
        stdtypes=set(request.all("stdtypes")),
        agents=set(request.all("agentIds")),
        containers=set(request.all("containerIds")),
        allocations=set(request.all("allocationIds")),
        after=request.text("timestampAfter"),
        before=request.text("timestampBefore"),
        text=request.text("searchText"),
        regex=bool(request.flag("enableRegex")),
    )


def _read(request: Request, task_id: str) -> Iterator[dict[str, Any]]:
    logs, wanted, limit = request.master.logs, _filter(request), request.number("limit")
    if request.flag("follow"):
        if request.descending():
            raise invalid("follow cannot be used with a descending order")
        return logs.follow(task_id, wanted, limit=limit, ended=lambda: _ended(request, task_id), gone=request.gone)
    return logs.read(task_id, wanted, limit=limit, newest_first=request.descending())


def _ended(request: Request, task_id: str) -> bool:
    task = request.master.store.get("task", task_id)
    return task is None or task["endTime"] is not None


@route("GET", "/api/v1/trials/{key}/logs")
def trial_logs(request: Request, key: str) -> Stream:
    trial = request.master.experiments.trial(number(key))
    entries = _read(request, trial["taskId"])
    return Stream({**entry, "trialId": trial["id"]} for entry in entries)


@route("GET", "/api/v1/tasks/{task_id}/logs")
def task_logs(request: Request, task_id: str) -> Stream:
    if request.master.store.get("task", task_id) is None:
        raise not_found(f"task '{task_id}' not found")
    return Stream({**entry, "taskId": task_id} for entry in _read(request, task_id))


@route("GET", "/api/v1/trials/{key}/logs/fields")
def trial_log_fields(request: Request, key: str) -> Stream:
    return _fields(request, request.master.experiments.trial(number(key))["taskId"])


@route("GET", "/api/v1/tasks/{task_id}/logs/fields")
def task_log_fields(request: Request, task_id: str) -> Stream:
    if request.master.store.get("task", task_id) is None:
        raise not_found(f"task '{task_id}' not found")
    return _fields(request, task_id)


def _fields(request: Request, task_id: str) -> Stream:
    def items() -> Iterator[dict[str, Any]]:
        known = None
        while True:
            ended = _ended(request, task_id)
            found = request.master.logs.fields(task_id)
            if found != known:
                yield found
                known = found
            if ended or not request.flag("follow") or request.gone():
                return
            with request.master.store.changed:
                request.master.store.changed.wait(1.0)

    return Stream(items())


@route("POST", "/api/v1/task/logs")
def post_logs(request: Request) -> dict[str, Any]:
    _store(request, request.need("logs"))
    return {}


@route("POST", "/task-logs")
def post_legacy_logs(request: Request) -> dict[str, Any]:
    if not isinstance(request.body, list):
        raise invalid("a list of log lines is wanted")
    _store(request, request.body)
    return {}


_NAMES = {
    "taskId": "task_id",
    "allocationId": "allocation_id",
    "agentId": "agent_id",
    "containerId": "container_id",
    "rankId": "rank_id",
}


def _store(request: Request, entries: list[dict[str, Any]]) -> None:
    known: dict[str, list[str]] = {}
    lines = []
    for entry in entries:
        line = {_NAMES.get(key, key): value for key, value in entry.items()}
        task_id = str(line.get("task_id") or "")
        if task_id not in known:
            known[task_id] = _secrets(request, task_id)
        line["log"] = mask_text(str(line.get("log") or ""), known[task_id])
        lines.append(line)
    request.master.logs.add(lines)


def _secrets(request: Request, task_id: str) -> list[str]:
    task = request.master.store.get("task", task_id)
    if task is None:
        raise not_found(f"task '{task_id}' not found")
    return secret_values(request.master.experiments.experiment(task["experimentId"])["config"])
