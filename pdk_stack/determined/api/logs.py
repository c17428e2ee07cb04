"""Trial and task log calls: read, follow, post."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from pdk_stack.determined.api.routing import LOOK_SECONDS, Request, Stream, route, snake
from pdk_stack.determined.core.masking import mask_text, secret_values
from pdk_stack.determined.errors import invalid
from pdk_stack.determined.store.task_logs import COLUMNS, LogFilter


def _filter(request: Request) -> LogFilter:
    return LogFilter(
        levels=set(request.all("levels")),
        columns={column: set(request.all(name)) for name, column in COLUMNS.items()},
        after=request.text("timestampAfter"),
        before=request.text("timestampBefore"),
        text=request.text("searchText"),
    )


def _read(request: Request, task_ids: list[str], more: dict[str, Any], less: tuple[str, ...] = ()) -> Stream:
    """Stream the log of one task, or of several one after the other, with extra fields and without others."""
    if request.flag("follow") and request.descending():
        raise invalid("follow cannot be used with a descending order")
    if request.number("limit") < 0:
        return Stream([])
    pages = _pages(request, _filter(request), task_ids[::-1] if request.descending() else task_ids)
    return Stream(
        [{**{name: value for name, value in line.items() if name not in less}, **more} for line in page]
        for page in pages
    )


def _pages(request: Request, wanted: LogFilter, task_ids: list[str]) -> Iterator[list[dict[str, Any]]]:
    logs, limit, taken = request.master.logs, request.number("limit"), 0
    for task_id in task_ids:
        left = max(limit - taken, 0)
        if request.flag("follow"):
            ended = functools.partial(_ended, request, task_id)
            pages = logs.follow(task_id, wanted, limit=left, ended=ended, gone=request.gone)
        else:
            pages = logs.read(task_id, wanted, limit=left, newest_first=request.descending())
        for page in pages:
            yield page
            taken += len(page)
        if 0 < limit <= taken:
            return


def _tasks(request: Request, trial_id: int) -> list[str]:
    """Return a trial's tasks, oldest first: one for each time that it was continued."""
    trial = request.master.experiments.trial(trial_id)
    return list(trial.get("taskIds") or [trial["taskId"]])


def _ended(request: Request, task_id: str) -> bool:
    task = request.master.store.get("task", task_id)
    return task is None or task["endTime"] is not None


@route("GET", "/api/v1/trials/{key}/logs")
def trial_logs(request: Request, key: int) -> Stream:
    return _read(request, _tasks(request, key), {"trialId": key}, ("allocationId",))


@route("GET", "/api/v1/tasks/{task_id}/logs")
def task_logs(request: Request, task_id: str) -> Stream:
    request.master.experiments.task(task_id)
    return _read(request, [task_id], {"taskId": task_id})


@route("GET", "/api/v1/trials/{key}/logs/fields")
def trial_log_fields(request: Request, key: int) -> Stream:
    return _fields(request, _tasks(request, key)[-1], ("allocationIds",))


@route("GET", "/api/v1/tasks/{task_id}/logs/fields")
def task_log_fields(request: Request, task_id: str) -> Stream:
    request.master.experiments.task(task_id)
    return _fields(request, task_id)


def _fields(request: Request, task_id: str, less: tuple[str, ...] = ()) -> Stream:
    def pages() -> Iterator[list[dict[str, Any]]]:
        bell, known = request.master.store.bell, None
        while True:
            seen, ended, found = bell.count, _ended(request, task_id), request.master.logs.fields(task_id)
            if found != known:
                yield [{name: values for name, values in found.items() if name not in less}]
                known = found
            if ended or not request.flag("follow") or request.gone():
                return
            bell.wait(seen, LOOK_SECONDS)

    return Stream(pages())


@route("POST", "/api/v1/task/logs")
def post_logs(request: Request) -> dict[str, Any]:
    _store(request, request.need("logs"))
    return {}


@route("POST", "/task-logs")
def post_legacy_logs(request: Request) -> dict[str, Any]:
    """Store log lines sent as a bare list, the older format."""
    if not isinstance(request.body, list):
        raise invalid("a list of log lines is wanted")
    _store(request, request.body)
    return {}


def _store(request: Request, entries: list[dict[str, Any]]) -> None:
    known: dict[str, list[str]] = {}
    lines = []
    for entry in entries:
        line = {snake(name): value for name, value in entry.items()}
        task_id = str(line.get("task_id") or "")
        if task_id not in known:
            known[task_id] = _secrets(request, task_id)
        line["log"] = mask_text(str(line.get("log") or ""), known[task_id])
        lines.append(line)
    request.master.logs.add(lines)


def _secrets(request: Request, task_id: str) -> list[str]:
    task = request.master.experiments.task(task_id)
    return secret_values(request.master.experiments.experiment(task["experimentId"])["config"])
