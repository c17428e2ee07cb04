"""The kinds that the embedded API serves, with the columns that ``kubectl get`` prints."""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import (
    NAME,
    Object,
    age,
    at,
    columns,
    count,
    every,
    join,
    path_values,
    printer_columns,
    table,
)
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.runtime_kinds import RUNTIME_KINDS
from pdk_stack.kubernetes.store.schemas import INFERENCE_SERVICE, schema_of
from pdk_stack.kubernetes.store.workload_kinds import (
    DEPLOYMENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    REPLICA_SETS,
)

TRAFFIC = ".status.components.predictor.traffic"
# KServe's own columns: config/crd/full/serving.kserve.io_inferenceservices.yaml, v0.13.1.
INFERENCE_SERVICE_COLUMNS = {
    "additionalPrinterColumns": [
        {"name": name, "type": type_, "jsonPath": path}
        for name, type_, path in (
            ("URL", "string", ".status.url"),
            ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
            ("Prev", "integer", f"{TRAFFIC}[?(@.tag=='prev')].percent"),
            ("Latest", "integer", f"{TRAFFIC}[?(@.latestRevision==true)].percent"),
            ("PrevRolledoutRevision", "string", f"{TRAFFIC}[?(@.tag=='prev')].revisionName"),
            ("LatestReadyRevision", "string", f"{TRAFFIC}[?(@.latestRevision==true)].revisionName"),
            ("Age", "date", ".metadata.creationTimestamp"),
        )
    ]
}

INFERENCE_SERVICES = Kind.named(
    "serving.kserve.io/v1beta1 InferenceService inferenceservices isvc",
    printer_columns(INFERENCE_SERVICE_COLUMNS),
    custom=True,
    schema=INFERENCE_SERVICE,
)
NAMESPACES = Kind.named(
    "v1 Namespace namespaces ns",
    table({"Status": at("status.phase")}),
    schema=schema_of("V1Namespace", "A scope for names."),
    namespaced=False,
)
CONFIG_MAPS = Kind.named(
    "v1 ConfigMap configmaps cm",
    table({"Data": count("data", "binaryData")}),
    status=False,
    schema=schema_of("V1ConfigMap", "Configuration for programs to read."),
)
SECRETS = Kind.named(
    "v1 Secret secrets",
    table({"Type": at("type", "Opaque"), "Data": count("data")}),
    status=False,
    schema=schema_of("V1Secret", "Secret data; the values of data are base64."),
)
SERVICE_ACCOUNTS = Kind.named(
    "v1 ServiceAccount serviceaccounts sa",
    table({"Secrets": count("secrets")}),
    status=False,
    schema=schema_of("V1ServiceAccount", "An identity for programs."),
)


def _ports(service: Object) -> str:
    ports = path_values("spec.ports[*]", service)
    return join(f"{each.get('port')}/{each.get('protocol', 'TCP')}" for each in ports)


SERVICES = Kind.named(
    "v1 Service services svc",
    table(
        {
            "Type": at("spec.type", "ClusterIP"),
            "Cluster-IP": at("spec.clusterIP", "<none>"),
            "External-IP": every("status.loadBalancer.ingress[*].ip"),
            "Port(s)": _ports,
        }
    ),
    categories=("all",),
)
EVENTS = Kind.named(
    "v1 Event events ev",
    columns(
        {
            "Last Seen": lambda obj: age(obj.get("lastTimestamp")),
            "Type": at("type"),
            "Reason": at("reason"),
            "Object": lambda obj: f"{at('involvedObject.kind')(obj).lower()}/{at('involvedObject.name')(obj)}",
            "Message": at("message"),
        }
    ),
    status=False,
)


def _role(binding: Object) -> str:
    reference = binding.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


def _rbac(plural: str, kind: str, namespaced: bool) -> Kind:
    binding = kind.endswith("Binding")
    schema = schema_of(f"V1{kind}", "Gives a role to users." if binding else "Rules of what may be done.")
    shown = table({"Role": _role} if binding else {})
    names = f"rbac.authorization.k8s.io/v1 {kind} {plural}"
    return Kind.named(names, shown, namespaced=namespaced, status=False, schema=schema)


ROLES = _rbac("roles", "Role", True)
ROLE_BINDINGS = _rbac("rolebindings", "RoleBinding", True)
CLUSTER_ROLES = _rbac("clusterroles", "ClusterRole", False)
CLUSTER_ROLE_BINDINGS = _rbac("clusterrolebindings", "ClusterRoleBinding", False)

CUSTOM_RESOURCE_DEFINITIONS = Kind.named(
    "apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd crds",
    (NAME, *columns({"Created At": at("metadata.creationTimestamp")})),
    namespaced=False,
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
    *RUNTIME_KINDS,
)
