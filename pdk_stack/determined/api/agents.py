"""The resource pool, its agent, and the agent's slots."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.cluster_views import agent_view, pool_view, slot_views
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.permissions import require_admin
from pdk_stack.determined.core.trials.launch import AGENT_ID
from pdk_stack.determined.errors import not_found


@route("GET", "/api/v1/resource-pools")
def pools(request: Request) -> dict[str, Any]:
    shown, pagination = request.page([pool_view(request.master, POOL)])
    return {"resourcePools": shown, "pagination": pagination}


@route("GET", "/api/v1/resource-pools/{name}/workspace-bindings")
def bindings(request: Request, name: str) -> dict[str, Any]:
    """List the workspaces bound to a pool; this master has no bindings."""
    if name != POOL:
        raise not_found(f"resource pool {name} does not exist")
    shown, pagination = request.page([])
    return {"workspaceIds": shown, "pagination": pagination}


@route("GET", "/api/v1/agents")
def agents(request: Request) -> dict[str, Any]:
    shown, pagination = request.page([agent_view(request.master, AGENT_ID, POOL)])
    return {"agents": shown, "pagination": pagination}


@route("GET", "/api/v1/agents/{name}")
def agent(request: Request, name: str) -> dict[str, Any]:
    if name != AGENT_ID:
        raise not_found(f"agent '{name}' not found")
    return {"agent": agent_view(request.master, AGENT_ID, POOL)}


@route("GET", "/api/v1/agents/{name}/slots/{slot}")
def slot_of(request: Request, name: str, slot: str) -> dict[str, Any]:
    agent(request, name)
    found = slot_views(request.master).get(slot)
    if found is None:
        raise not_found(f"slot '{slot}' of agent '{name}' not found")
    return {"slot": found}


@route("GET", "/api/v1/agents/{name}/slots")
def slots(request: Request, name: str) -> dict[str, Any]:
    agent(request, name)
    return {"slots": list(slot_views(request.master).values())}


def _enable(request: Request, slots: set[int], enabled: bool) -> None:
    """Enable or disable slots; without ``drain``, running trials lose their slots and requeue."""
    experiments = request.master.experiments
    request.master.enable_slots(slots, enabled)
    if not enabled and not request.get("drain"):
        for run in experiments.runs.active():
            if slots.intersection(run.slots):
                experiments.runs.kill(run.trial_id)
    experiments.schedule()


def _switch(verb: str, enabled: bool) -> None:
    """Register the calls that enable or disable an agent or one of its slots, for administrators only."""

    @route("POST", f"/api/v1/agents/{{name}}/{verb}")
    def whole(request: Request, name: str) -> dict[str, Any]:
        require_admin(request.me, "update agents")
        agent(request, name)
        _enable(request, set(range(request.master.slots.total)), enabled)
        return agent(request, name)

    @route("POST", f"/api/v1/agents/{{name}}/slots/{{slot}}/{verb}")
    def one(request: Request, name: str, slot: str) -> dict[str, Any]:
        require_admin(request.me, "update agents")
        slot_of(request, name, slot)
        _enable(request, {int(slot)}, enabled)
        return slot_of(request, name, slot)


_switch("enable", True)
_switch("disable", False)
