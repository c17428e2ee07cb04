"""Completes objects: the defaults of Kubernetes' own kinds, and the shape in which Go writes them.

Sources: ``pkg/apis/core/v1/defaults.go`` and ``pkg/apis/apps/v1/defaults.go``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from pdk_stack.kubernetes.core.validation.definitions import fill_in_definition
from pdk_stack.kubernetes.core.validation.roles import fill_in_binding
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICES,
)
from pdk_stack.kubernetes.store.models import Schema
from pdk_stack.kubernetes.store.schemas import complete
from pdk_stack.kubernetes.store.workload_kinds import (
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
)

CLIENT_IP_SECONDS = 10800
#: Fields that Go writes even when they are empty, and what it writes then.
ALWAYS: dict[tuple[str, str], dict[str, Any]] = {
    ROLES.resource: {"rules": None},
    CLUSTER_ROLES.resource: {"rules": None},
    EVENTS.resource: {
        "eventTime": None,
        "firstTimestamp": None,
        "lastTimestamp": None,
        "involvedObject": {},
        "source": {},
        "reportingComponent": "",
        "reportingInstance": "",
    },
}


def _unset(holder: dict[str, Any], **values: Any) -> None:
    """Set fields that are absent or empty."""
    for name, value in values.items():
        if holder.get(name) in (None, ""):
            holder[name] = value


def _secret(obj: Object) -> None:
    _unset(obj, type="Opaque")
    given = obj.pop("stringData", None) or {}
    if given:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _namespace(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    if "kubernetes" not in (spec.get("finalizers") or []):
        spec["finalizers"] = [*(spec.get("finalizers") or []), "kubernetes"]
    obj.setdefault("status", {}).setdefault("phase", "Active")
    if obj["metadata"].get("name"):
        labels = obj["metadata"].get("labels") or {}
        obj["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": obj["metadata"]["name"]}


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _unset(spec, sessionAffinity="None", type="ClusterIP")
    kind = spec["type"]
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        config.setdefault("timeoutSeconds", CLIENT_IP_SECONDS)
    for port in spec.get("ports") or []:
        _unset(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port") or 0
    if kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and spec.get("externalIPs")):
        _unset(spec, externalTrafficPolicy="Cluster")
    if kind in ("ClusterIP", "LoadBalancer", "NodePort"):
        _unset(spec, internalTrafficPolicy="Cluster")
    if kind == "LoadBalancer":
        _unset(spec, allocateLoadBalancerNodePorts=True)
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _claim(obj: Object) -> None:
    _unset(obj.setdefault("spec", {}), volumeMode="Filesystem")
    _unset(obj.setdefault("status", {}), phase="Pending")


def _volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _unset(spec, volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")
    _unset(obj.setdefault("status", {}), phase="Available")


def _container(container: dict[str, Any]) -> None:
    image = str(container.get("image") or "").rpartition("/")[2]
    newest = ":" not in image or image.endswith(":latest")
    _unset(
        container,
        imagePullPolicy="Always" if newest and "@" not in image else "IfNotPresent",
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    container.setdefault("resources", {})
    for port in container.get("ports") or []:
        _unset(port, protocol="TCP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            _unset(reference, apiVersion="v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1)):
                probe[field] = probe.get(field) or value
            probe["failureThreshold"] = probe.get("failureThreshold") or 3


def _pod_spec(spec: dict[str, Any]) -> None:
    _unset(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        schedulerName="default-scheduler",
        terminationGracePeriodSeconds=30,
    )
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccount") and not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    for volume in spec.get("volumes") or []:
        if not volume.keys() - {"name"}:
            volume["emptyDir"] = {}
    for each in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        _container(each)


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)
    _unset(spec, enableServiceLinks=True)
    for each in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        limits = each["resources"].get("limits")
        if limits:
            each["resources"]["requests"] = {**limits, **(each["resources"].get("requests") or {})}


def _template(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _unset(spec, replicas=1)
    _pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _deployment(obj: Object) -> None:
    _template(obj)
    spec = obj["spec"]
    strategy = spec.setdefault("strategy", {})
    _unset(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _unset(strategy.setdefault("rollingUpdate", {}), maxUnavailable="25%", maxSurge="25%")
    _unset(spec, revisionHistoryLimit=10, progressDeadlineSeconds=600)


DEFAULTS: dict[tuple[str, str], Callable[[Object], None]] = {
    SECRETS.resource: _secret,
    NAMESPACES.resource: _namespace,
    SERVICES.resource: _service,
    PERSISTENT_VOLUME_CLAIMS.resource: _claim,
    PERSISTENT_VOLUMES.resource: _volume,
    PODS.resource: _pod,
    DEPLOYMENTS.resource: _deployment,
    REPLICA_SETS.resource: _template,
    CUSTOM_RESOURCE_DEFINITIONS.resource: fill_in_definition,
    ROLE_BINDINGS.resource: fill_in_binding,
    CLUSTER_ROLE_BINDINGS.resource: fill_in_binding,
}


def fill_in(kind: Kind, obj: Object) -> None:
    """Add the defaults of one of Kubernetes' own kinds, in place."""
    complete_kind = DEFAULTS.get(kind.resource)
    if complete_kind is not None:
        complete_kind(obj)


def as_written(kind: Kind, obj: Object) -> Object:
    """Return an object as Go writes it: without empty lists, maps, and texts of its metadata that nobody set."""
    if kind.custom or kind.schema is None:
        return obj
    shaped: Object = _without_empty(complete(kind.schema), obj)
    for name, value in shaped.get("metadata", {}).copy().items():
        if value == "":
            del shaped["metadata"][name]
    return {**shaped, **{name: shaped.get(name, empty) for name, empty in ALWAYS.get(kind.resource, {}).items()}}


def _without_empty(schema: Schema, value: Any) -> Any:
    """Drop the fields that Go leaves out (``omitempty``): those whose list or map is empty, and nulls."""
    properties = schema.get("properties")
    if isinstance(value, list):
        return [_without_empty(schema.get("items") or {}, each) for each in value]
    if not isinstance(value, dict):
        return value
    if properties is None:
        inner = schema.get("additionalProperties")
        return {key: _without_empty(inner, each) for key, each in value.items()} if isinstance(inner, dict) else value
    found = {}
    for name, each in value.items():
        known = properties.get(name) or {}
        kept = _without_empty(known, each)
        is_collection = known.get("type") == "array" or (known.get("type") == "object" and "properties" not in known)
        if kept is None or (kept in ([], {}) and is_collection):
            continue
        found[name] = kept
    return found
