"""The kinds that the embedded API serves, with the columns that ``kubectl get`` prints."""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import (
    AGE,
    NAME,
    Column,
    Object,
    age,
    at,
    count,
    join,
    path_values,
    printer_columns,
)
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.schemas import CORE, INFERENCE_SERVICE
from pdk_stack.kubernetes.store.workload_kinds import (
    DEPLOYMENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
)


def _rbac(plural: str, kind: str, namespaced: bool) -> Kind:
    columns = (NAME, Column("Role", _role), AGE) if kind.endswith("Binding") else (NAME, AGE)
    return Kind(
        "rbac.authorization.k8s.io", "v1", plural, kind, namespaced, columns=columns, status=False, schema=CORE[kind]
    )


def _role(binding: Object) -> str:
    reference = binding.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


# KServe's own columns: config/crd/full/serving.kserve.io_inferenceservices.yaml, v0.13.1.
INFERENCE_SERVICE_COLUMNS = {
    "additionalPrinterColumns": [
        {"name": "URL", "type": "string", "jsonPath": ".status.url"},
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type=='Ready')].status"},
        {
            "name": "Prev",
            "type": "integer",
            "jsonPath": ".status.components.predictor.traffic[?(@.tag=='prev')].percent",
        },
        {
            "name": "Latest",
            "type": "integer",
            "jsonPath": ".status.components.predictor.traffic[?(@.latestRevision==true)].percent",
        },
        {
            "name": "PrevRolledoutRevision",
            "type": "string",
            "jsonPath": ".status.components.predictor.traffic[?(@.tag=='prev')].revisionName",
        },
        {
            "name": "LatestReadyRevision",
            "type": "string",
            "jsonPath": ".status.components.predictor.traffic[?(@.latestRevision==true)].revisionName",
        },
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
}

INFERENCE_SERVICES = Kind(
    "serving.kserve.io",
    "v1beta1",
    "inferenceservices",
    "InferenceService",
    short=("isvc",),
    columns=printer_columns(INFERENCE_SERVICE_COLUMNS),
    custom=True,
    schema=INFERENCE_SERVICE,
)
NAMESPACES = Kind(
    "",
    "v1",
    "namespaces",
    "Namespace",
    False,
    ("ns",),
    columns=(NAME, Column("Status", at("status.phase")), AGE),
    schema=CORE["Namespace"],
)
SECRETS = Kind(
    "",
    "v1",
    "secrets",
    "Secret",
    columns=(NAME, Column("Type", at("type", "Opaque")), Column("Data", count("data")), AGE),
    status=False,
    schema=CORE["Secret"],
)
SERVICE_ACCOUNTS = Kind(
    "",
    "v1",
    "serviceaccounts",
    "ServiceAccount",
    short=("sa",),
    columns=(NAME, Column("Secrets", count("secrets")), AGE),
    status=False,
    schema=CORE["ServiceAccount"],
)
SERVICES = Kind(
    "",
    "v1",
    "services",
    "Service",
    short=("svc",),
    categories=("all",),
    columns=(
        NAME,
        Column("Type", at("spec.type", "ClusterIP")),
        Column("Cluster-IP", at("spec.clusterIP", "<none>")),
        Column(
            "External-IP",
            lambda obj: join(path_values("status.loadBalancer.ingress[*].ip", obj)),
        ),
        Column(
            "Port(s)",
            lambda obj: join(
                f"{each.get('port')}/{each.get('protocol', 'TCP')}" for each in path_values("spec.ports[*]", obj)
            ),
        ),
        AGE,
    ),
)
EVENTS = Kind(
    "",
    "v1",
    "events",
    "Event",
    short=("ev",),
    columns=(
        Column("Last Seen", lambda obj: age(obj.get("lastTimestamp"))),
        Column("Type", at("type")),
        Column("Reason", at("reason")),
        Column(
            "Object",
            lambda obj: f"{at('involvedObject.kind')(obj).lower()}/{at('involvedObject.name')(obj)}",
        ),
        Column("Message", at("message")),
    ),
    status=False,
)
CONFIG_MAPS = Kind(
    "",
    "v1",
    "configmaps",
    "ConfigMap",
    short=("cm",),
    columns=(NAME, Column("Data", count("data", "binaryData")), AGE),
    status=False,
    schema=CORE["ConfigMap"],
)

ROLES = _rbac("roles", "Role", True)
ROLE_BINDINGS = _rbac("rolebindings", "RoleBinding", True)
CLUSTER_ROLES = _rbac("clusterroles", "ClusterRole", False)
CLUSTER_ROLE_BINDINGS = _rbac("clusterrolebindings", "ClusterRoleBinding", False)

CUSTOM_RESOURCE_DEFINITIONS = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    False,
    ("crd", "crds"),
    columns=(NAME, Column("Created At", at("metadata.creationTimestamp"))),
)

KINDS: tuple[Kind, ...] = (
    NAMESPACES,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    PODS,
    DEPLOYMENTS,
    REPLICA_SETS,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    SERVICES,
    EVENTS,
    NODES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CUSTOM_RESOURCE_DEFINITIONS,
    INFERENCE_SERVICES,
)
