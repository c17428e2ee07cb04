"""The resource pool, its agent, and the agent's slots."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.cluster_views import agent_view, pool_view, slot_views
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.core.master import POOL
from pdk_stack.determined.core.permissions import require_admin
from pdk_stack.determined.core.trials.launch import AGENT_ID
from pdk_stack.determined.errors import not_found, plain


@route("GET", "/api/v1/resource-pools")
def pools(request: Request) -> dict[str, Any]:
    shown, pagination = request.page([pool_view(request.master, POOL)])
    return {"resourcePools": shown, "pagination": pagination}


@route("GET", "/api/v1/resource-pools/{name}/workspace-bindings")
def bindings(request: Request, name: str) -> dict[str, Any]:
    """List the workspaces bound to a pool; the only pool is everyone's."""
    if name != POOL:
        raise plain(f"pool with name {name} doesn't exist or is not available")
    shown, pagination = request.page([], clipped=True)
    return {"workspaceIds": shown, "pagination": pagination}


@route("POST", "/api/v1/resource-pools/{name}/workspace-bindings")
@route("PUT", "/api/v1/resource-pools/{name}/workspace-bindings")
def bind(request: Request, name: str) -> dict[str, Any]:
    """Refuse to bind the only pool, which is the default one and so everyone's."""
    if name == POOL:
        raise plain(f"default resource pool {POOL} cannot be bound to any workspace")
    _named_workspaces(request)
    raise plain(f"pool with name {name} doesn't exist")


@route("DELETE", "/api/v1/resource-pools/{name}/workspace-bindings")
def unbind(request: Request, name: str) -> dict[str, Any]:
    """Refuse to undo bindings, of which there are none."""
    for key in [*(request.get("workspaceIds") or []), *_named_workspaces(request)]:
        raise plain(f" workspace with id {key} and pool with name  {name} binding doesn't exist")
    return {}


def _named_workspaces(request: Request) -> list[int]:
    names = request.get("workspaceNames") or []
    found = {name: request.master.workspaces.by_name(name) for name in names}
    missing = [name for name, workspace in found.items() if workspace is None]
    if missing:
        raise plain(f"the following workspaces do not exist: [{' '.join(missing)}]")
    return [workspace["id"] for workspace in found.values() if workspace is not None]


@route("GET", "/api/v1/agents")
def agents(request: Request) -> dict[str, Any]:
    shown, pagination = request.page([agent_view(request.master, AGENT_ID, POOL)])
    for each in shown:
        each.update({name: {} for name in ("slots", "containers") if request.flag(f"exclude{name.capitalize()}")})
    return {"agents": shown, "pagination": pagination}


# Reading an agent that isn't there gives nothing, as on Kubernetes; changing one is refused.


@route("GET", "/api/v1/agents/{name}")
def agent(request: Request, name: str) -> dict[str, Any]:
    return {"agent": agent_view(request.master, AGENT_ID, POOL) if name == AGENT_ID else None}


@route("GET", "/api/v1/agents/{name}/slots/{slot}")
def slot_of(request: Request, name: str, slot: str) -> dict[str, Any]:
    return {"slot": _slots(request, name).get(slot)}


@route("GET", "/api/v1/agents/{name}/slots")
def slots(request: Request, name: str) -> dict[str, Any]:
    return {"slots": list(_slots(request, name).values())}


def _slots(request: Request, name: str) -> dict[str, dict[str, Any]]:
    return slot_views(request.master) if name == AGENT_ID else {}


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
        if name != AGENT_ID:
            raise not_found(f"agent '{name}' not found")
        _enable(request, set(range(request.master.slots.total)), enabled)
        return agent(request, name)

    @route("POST", f"/api/v1/agents/{{name}}/slots/{{slot}}/{verb}")
    def one(request: Request, name: str, slot: str) -> dict[str, Any]:
        require_admin(request.me, "update agents")
        if slot not in _slots(request, name):
            raise not_found(f"slot '{slot}' of agent '{name}' not found")
        _enable(request, {int(slot)}, enabled)
        return slot_of(request, name, slot)


_switch("enable", True)
_switch("disable", False)
