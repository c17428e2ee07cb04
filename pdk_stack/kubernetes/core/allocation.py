"""Gives Services their addresses and node ports.

Nothing listens on them, except for the API's and the ingress's own. Source: ``pkg/registry/core/service``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pdk_stack.kubernetes.errors import FieldError, invalid, invalid_value
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kinds import SERVICES
from pdk_stack.kubernetes.store.objects import ObjectStore

#: Range of the services' addresses; k3s and MicroShift use the same.
RANGE = ipaddress.ip_network("10.43.0.0/16")
NODE_PORTS = range(30000, 32768)


def _used(store: ObjectStore, but: str, pick: Callable[[dict[str, Any]], Iterable[Any]]) -> set[Any]:
    """Return what the specs of all other services use."""
    specs = (each["spec"] for each in store.view(SERVICES)[0] if each["metadata"]["uid"] != but and each.get("spec"))
    return {value for spec in specs for value in pick(spec)}


def _node_ports(spec: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for port in spec.get("ports") or []:
        if port.get("nodePort"):
            yield port.get("protocol", "TCP"), port["nodePort"]


def inherit(new: Object, old: Object) -> None:
    """Keep the addresses and node ports that an update leaves out, in place (``patchAllocatedValues``)."""
    spec, had = new.setdefault("spec", {}), old.get("spec") or {}
    if "ExternalName" in (spec.get("type"), had.get("type")):
        return
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        for name in ("clusterIP", "clusterIPs"):
            if had.get(name):
                spec[name] = had[name]
    for name in ("ipFamilies", "ipFamilyPolicy"):
        if spec.get(name) is None and had.get(name) is not None:
            spec[name] = had[name]
    if spec.get("type") in ("LoadBalancer", "NodePort"):
        known = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in had.get("ports") or []}
        for port in spec.get("ports") or []:
            found = known.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and found:
                port["nodePort"] = found


def align(spec: dict[str, Any], had: dict[str, Any]) -> None:
    """Make ``clusterIP`` and ``clusterIPs`` agree, in place (``NormalizeClusterIPs``).

    Args:
        spec: The service's spec.
        had: The stored spec; empty for a new service.
    """
    first, given = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    changed = first != (had.get("clusterIP") or "")
    if first and (not given or (changed and given == (had.get("clusterIPs") or []))):
        spec["clusterIPs"] = [first]
    elif given and not first and not had:
        spec["clusterIP"] = given[0]


def allocate(store: ObjectStore, obj: Object) -> None:
    """Give a valid service its addresses and node ports, in place.

    Raises:
        StatusError: 422 for an address or port that is out of range or taken.
    """
    spec, meta = obj["spec"], obj["metadata"]
    wrong: list[FieldError] = []
    if spec["type"] != "ExternalName":
        wrong += _address(store, spec, meta.get("uid", ""))
    if spec["type"] in ("LoadBalancer", "NodePort"):
        wrong += _ports(store, spec, meta.get("uid", ""))
    if wrong:
        raise invalid(*SERVICES.group_kind, meta["name"], wrong)


def _address(store: ObjectStore, spec: dict[str, Any], uid: str) -> list[FieldError]:
    given = spec.get("clusterIP")
    dual = given == "None" and not spec.get("selector")
    if spec.get("ipFamilyPolicy") is None:
        spec["ipFamilyPolicy"] = "RequireDualStack" if dual else "SingleStack"
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = ["IPv4", "IPv6"] if dual else ["IPv4"]
    if given == "None":
        return []
    if given:
        kept = [each for each in store.view(SERVICES)[0] if each["metadata"]["uid"] == uid]
        if kept and (kept[0].get("spec") or {}).get("clusterIP") == given:
            return []
        if ipaddress.ip_address(given) not in RANGE:
            why = (
                f"failed to allocate IP {given}: the provided IP ({given}) is not in the valid range. "
                f"The range of valid IPs is {RANGE}"
            )
            return [invalid_value("spec.clusterIPs", spec["clusterIPs"], why)]
        if given in _used(store, uid, lambda each: [each.get("clusterIP")]):
            why = f"failed to allocate IP {given}: provided IP is already allocated"
            return [invalid_value("spec.clusterIPs", spec["clusterIPs"], why)]
        return []
    used = _used(store, uid, lambda each: [each.get("clusterIP")])
    free = next((str(each) for each in RANGE.hosts() if str(each) not in used), "")
    spec["clusterIP"], spec["clusterIPs"] = free, [free]
    return []


def _ports(store: ObjectStore, spec: dict[str, Any], uid: str) -> list[FieldError]:
    used = _used(store, uid, _node_ports)
    wrong: list[FieldError] = []
    wanted = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts")
    for number, port in enumerate(spec.get("ports") or []):
        place, protocol, given = f"spec.ports[{number}].nodePort", port.get("protocol", "TCP"), port.get("nodePort")
        if given and given not in NODE_PORTS:
            first, last = NODE_PORTS[0], NODE_PORTS[-1]
            why = f"provided port is not in the valid range. The range of valid ports is {first}-{last}"
            wrong.append(invalid_value(place, given, why))
        elif given and (protocol, given) in used:
            wrong.append(invalid_value(place, given, "provided port is already allocated"))
        elif not given and wanted:
            taken = used | set(_node_ports(spec))
            port["nodePort"] = next((each for each in NODE_PORTS if (protocol, each) not in taken), None)
        used.add((protocol, port.get("nodePort") or 0))
    return wrong
