"""Calls about the master itself: information, configuration, and log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pdk_stack.determined import VERSION
from pdk_stack.determined.api.routing import LOOK_SECONDS, Request, Stream, route
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.master_log import KEPT
from pdk_stack.determined.core.permissions import require_admin

CLUSTER_NAME = "PDK Lab, embedded"


@route("GET", "/info", open=True)
def info(request: Request) -> dict[str, Any]:
    return {
        "version": VERSION,
        "master_id": request.master.master_id,
        "cluster_id": request.master.cluster_id,
        "cluster_name": CLUSTER_NAME,
        "telemetry": {"enabled": False},
        "sso_providers": None,
    }


@route("GET", "/health", open=True)
def health(request: Request) -> dict[str, Any]:
    return {"status": "up", "database": "up", "resource_managers": [{"cluster_name": CLUSTER_NAME, "status": "up"}]}


@route("GET", "/api/v1/master", open=True)
def master(request: Request) -> dict[str, Any]:
    return {
        "version": VERSION,
        "masterId": request.master.master_id,
        "clusterId": request.master.cluster_id,
        "clusterName": CLUSTER_NAME,
        "telemetryEnabled": False,
        "ssoProviders": [],
        "externalLoginUri": "",
        "externalLogoutUri": "",
        "branding": "determined",
        "rbacEnabled": False,
        "product": "PRODUCT_UNSPECIFIED",
        "featureSwitches": [],
        "userManagementEnabled": True,
        "strictJobQueueControl": False,
        "clusterMessage": None,
        "hasCustomLogo": False,
    }


@route("GET", "/api/v1/master/telemetry", open=True)
def telemetry(request: Request) -> dict[str, Any]:
    return {"enabled": False, "segmentKey": ""}


@route("GET", "/api/v1/master/config")
def config(request: Request) -> dict[str, Any]:
    require_admin(request.me, "master config")
    return {
        "config": {
            "cluster_name": CLUSTER_NAME,
            "checkpoint_storage": {
                **request.master.storage,
                "save_experiment_best": 0,
                "save_trial_best": 1,
                "save_trial_latest": 1,
            },
            "resource_pools": [{"pool_name": POOL, "max_slots": request.master.slots.total}],
            "telemetry": {"enabled": False},
        }
    }


@route("GET", "/api/v1/master/logs")
def master_logs(request: Request) -> Stream:
    """Return the master's own log; following ends when the client disconnects."""

    def pages() -> Iterator[list[dict[str, Any]]]:
        log = request.master.log
        last, left = max(0, request.number("offset")), request.number("limit") or KEPT
        while left > 0:
            seen = log.bell.count
            entries = log.after(last)[:left]
            if entries:
                yield [{"logEntry": entry} for entry in entries]
                last = entries[-1]["id"]
                left -= len(entries)
            if not request.flag("follow") or request.gone():
                return
            log.bell.wait(seen, LOOK_SECONDS)

    return Stream(pages())
