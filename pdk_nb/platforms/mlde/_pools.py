"""Determined's resource pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdk_nb.platforms.mlde._connection import session
from pdk_nb.platforms.mlde._errors import api_errors, client_errors
from pdk_shared.errors import SettingsError

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined


@dataclass(frozen=True)
class Pool:
    """One resource pool.

    Attributes:
        name: Its name.
        slots: Slots of its agents at this moment; 0 in a pool that starts agents on demand.
        has_gpu: Whether its slots are GPUs.
        on_demand: Whether it starts agents when they are needed.
    """

    name: str
    slots: int
    has_gpu: bool
    on_demand: bool = False


@api_errors()
def pools(client: Determined) -> list[Pool]:
    """All resource pools."""
    reply = session(client).get("/api/v1/resource-pools").json()
    return [
        Pool(
            name=str(pool["name"]),
            slots=int(pool.get("slotsAvailable") or 0),
            has_gpu=str(pool.get("slotType", "")) in ("TYPE_CUDA", "TYPE_ROCM"),
            on_demand=int(pool.get("maxAgents") or 0) > 0,
        )
        for pool in reply.get("resourcePools") or []
    ]


@api_errors()
def slot_cpu(client: Determined) -> float:
    """CPUs of one CPU slot on Kubernetes; 0 when unknown.

    A slot's request is also its limit (``spec.go`` of Determined 0.38: limits and requests are slots times
    ``slot_resource_requests.cpu``). Only administrators may read the master's configuration.
    """
    errors = client_errors()
    try:
        config = session(client).get("/api/v1/master/config").json().get("config") or {}
    except (errors.BadRequestException, errors.BadResponseException):
        return 0.0
    manager = config.get("resource_manager") or {}
    if manager.get("slot_type") != "cpu":
        return 0.0
    return float((manager.get("slot_resource_requests") or {}).get("cpu") or 0.0)


def choose_pool(available: list[Pool], wanted: str = "") -> Pool:
    """The pool to train in: the wanted one, else one with GPUs, else the first.

    Raises:
        SettingsError: The wanted pool, or any pool, does not exist.
    """
    names = ", ".join(pool.name for pool in available) or "none"
    if wanted:
        found = next((pool for pool in available if pool.name == wanted), None)
        if found is None:
            raise SettingsError(
                f"Determined has no resource pool {wanted!r}.", where="--resource-pool", fix=f"choose one of: {names}"
            )
        return found
    if not available:
        raise SettingsError(
            "Determined has no resource pool.", fix="start an agent, or ask the cluster's administrator"
        )
    return next((pool for pool in available if pool.has_gpu and pool.slots), available[0])
