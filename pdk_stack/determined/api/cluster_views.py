"""The one resource pool and the one agent as the REST surface shows them."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined import VERSION
from pdk_stack.determined.core.expconf.completion import PRIORITY
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.core.trials.runs import ActiveRun

__all__ = ["agent_view", "device_view", "pool_view", "slot_views"]

#: Pool fields that only cloud pools fill.
POOL_TEXTS = (
    *("imageId", "instanceType", "masterUrl", "masterCertName", "startupScript", "containerStartupScript"),
    *("agentDockerNetwork", "agentDockerRuntime", "agentDockerImage", "agentFluentImage", "accelerator", "clusterName"),
)


def pool_view(master: Master, name: str) -> dict[str, Any]:
    """Return the single pool as ``v1ResourcePool``."""
    used = sum(len(run.slots) for run in master.experiments.runs.active())
    return {
        **dict.fromkeys(POOL_TEXTS, ""),
        "name": name,
        "description": "the processor cores of this machine",
        "type": "RESOURCE_POOL_TYPE_STATIC",
        "numAgents": 1,
        "slotsAvailable": master.slots.available,
        "slotsUsed": used,
        "slotType": "TYPE_CPU",
        "auxContainerCapacity": 0,
        "auxContainersRunning": 0,
        "defaultComputePool": True,
        "defaultAuxPool": True,
        "preemptible": False,
        "minAgents": 0,
        "maxAgents": 0,
        "slotsPerAgent": master.slots.total,
        "auxContainerCapacityPerAgent": 0,
        "schedulerType": "SCHEDULER_TYPE_PRIORITY",
        "schedulerFittingPolicy": "FITTING_POLICY_BEST",
        "location": "on-prem",
        "maxIdleAgentPeriod": 0.0,
        "maxAgentStartingPeriod": 0.0,
        "details": {
            "aws": None,
            "gcp": None,
            "priorityScheduler": {"preemption": False, "defaultPriority": PRIORITY, "k8Priorities": []},
        },
        "resourceManagerMetadata": {},
        "stats": {
            "queuedCount": len(master.experiments.waiting()),
            "scheduledCount": len(master.experiments.runs.active()),
        },
    }


def device_view(index: int) -> dict[str, Any]:
    """Return a slot's processor core as ``v1Device``."""
    return {"id": index, "brand": "", "uuid": "", "type": "TYPE_CPU"}


def _container(run: ActiveRun) -> dict[str, Any]:
    """Return a running trial's process as ``v1Container``."""
    return {
        "id": run.allocation_id,
        "parent": run.task_id,
        "state": "STATE_RUNNING" if run.ready else "STATE_STARTING",
        "devices": [device_view(slot) for slot in sorted(run.slots)],
        "permissionDenied": False,
    }


def slot_views(master: Master) -> dict[str, dict[str, Any]]:
    """Return every slot as ``v1Slot``, by number."""
    busy = {slot: run for run in master.experiments.runs.active() for slot in run.slots}
    slots = {}
    for index in range(master.slots.total):
        run, enabled = busy.get(index), master.slots.enabled(index)
        slots[str(index)] = {
            "id": str(index),
            "device": device_view(index),
            "enabled": enabled,
            "draining": not enabled and run is not None,
            "container": _container(run) if run else None,
        }
    return slots


def agent_view(master: Master, name: str, pool: str) -> dict[str, Any]:
    """Return the single agent as ``v1Agent``."""
    slots = slot_views(master)
    disabled = sum(not slot["enabled"] for slot in slots.values())
    draining = sum(slot["draining"] for slot in slots.values())
    stats = {
        "disabled": disabled,
        "draining": draining,
        "total": master.slots.total,
        "states": {"STATE_RUNNING": sum(slot["container"] is not None for slot in slots.values())},
    }
    return {
        "id": name,
        "registeredTime": master.started_at,
        "slots": slots,
        "containers": {run.allocation_id: _container(run) for run in master.experiments.runs.active()},
        "addresses": ["127.0.0.1"],
        "enabled": disabled < master.slots.total,
        "draining": disabled == master.slots.total and draining > 0,
        "version": VERSION,
        "resourcePools": [pool],
        "slotStats": {"typeStats": {"TYPE_CPU": stats}, "brandStats": {}},
    }
