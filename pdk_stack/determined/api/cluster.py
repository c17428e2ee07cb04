"""Calls about the master itself: information, configuration, and log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from pdk_stack.determined import VERSION
from pdk_stack.determined.api.routing import LOOK_SECONDS, Request, Stream, route
from pdk_stack.determined.api.views import optional, picked
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.master_log import KEPT
from pdk_stack.determined.core.permissions import require_admin
from pdk_stack.determined.errors import invalid, plain
from pdk_stack.determined.store.documents import Document

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
        "hasCustomLogo": False,
        **optional(clusterMessage=_message_view(request.master.messages.shown())),
    }


@route("GET", "/api/v1/master/telemetry", open=True)
def telemetry(request: Request) -> dict[str, Any]:
    return {"enabled": False, "segmentKey": ""}


#: Parts of a master's configuration that this one doesn't have.
ABSENT = (
    *("__internal", "additional_resource_managers", "cache", "config_file", "det_cloud", "feature_switches"),
    *("integrations", "launch_error", "log", "logging", "notebook_timeout", "observability", "oidc", "reserved_ports"),
    *("retention_policy", "root", "saml", "scim", "security", "task_container_defaults", "tensorboard_timeout"),
    *("ui_customization", "webhooks"),
)


@route("GET", "/api/v1/master/config")
def config(request: Request) -> dict[str, Any]:
    require_admin(request.me, "master config")
    master = request.master
    return {
        "config": {
            **dict.fromkeys(ABSENT),
            "cluster_name": CLUSTER_NAME,
            "checkpoint_storage": {
                **master.storage,
                "save_experiment_best": 0,
                "save_trial_best": 1,
                "save_trial_latest": 1,
            },
            "db": {"type": "sqlite"},
            "enable_cors": False,
            "port": master.port,
            "resource_manager": {"type": "embedded"},
            "resource_pools": [{"pool_name": POOL, "max_slots": master.slots.total}],
            "telemetry": {"enabled": False},
        }
    }


#: The levels of Python's log by the master's.
LOG_LEVELS = {
    **dict.fromkeys(("LOG_LEVEL_UNSPECIFIED", "LOG_LEVEL_INFO"), "INFO"),
    **dict.fromkeys(("LOG_LEVEL_TRACE", "LOG_LEVEL_DEBUG"), "DEBUG"),
    "LOG_LEVEL_WARNING": "WARNING",
    "LOG_LEVEL_ERROR": "ERROR",
    "LOG_LEVEL_CRITICAL": "CRITICAL",
}


@route("PATCH", "/api/v1/master/config")
def patch_config(request: Request) -> dict[str, Any]:
    """Change the log's level until the next start; nothing else can be changed."""
    require_admin(request.me, "master config")
    for path in _paths(request.get("fieldMask")):
        if path != "log.level":
            raise plain(f"unsupported or invalid field: {path}")
        level = ((request.get("config") or {}).get("log") or {}).get("level", "LOG_LEVEL_UNSPECIFIED")
        logging.getLogger().setLevel(LOG_LEVELS[level])
    return {}


def _paths(mask: Any) -> list[str]:
    """Return the paths of a field mask in either of its two JSON forms."""
    if isinstance(mask, dict):
        return [str(path) for path in mask.get("paths") or []]
    return str(mask).split(",") if mask else []


# -- the cluster message ---------------------------------------------------------------------------------------------


def _message_view(message: Document | None) -> dict[str, Any] | None:
    if message is None:
        return None
    return {**picked(message, "message", "startTime", "createdTime"), **optional(endTime=message["endTime"])}


@route("GET", "/api/v1/master/cluster_message")
def cluster_message(request: Request) -> dict[str, Any]:
    require_admin(request.me, "master config")
    return {"clusterMessage": _message_view(request.master.messages.current())}


@route("PUT", "/api/v1/master/cluster_message")
def set_cluster_message(request: Request) -> dict[str, Any]:
    require_admin(request.me, "master config")
    times = (request.get(name) for name in ("startTime", "endTime", "duration"))
    request.master.messages.set(request.get("message") or "", *times)
    return {}


@route("DELETE", "/api/v1/master/cluster_message")
def delete_cluster_message(request: Request) -> dict[str, Any]:
    require_admin(request.me, "master config")
    request.master.messages.clear()
    return {}


# -- the log ---------------------------------------------------------------------------------------------------------


@route("GET", "/api/v1/master/logs")
def master_logs(request: Request) -> Stream:
    """Return the master's own log; following ends when the client disconnects."""
    if request.number("limit") < 0:
        raise invalid("Limit must be >= 0")
    if request.number("limit") and request.flag("follow"):
        raise invalid("Limit cannot be specified when following")

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


@route("GET", "/api/v1/k8s-resource-managers")
def kubernetes_managers(request: Request) -> dict[str, Any]:
    """List the resource managers of Kubernetes, of which this master has none."""
    return {"resourceManagers": []}


@route("POST", "/api/v1/cleanup_logs")
def clean_up_logs(request: Request) -> dict[str, Any]:
    """Delete the logs that are kept too long; this master keeps each as long as its trial."""
    require_admin(request.me, "master config")
    return {"removedCount": "0"}
