"""The objects of a new cluster with KServe."""

from __future__ import annotations

import contextlib
import platform
from typing import Any

from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.admission import admit
from pdk_stack.kubernetes.core.custom_kinds import inference_service_definition
from pdk_stack.kubernetes.core.inference.resources import capacity
from pdk_stack.kubernetes.core.rbac import ACCOUNT_PREFIX, MASTERS
from pdk_stack.kubernetes.core.version import VERSION
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SERVICES,
)
from pdk_stack.kubernetes.store.objects import Change, ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import NODES

SYSTEM_NAMESPACES = ("default", "kube-system", "istio-system")
MODELS_NAMESPACE = "models"
ACCOUNT = "pachyderm-worker"
WORKER = f"{ACCOUNT_PREFIX}default:{ACCOUNT}"
READ = ["get", "list", "watch"]
WRITE = [*READ, "create", "update", "patch", "delete"]
RBAC_GROUP = "rbac.authorization.k8s.io"


def _rule(groups: str, resources: str, verbs: list[str]) -> dict[str, Any]:
    """Make a rule; ``core`` stands for the unnamed group."""
    named = ["" if group == "core" else group for group in groups.split()]
    return {"apiGroups": named, "resources": resources.split(), "verbs": verbs}


WORKLOADS = _rule("apps", "deployments replicasets", READ)
# Permissions of a pipeline worker. A real cluster must grant it the same rules.
WORKER_RULES: dict[str, list[dict[str, Any]]] = {
    # pachd stores pipelines' secrets here and reads them for its workers.
    "default": [_rule("core", "secrets", WRITE), _rule("core", "configmaps serviceaccounts", READ)],
    MODELS_NAMESPACE: [
        _rule("serving.kserve.io", "inferenceservices inferenceservices/status", WRITE),
        _rule("core", "pods pods/log events serviceaccounts", READ),
        WORKLOADS,
    ],
}
SHARED = "configmaps serviceaccounts services pods inferenceservices"
CLUSTER_RULES: dict[str, list[dict[str, Any]]] = {
    "cluster-admin": [_rule("*", "*", ["*"])],
    "edit": [
        _rule("core serving.kserve.io", f"{SHARED} secrets persistentvolumeclaims", WRITE),
        _rule("core", "events pods/log namespaces", READ),
        WORKLOADS,
    ],
    "view": [
        _rule("core apps serving.kserve.io", f"{SHARED} deployments replicasets pods/log events namespaces", READ)
    ],
}


def create_system_objects(store: ObjectStore, ingress_port: int) -> None:
    """Create missing objects, and update the ingress's address."""
    store.subscribe(lambda change: _new_namespace(store, change))
    for name in SYSTEM_NAMESPACES:
        namespace: Object = {"metadata": {"name": name}}
        admit(NAMESPACES, namespace)
        _ensure(store, NAMESPACES, None, namespace)
    _ensure(store, NODES, None, {"metadata": {"name": "embedded"}, "status": {}})
    node = store.get(NODES, None, "embedded")
    # The machine can have changed since the last start.
    size = capacity()
    ready = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
    status = {"capacity": size, "allocatable": size, "conditions": ready, "nodeInfo": _machine(node["metadata"]["uid"])}
    status["addresses"] = [{"type": "InternalIP", "address": LOOPBACK}, {"type": "Hostname", "address": "embedded"}]
    store.update(NODES, None, "embedded", {**node, "status": status})
    _ensure(store, CUSTOM_RESOURCE_DEFINITIONS, None, inference_service_definition())
    for name, rules in CLUSTER_RULES.items():
        _ensure(store, CLUSTER_ROLES, None, {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "Group", "apiGroup": RBAC_GROUP, "name": MASTERS}
    _ensure(store, CLUSTER_ROLE_BINDINGS, None, _binding("cluster-admin", "ClusterRole", subject))
    for name in WORKER_RULES:
        _grant(store, name)
    gateway = {
        "metadata": {
            "name": "istio-ingressgateway",
            "labels": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": LOOPBACK,
            "ports": [{"name": "http2", "port": ingress_port, "targetPort": ingress_port, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": LOOPBACK}]}},
    }
    with contextlib.suppress(StatusError):
        store.delete(SERVICES, "istio-system", "istio-ingressgateway")
    store.create(SERVICES, "istio-system", gateway)


def _machine(uid: str) -> dict[str, str]:
    """Describe the node's machine; clients require every field, but the machine's real ids stay private.

    Args:
        uid: The node's id, used in place of the machine's.
    """
    return {
        **dict.fromkeys(("bootID", "machineID", "systemUUID"), uid),
        "kubeProxyVersion": "",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        "containerRuntimeVersion": "processes://0",
        "kernelVersion": platform.release(),
        "kubeletVersion": str(VERSION["gitVersion"]),
        "operatingSystem": platform.system().lower(),
        "osImage": platform.platform(terse=True),
    }


def _new_namespace(store: ObjectStore, change: Change) -> None:
    """Grant the worker its permissions when the models' namespace is created."""
    if (change.group, change.plural, change.type) == ("", NAMESPACES.plural, "ADDED"):
        _grant(store, change.object["metadata"]["name"])


def _grant(store: ObjectStore, namespace: str) -> None:
    if namespace not in WORKER_RULES:
        return
    _ensure(store, ROLES, namespace, {"metadata": {"name": ACCOUNT}, "rules": WORKER_RULES[namespace]})
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "default"}
    _ensure(store, ROLE_BINDINGS, namespace, _binding(ACCOUNT, "Role", subject))


def _binding(name: str, role: str, subject: dict[str, Any]) -> Object:
    reference = {"apiGroup": RBAC_GROUP, "kind": role, "name": name}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


def _ensure(store: ObjectStore, kind: Kind, namespace: str | None, obj: Object) -> None:
    """Create an object; leave an existing one unchanged."""
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    try:
        store.create(kind, namespace, obj)
    except StatusError as error:
        # Its namespace might not exist yet.
        if error.http_status not in (403, 404, 409):
            raise
