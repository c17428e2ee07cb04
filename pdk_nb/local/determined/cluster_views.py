"""The one resource pool and the one agent as the REST surface shows them."""

from __future__ import annotations

from typing import Any

from pdk_nb.local.determined import VERSION
from pdk_nb.local.determined.master import Master

__all__ = ["agent_view", "pool_view"]


def pool_view(master: Master, name: str) -> dict[str, Any]:
    """``v1ResourcePool`` of the one pool."""
    used = master.slots.total - master.slots.free
    text = dict.fromkeys(
        (
            "imageId",
            "instanceType",
            "masterUrl",
            "masterCertName",
            "startupScript",
            "containerStartupScript",
            "agentDockerNetwork",
            "agentDockerRuntime",
            "agentDockerImage",
            "agentFluentImage",
            "accelerator",
            "clusterName",
        ),
        "",
    )
    return {
        **text,
        "name": name,
        "description": "the processor cores of this machine",
        "type": "RESOURCE_POOL_TYPE_STATIC",
        "numAgents": 1,
        "slotsAvailable": master.slots.total,
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
        "schedulerType": "SCHEDULER_TYPE_FAIR_SHARE",
        "schedulerFittingPolicy": "FITTING_POLICY_BEST",
        "location": "on-prem",
        "maxIdleAgentPeriod": 0.0,
        "maxAgentStartingPeriod": 0.0,
        "details": {"priorityScheduler": None},
        "resourceManagerMetadata": {},
        "resourceManagerName": "embedded",
        "stats": {
            "queuedCount": len(master.experiments.waiting()),
            "scheduledCount": len(master.experiments.runs.active()),
        },
    }


def agent_view(master: Master, name: str, pool: str) -> dict[str, Any]:
    """``v1Agent`` of the one agent."""
    busy = {slot: run for run in master.experiments.runs.active() for slot in run.slots}
    slots = {}
    for index in range(master.slots.total):
        run = busy.get(index)
        container = {"id": run.allocation_id, "state": "STATE_RUNNING", "parent": run.task_id} if run else None
        slots[str(index)] = {
            "id": str(index),
            "device": {"id": index, "brand": "", "uuid": "", "type": "TYPE_CPU"},
            "enabled": True,
            "draining": False,
            "container": container,
        }
    stats = {
        "disabled": 0,
        "draining": 0,
        "total": master.slots.total,
        "states": {"STATE_RUNNING": master.slots.total - master.slots.free},
    }
    return {
        "id": name,
        "registeredTime": master.started_at,
        "slots": slots,
        "containers": {},
        "addresses": ["127.0.0.1"],
        "enabled": True,
        "draining": False,
        "version": VERSION,
        "resourcePools": [pool],
        "slotStats": {"typeStats": {"TYPE_CPU": stats}, "brandStats": {}},
    }
