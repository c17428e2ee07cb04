"""The objects of a new cluster with KServe."""

from __future__ import annotations

import contextlib
import platform
from typing import Any

from pdk_stack.common.service import LOOPBACK
from pdk_stack.kubernetes.core.custom_kinds import inference_service_definition
from pdk_stack.kubernetes.core.default_roles import DEFAULT_ROLES, READ, rule
from pdk_stack.kubernetes.core.defaults import fill_in
from pdk_stack.kubernetes.core.inference.resources import capacity
from pdk_stack.kubernetes.core.rbac import ACCOUNT_PREFIX, AUTHENTICATED, MASTERS, UNAUTHENTICATED
from pdk_stack.kubernetes.core.version import VERSION
from pdk_stack.kubernetes.core.volumes import DEFAULT_CLASS
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object, timestamp
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
from pdk_stack.kubernetes.store.read_only_kinds import STORAGE_CLASSES
from pdk_stack.kubernetes.store.workload_kinds import NODES

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "istio-system")
MODELS_NAMESPACE = "models"
NODE = "embedded"
DEFAULTS_LABEL = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ACCOUNT = "pachyderm-worker"
WORKER = f"{ACCOUNT_PREFIX}default:{ACCOUNT}"
WRITE = (*READ, "create", "update", "patch", "delete")
RBAC_GROUP = "rbac.authorization.k8s.io"
# Permissions of a pipeline worker. A real cluster must grant it the same rules.
WORKER_RULES: dict[str, list[dict[str, Any]]] = {
    # pachd stores pipelines' secrets here and reads them for its workers.
    "default": [rule("core", "secrets", WRITE), rule("core", "configmaps serviceaccounts", READ)],
    MODELS_NAMESPACE: [
        rule("serving.kserve.io", "inferenceservices inferenceservices/status", WRITE),
        rule("core", "pods pods/log events serviceaccounts", READ),
        rule("apps", "deployments replicasets", READ),
    ],
}
PUBLIC_PATHS = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
DISCOVERY_PATHS = [
    *("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"),
    *PUBLIC_PATHS,
]
REVIEWS = [
    {"apiGroups": ["authorization.k8s.io"], "resources": [each], "verbs": ["create"]}
    for each in ("selfsubjectaccessreviews", "selfsubjectrulesreviews")
]
# What everybody may do (plugin/pkg/auth/authorizer/rbac/bootstrappolicy).
SYSTEM_RULES: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "system:basic-user": (
        [*REVIEWS, {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]}],
        (AUTHENTICATED,),
    ),
    "system:discovery": ([{"nonResourceURLs": DISCOVERY_PATHS, "verbs": ["get"]}], (AUTHENTICATED,)),
    "system:public-info-viewer": (
        [{"nonResourceURLs": PUBLIC_PATHS, "verbs": ["get"]}],
        (AUTHENTICATED, UNAUTHENTICATED),
    ),
}
STORAGE_CLASS = {
    "metadata": {
        "name": DEFAULT_CLASS,
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "pdk-lab/folder",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
    "allowVolumeExpansion": False,
}


def create_system_objects(store: ObjectStore, ingress_port: int, api_port: int) -> None:
    """Create missing objects, and update the node and the addresses of the ingress and the API."""
    store.subscribe(lambda change: _new_namespace(store, change))
    for name in SYSTEM_NAMESPACES:
        namespace: Object = {"metadata": {"name": name}}
        fill_in(NAMESPACES, namespace)
        _ensure(store, NAMESPACES, None, namespace)
    _node(store)
    _ensure(store, STORAGE_CLASSES, None, STORAGE_CLASS)
    _ensure(store, CUSTOM_RESOURCE_DEFINITIONS, None, inference_service_definition())
    for name, rules in {**DEFAULT_ROLES, **{name: rules for name, (rules, _) in SYSTEM_RULES.items()}}.items():
        _default_role(store, name, rules)
    groups = {"cluster-admin": (MASTERS,), **{name: given for name, (_, given) in SYSTEM_RULES.items()}}
    for name, given in groups.items():
        subjects = [{"kind": "Group", "apiGroup": RBAC_GROUP, "name": each} for each in given]
        _ensure(store, CLUSTER_ROLE_BINDINGS, None, _binding(name, "ClusterRole", *subjects))
    for name in WORKER_RULES:
        _grant(store, name)
    gateway: Object = {
        "metadata": {
            "name": "istio-ingressgateway",
            "labels": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
        },
        "spec": {
            "type": "LoadBalancer",
            "ports": [{"name": "http2", "port": ingress_port, "targetPort": ingress_port, "protocol": "TCP"}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": LOOPBACK}]}},
    }
    _listener(store, "istio-system", gateway)
    own: Object = {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"ports": [{"name": "https", "port": api_port, "targetPort": api_port, "protocol": "TCP"}]},
    }
    _listener(store, "default", own)


def _listener(store: ObjectStore, namespace: str, service: Object) -> None:
    """Write a service that has a listener on this machine."""
    spec = service["spec"]
    spec |= {"clusterIP": LOOPBACK, "clusterIPs": [LOOPBACK], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
    fill_in(SERVICES, service)
    with contextlib.suppress(StatusError):
        store.delete(SERVICES, namespace, service["metadata"]["name"])
    _ensure(store, SERVICES, namespace, service)


def _node(store: ObjectStore) -> None:
    """Create the node, or bring it up to date: the machine can have changed since the last start."""
    _ensure(store, NODES, None, {"metadata": {"name": NODE}, "spec": {}, "status": {}})
    node = store.get(NODES, None, NODE)
    size, now = capacity(), timestamp()
    machine = _machine(node["metadata"]["uid"])
    labels = {
        "kubernetes.io/hostname": NODE,
        **{f"{prefix}kubernetes.io/arch": machine["architecture"] for prefix in ("", "beta.")},
        **{f"{prefix}kubernetes.io/os": machine["operatingSystem"] for prefix in ("", "beta.")},
        "node-role.kubernetes.io/control-plane": "",
    }
    node["metadata"]["labels"] = {**(node["metadata"].get("labels") or {}), **labels}
    known = (node.get("status") or {}).get("conditions") or [{}]
    since = known[0].get("lastTransitionTime") or now
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "the embedded cluster runs model servers as local processes",
        "lastHeartbeatTime": now,
        "lastTransitionTime": since,
    }
    addresses = [{"type": "InternalIP", "address": LOOPBACK}, {"type": "Hostname", "address": NODE}]
    node["status"] = {
        "capacity": size,
        "allocatable": size,
        "conditions": [ready],
        "addresses": addresses,
        "nodeInfo": machine,
    }
    store.update(NODES, None, NODE, node)


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


def _default_role(store: ObjectStore, name: str, rules: list[dict[str, Any]]) -> None:
    """Create a role, or add what a newer version grants, as the real API does at each start."""
    _ensure(store, CLUSTER_ROLES, None, {"metadata": {"name": name, "labels": DEFAULTS_LABEL}, "rules": rules})
    role = store.get(CLUSTER_ROLES, None, name)
    known = role.get("rules") or []
    if missing := [each for each in rules if each not in known]:
        store.update(CLUSTER_ROLES, None, name, {**role, "rules": [*known, *missing]})


def _binding(name: str, role: str, *subjects: dict[str, Any]) -> Object:
    reference = {"apiGroup": RBAC_GROUP, "kind": role, "name": name}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": list(subjects)}


def _ensure(store: ObjectStore, kind: Kind, namespace: str | None, obj: Object) -> None:
    """Create an object; leave an existing one unchanged."""
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
    try:
        store.create(kind, namespace, obj)
    except StatusError as error:
        # Its namespace might not exist yet.
        if error.http_status not in (403, 404, 409):
            raise
