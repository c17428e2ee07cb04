"""The cluster's nodes: whether they are ready, under pressure, and have room for another model server.

Only some users may look at nodes. The lab runs without that look, so that it doesn't count if it isn't allowed.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pdk_nb import specs
from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings, State
from pdk_shared.errors import PdkError

FORBIDDEN = (401, 403)
# Conditions that are bad when they hold (``core/v1`` of Kubernetes: NodeConditionType).
PRESSURES = ("DiskPressure", "MemoryPressure", "PIDPressure", "NetworkUnavailable")
LOOK = "kubectl describe nodes"
ASK = f"An administrator can see it: {LOOK}"
PRESSURE_WHY = "A node under pressure accepts no pods, and ends some: trials, workers, and model servers."
ROOM_WHY = "Without room, a new service stays pending, and an update waits until other pods end."

Object = Mapping[str, Any]


def examine(context: Context) -> Findings:
    """All findings of this group."""
    try:
        nodes = _items(context, context.core.list_node)
    except PermissionError as error:
        what = f"This user may not list the cluster's nodes ({error})."
        yield Finding("nodes.list", "unknown", what, "", PRESSURE_WHY, ASK, optional=True)
        return
    troubles = {each["metadata"]["name"]: _trouble(each) for each in nodes}
    usable = [each for each in nodes if not troubles[each["metadata"]["name"]]]
    yield _conditions(troubles)
    if usable:
        yield _room(context, usable)


def run_processes(context: Context) -> bool:
    """Whether the cluster's nodes run local processes instead of containers; False where that can't be seen.

    Args:
        context: The cluster.
    """
    import kubernetes
    import urllib3

    try:
        nodes = _items(context, context.core.list_node)
    except (PdkError, PermissionError, kubernetes.client.ApiException, urllib3.exceptions.HTTPError):
        return False
    runtimes = {each["status"]["nodeInfo"]["containerRuntimeVersion"].partition("://")[0] for each in nodes}
    return runtimes == {"processes"}


def _items(context: Context, ask: Any, **options: Any) -> list[Object]:
    """What the Kubernetes API lists, as JSON: the client refuses objects that lack a field it doesn't need.

    Raises:
        PermissionError: This user may not list it.
    """
    import kubernetes

    try:
        found = ask(_preload_content=False, _request_timeout=TIMEOUT_S, **options)
    except kubernetes.client.ApiException as error:
        if error.status in FORBIDDEN:
            raise PermissionError(f"{error.status} {error.reason}") from error
        raise
    return list(json.loads(found.data)["items"])


def _trouble(node: Object) -> str:
    """Why a node takes no pods; empty when it does."""
    if (node.get("spec") or {}).get("unschedulable"):
        return "is cordoned"
    told = {each["type"]: each for each in (node.get("status") or {}).get("conditions") or []}
    ready = told.get("Ready") or {}
    if ready.get("status") != "True":
        return f"isn't ready: {ready.get('message') or ready.get('reason') or 'no reason given'}"
    return ", ".join(f"has {name}" for name in PRESSURES if (told.get(name) or {}).get("status") == "True")


def _conditions(troubles: Mapping[str, str]) -> Finding:
    told = [f"{name} {trouble}" for name, trouble in troubles.items() if trouble]
    if not told and troubles:
        who = "The node is" if len(troubles) == 1 else f"All {len(troubles)} nodes are"
        return Finding("nodes.conditions", "ok", f"{who} ready, without pressure.")
    state: State = "broken" if len(told) == len(troubles) else "warning"
    more = f"; and {len(told) - 5} more" if len(told) > 5 else ""
    what = f"{'; '.join(told[:5])}{more}." if told else "The cluster has no node."
    return Finding("nodes.conditions", state, what, "", PRESSURE_WHY, LOOK)


def _room(context: Context, nodes: list[Object]) -> Finding:
    """Whether a node has room for another model server: what it can give, less what its pods ask for."""
    running = "status.phase!=Succeeded,status.phase!=Failed"
    try:
        pods = _items(context, context.core.list_pod_for_all_namespaces, field_selector=running)
    except PermissionError as error:
        what = f"This user may not list all pods ({error}), so the nodes' room is unknown."
        return Finding("nodes.room", "unknown", what, "", ROOM_WHY, ASK, optional=True)
    taken: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for pod in pods:
        for kind, amount in _requests(pod["spec"]).items():
            taken[str(pod["spec"].get("nodeName"))][kind] += amount
    params = specs.params_for(context.settings, context.names.example)
    wanted = {kind: _number(text) for kind, text in params.resource_requests.items()}
    free = {
        node["metadata"]["name"]: {
            kind: _number(text) - taken[node["metadata"]["name"]][kind]
            for kind, text in node["status"]["allocatable"].items()
        }
        for node in nodes
    }
    fits = [name for name, left in free.items() if all(left.get(kind, 0.0) >= each for kind, each in wanted.items())]
    size = _shown(wanted)
    if fits:
        what = f"Another model server ({size}) fits on {len(fits)} of {len(nodes)} nodes."
        if len(nodes) == 1:
            what = f"Another model server ({size}) fits on the node."
        return Finding("nodes.room", "ok", what)
    most = max(free.items(), key=lambda each: each[1].get("memory", 0.0))
    left = _shown({kind: max(0.0, most[1].get(kind, 0.0)) for kind in wanted})
    what = f"No node has room for another model server ({size}); {most[0]} has {left} left."
    small = context.set_values(predictor_requests="cpu=500m,memory=1Gi")
    fix = f"{LOOK}  shows who holds the place; pdk-nb reset  deletes your service; or smaller requests: {small}"
    return Finding("nodes.room", "warning", what, "", ROOM_WHY, fix)


def _requests(spec: Object) -> dict[str, float]:
    """What a pod asks for, as the scheduler counts it: its containers together, or its largest init container."""
    total: dict[str, float] = defaultdict(float)
    for each in spec.get("containers") or []:
        for kind, text in ((each.get("resources") or {}).get("requests") or {}).items():
            total[kind] += _number(text)
    for each in spec.get("initContainers") or []:
        for kind, text in ((each.get("resources") or {}).get("requests") or {}).items():
            total[kind] = max(total[kind], _number(text))
    return total


def _number(quantity: object) -> float:
    from kubernetes.utils import parse_quantity

    try:
        return float(parse_quantity(str(quantity)))
    except ValueError:
        return 0.0


def _shown(amounts: Mapping[str, float]) -> str:
    """CPUs and memory as people write them."""
    parts = [f"{amount:g} CPU" for kind, amount in amounts.items() if kind == "cpu"]
    parts += [f"{amount / 1024**3:.1f} GiB" for kind, amount in amounts.items() if kind == "memory"]
    return ", ".join(parts) or "no requests"
