"""Validates Services.

Source: ``ValidateService`` of ``pkg/apis/core/validation``.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import each_message, labels
from pdk_stack.kubernetes.core.validation.syntax import (
    dns_label,
    dns_subdomain,
    in_range,
    ip_address,
    port_name,
    port_number,
    qualified_name,
)
from pdk_stack.kubernetes.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    quoted,
    required,
)
from pdk_stack.kubernetes.store.columns import Object

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
KUBELET_PORT = 10250
DAY_SECONDS = 86400
UNCHANGED = "may not change once set"


def port_or_name(value: Any, place: str) -> list[FieldError]:
    """Validate a port that is given as a number or a name."""
    if isinstance(value, str):
        return each_message(place, value, port_name)
    return [invalid_value(place, value or 0, words) for words in port_number(value or 0)]


def _ports(spec: dict[str, Any]) -> list[FieldError]:
    ports = spec.get("ports") or []
    found: list[FieldError] = []
    names: set[str] = set()
    for number, port in enumerate(ports):
        place, name = f"spec.ports[{number}]", port.get("name") or ""
        if not name and len(ports) > 1:
            found.append(required(f"{place}.name"))
        elif name:
            found += each_message(f"{place}.name", name, dns_label)
            if name in names:
                found.append(duplicate(f"{place}.name", name))
            names.add(name)
        given = port.get("port") or 0
        found += [invalid_value(f"{place}.port", given, words) for words in port_number(given)]
        if port.get("protocol") not in PROTOCOLS:
            found.append(not_supported(f"{place}.protocol", port.get("protocol"), PROTOCOLS))
        found += port_or_name(port.get("targetPort"), f"{place}.targetPort")
        if port.get("appProtocol") is not None:
            found += each_message(f"{place}.appProtocol", port["appProtocol"], qualified_name)
    return found


def _same_ports(spec: dict[str, Any]) -> list[FieldError]:
    """Return an error for each port, and each node's port, that is given twice."""
    ports = spec.get("ports") or []
    found: list[FieldError] = []
    for name in ("nodePort", "port"):
        seen: set[tuple[str, int]] = set()
        for number, port in enumerate(ports):
            key = (port.get("protocol", ""), port.get(name) or 0)
            if name == "nodePort" and not key[1]:
                continue
            if key in seen:
                place = f"spec.ports[{number}]"
                found.append(duplicate(f"{place}.nodePort", key[1]) if name == "nodePort" else _same_port(place, key))
            seen.add(key)
    return found


def _same_port(place: str, key: tuple[str, int]) -> FieldError:
    shown = (
        f'core.ServicePort{{Name:"", Protocol:{quoted(key[0])}, AppProtocol:(*string)(nil), Port:{key[1]}, '
        'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0}'
    )
    return FieldError(place, "FieldValueDuplicate", f"Duplicate value: {shown}")


def _of_type(spec: dict[str, Any], *, headless: bool) -> list[FieldError]:
    """Validate what a type of service needs or rules out."""
    kind, ports = spec.get("type"), spec.get("ports") or []
    found: list[FieldError] = []
    if not ports and not headless and kind != "ExternalName":
        found.append(required("spec.ports"))
    if kind == "LoadBalancer":
        why = f"may not expose port {KUBELET_PORT} externally since it is used by kubelet"
        found += [
            invalid_value(f"spec.ports[{number}]", KUBELET_PORT, why)
            for number, port in enumerate(ports)
            if port.get("port") == KUBELET_PORT
        ]
    if kind in ("LoadBalancer", "NodePort") and headless:
        found.append(invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(name):
                found.append(forbidden_field(f"spec.{name}", "may not be set for ExternalName services"))
        name = (spec.get("externalName") or "").removesuffix(".")
        found += each_message("spec.externalName", name, dns_subdomain) if name else [required("spec.externalName")]
    return found


def _addresses(spec: dict[str, Any]) -> list[FieldError]:
    """Validate addresses and their families (``ValidateServiceClusterIPsRelatedFields``)."""
    if spec.get("type") == "ExternalName":
        return []
    first, given = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    found: list[FieldError] = []
    if first and given and given[0] != first:
        found.append(invalid_value("spec.clusterIPs", given, "first value must match `clusterIP`"))
    if not first and given:
        found.append(invalid_value("spec.clusterIPs", given, "must be empty when `clusterIP` is not specified"))
    for number, family in enumerate(families := spec.get("ipFamilies") or []):
        if family not in FAMILIES:
            found.append(not_supported(f"spec.ipFamilies[{number}]", family, FAMILIES))
        if family in families[:number]:
            found.append(duplicate(f"spec.ipFamilies[{number}]", family))
    policy = spec.get("ipFamilyPolicy")
    if policy not in (None, *POLICIES):
        found.append(not_supported("spec.ipFamilyPolicy", policy, POLICIES))
    wrong: list[FieldError] = []
    for number, address in enumerate(given):
        if number == 0 and address == "None":
            if len(given) > 1:
                wrong.append(invalid_value("spec.clusterIPs", given, "'None' must be the first and only value"))
        else:
            wrong += each_message(f"spec.clusterIPs[{number}]", address, ip_address)
    if len(given) > 2:
        found.append(invalid_value("spec.clusterIPs", given, "may only hold up to 2 values"))
    if wrong or given[:1] == ["None"]:
        return found + wrong
    versions = [ipaddress.ip_address(each).version for each in given]
    if len(given) > 1 and len(set(versions)) == 1:
        found.append(invalid_value("spec.clusterIPs", given, "may specify no more than one IP for each IP family"))
    for number, (address, version, family) in enumerate(zip(given, versions, families, strict=False)):
        if family in FAMILIES and family != f"IPv{version}":
            why = f"expected an {family} value as indicated by `ipFamilies[{number}]`"
            found.append(invalid_value(f"spec.clusterIPs[{number}]", address, why))
    return found


def _affinity(spec: dict[str, Any]) -> list[FieldError]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    place = "spec.sessionAffinityConfig"
    if affinity not in ("ClientIP", "None"):
        return [not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None"))]
    if affinity == "None":
        return [forbidden_field(place, "must not be set when session affinity is None")] if config else []
    seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds", 0)
    field = f"{place}.clientIP.timeoutSeconds"
    return [invalid_value(field, seconds, words) for words in in_range(seconds, 1, DAY_SECONDS)]


def _traffic(spec: dict[str, Any]) -> list[FieldError]:
    found: list[FieldError] = []
    outside = spec.get("type") in ("LoadBalancer", "NodePort") or (
        spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))
    )
    policy = spec.get("externalTrafficPolicy")
    if policy and not outside:
        why = "may only be set for externally-accessible services"
        found.append(invalid_value("spec.externalTrafficPolicy", policy, why))
    elif policy not in (None, "Cluster", "Local"):
        found.append(not_supported("spec.externalTrafficPolicy", policy, ("Cluster", "Local")))
    inside = spec.get("internalTrafficPolicy")
    if inside not in (None, "Cluster", "Local"):
        found.append(not_supported("spec.internalTrafficPolicy", inside, ("Cluster", "Local")))
    spread = spec.get("trafficDistribution")
    if spread not in (None, "PreferClose"):
        found.append(not_supported("spec.trafficDistribution", spread, ("PreferClose",)))
    return found


def service(obj: Object) -> list[FieldError]:
    """Validate the spec of a Service that has its defaults."""
    spec = obj.get("spec") or {}
    kind, headless = spec.get("type"), spec.get("clusterIP") == "None"
    found = _of_type(spec, headless=headless) + _ports(spec)
    found += labels(spec.get("selector"), "spec.selector")
    found += _affinity(spec) + _addresses(spec)
    for number, address in enumerate(spec.get("externalIPs") or []):
        found += each_message(f"spec.externalIPs[{number}]", address, ip_address)
    if kind not in TYPES:
        found.append(not_supported("spec.type", kind, TYPES))
    if kind == "ClusterIP":
        found += [
            forbidden_field(f"spec.ports[{number}].nodePort", "may not be used when `type` is 'ClusterIP'")
            for number, port in enumerate(spec.get("ports") or [])
            if port.get("nodePort")
        ]
    found += _same_ports(spec)
    for name in ("loadBalancerSourceRanges", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(name) is not None and kind != "LoadBalancer":
            found.append(forbidden_field(f"spec.{name}", "may only be used when `type` is 'LoadBalancer'"))
    for number, block in enumerate(spec.get("loadBalancerSourceRanges") or []):
        try:
            ipaddress.ip_network(block.strip(), strict=False)
        except ValueError:
            why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            found.append(invalid_value(f"spec.LoadBalancerSourceRanges[{number}]", block.strip(), why))
    return found + _traffic(spec)


def service_update(new: Object, old: Object) -> list[FieldError]:
    """Validate what an update changes of a Service: its addresses stay."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in (after.get("type"), before.get("type")):
        return []
    given, had = after.get("clusterIPs") or [], before.get("clusterIPs") or []
    if had and not given:
        return [invalid_value("spec.clusterIPs[0]", given, "primary clusterIP can not be unset")]
    return [
        invalid_value(f"spec.clusterIPs[{number}]", given, UNCHANGED)
        for number, (is_now, was) in enumerate(zip(given, had, strict=False))
        if is_now != was
    ]
