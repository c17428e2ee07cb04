"""The ClusterRoles that people bind: ``cluster-admin``, ``admin``, ``edit``, and ``view``.

Source: ``plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go``. The last rule of ``VIEW`` and of ``EDIT`` adds
InferenceServices.
"""

from __future__ import annotations

from typing import Any

Rule = dict[str, Any]

READ = ("get", "list", "watch")
WRITE = ("create", "update", "patch", "delete", "deletecollection")
READ_WRITE = (*READ, *WRITE)


def rule(groups: str, resources: str, verbs: tuple[str, ...] | list[str]) -> Rule:
    """Make a rule; ``core`` stands for the unnamed group."""
    named = ["" if group == "core" else group for group in groups.split()]
    return {"apiGroups": named, "resources": resources.split(), "verbs": list(verbs)}


_STREAMS = "pods/attach pods/exec pods/portforward pods/proxy"
_NETWORK = "ingresses networkpolicies"
VIEW = [
    rule(
        "core",
        "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods replicationcontrollers "
        "replicationcontrollers/scale serviceaccounts services services/status",
        READ,
    ),
    rule(
        "core",
        "bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
        READ,
    ),
    rule("core", "namespaces", READ),
    rule("discovery.k8s.io", "endpointslices", READ),
    rule(
        "apps",
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
        "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
        READ,
    ),
    rule("autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status", READ),
    rule("batch", "cronjobs cronjobs/status jobs jobs/status", READ),
    rule("policy", "poddisruptionbudgets poddisruptionbudgets/status", READ),
    rule("networking.k8s.io", f"{_NETWORK} ingresses/status", READ),
    rule("serving.kserve.io", "inferenceservices inferenceservices/status", READ),
]
EDIT = [
    rule("core", f"{_STREAMS} secrets services/proxy", READ),
    rule("core", "serviceaccounts", ["impersonate"]),
    rule("core", f"pods {_STREAMS}", WRITE),
    rule("core", "pods/eviction", ["create"]),
    rule(
        "core",
        "configmaps endpoints events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
        "secrets serviceaccounts services services/proxy",
        WRITE,
    ),
    rule("core", "serviceaccounts/token", ["create"]),
    rule(
        "apps",
        "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale statefulsets "
        "statefulsets/scale",
        WRITE,
    ),
    rule("autoscaling", "horizontalpodautoscalers", WRITE),
    rule("batch", "cronjobs jobs", WRITE),
    rule("policy", "poddisruptionbudgets", WRITE),
    rule("networking.k8s.io", _NETWORK, WRITE),
    rule("coordination.k8s.io", "leases", READ_WRITE),
    rule("serving.kserve.io", "inferenceservices", WRITE),
]
ADMIN = [
    rule("authorization.k8s.io", "localsubjectaccessreviews", ["create"]),
    rule("rbac.authorization.k8s.io", "rolebindings roles", READ_WRITE),
]
DEFAULT_ROLES: dict[str, list[Rule]] = {
    "cluster-admin": [rule("*", "*", ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    "admin": [*ADMIN, *EDIT, *VIEW],
    "edit": [*EDIT, *VIEW],
    "view": VIEW,
}
