"""The kinds that the embedded API serves, with the columns that ``kubectl get`` prints.

Sources: ``pkg/printers/internalversion`` for columns, ``pkg/apis/core/v1/conversion.go`` for field labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pdk_stack.kubernetes.store.columns import (
    CREATED,
    NAME,
    Column,
    Object,
    age,
    at,
    columns,
    count,
    join,
    path_values,
    printer_columns,
    selector,
    table,
)
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.read_only_kinds import READ_ONLY
from pdk_stack.kubernetes.store.runtime_kinds import RUNTIME_KINDS
from pdk_stack.kubernetes.store.schemas import INFERENCE_SERVICE, built_in
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
    source=INFERENCE_SERVICE,
)
NAMESPACES = Kind.named(
    "v1 Namespace namespaces ns",
    table({"Status": at("status.phase")}),
    source=lambda: built_in("V1Namespace", "A scope for names."),
    namespaced=False,
    field_labels=("status.phase",),
    returned_when_deleted=True,
)
CONFIG_MAPS = Kind.named(
    "v1 ConfigMap configmaps cm",
    table({"Data": count("data", "binaryData")}),
    status=False,
    source=lambda: built_in("V1ConfigMap", "ConfigMap holds configuration data for pods to consume."),
)
SECRETS = Kind.named(
    "v1 Secret secrets",
    table({"Type": at("type", "Opaque"), "Data": count("data")}),
    status=False,
    source=lambda: built_in("V1Secret", "Secret data; the values of data are base64."),
    field_labels=("type",),
)
SERVICE_ACCOUNTS = Kind.named(
    "v1 ServiceAccount serviceaccounts sa",
    table({"Secrets": count("secrets")}),
    status=False,
    source=lambda: built_in("V1ServiceAccount", "An identity for programs."),
    returned_when_deleted=True,
)


def _ports(service: Object) -> str:
    def shown(port: Object) -> str:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"

    return join(map(shown, path_values("spec.ports[*]", service)))


def _external_address(service: Object) -> str:
    """Format EXTERNAL-IP (``getServiceExternalIP``)."""
    spec = service.get("spec") or {}
    own = list(spec.get("externalIPs") or [])
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    if spec.get("type") == "LoadBalancer":
        given = path_values("status.loadBalancer.ingress[*]", service)
        return join([each.get("ip") or each.get("hostname") for each in given] + own, "<pending>")
    return join(own)


SERVICES = Kind.named(
    "v1 Service services svc",
    table(
        {
            "Type": at("spec.type", "ClusterIP"),
            "Cluster-IP": at("spec.clusterIP", "<none>"),
            "External-IP": _external_address,
            "Port(s)": _ports,
        },
        {"Selector": selector("spec.selector")},
    ),
    categories=("all",),
    source=lambda: built_in("V1Service"),
    field_labels=("spec.clusterIP", "spec.type"),
    create_on_update=True,
    returned_when_deleted=True,
)


def _source(event: Object) -> str:
    given = event.get("source") or {}
    parts = (
        given.get("component") or event.get("reportingComponent"),
        given.get("host") or event.get("reportingInstance"),
    )
    return ", ".join(each for each in parts if each)


def _first_seen(event: Object) -> str:
    return age(event.get("firstTimestamp") or event.get("eventTime"))


def _last_seen(event: Object) -> str:
    series = event.get("series") or {}
    return age(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("firstTimestamp")
        or event.get("eventTime")
    )


def _involved(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return "/".join(each for each in (str(about.get("kind") or "").lower(), about.get("name")) if each)


EVENTS = Kind.named(
    "v1 Event events ev",
    (
        *columns({"Last Seen": _last_seen, "Type": at("type"), "Reason": at("reason"), "Object": _involved}),
        *columns({"Subobject": at("involvedObject.fieldPath"), "Source": _source}, priority=1),
        *columns({"Message": lambda event: str(event.get("message") or "").strip()}),
        *columns({"First Seen": _first_seen, "Count": lambda event: event.get("count") or 1}, priority=1),
        Column("Name", at("metadata.name"), format="name", priority=1, description="Name of the object"),
    ),
    status=False,
    source=lambda: built_in("CoreV1Event"),
    field_labels=(
        *(
            f"involvedObject.{name}"
            for name in ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"]
        ),
        *("reason", "reportingComponent", "source", "type"),
    ),
    create_on_update=True,
)


def _as_newer_event(event: Object) -> Object:
    """Convert an event to ``events.k8s.io/v1`` (``pkg/apis/events/v1/conversion.go``)."""
    renamed = {
        "involvedObject": "regarding",
        "message": "note",
        "firstTimestamp": "deprecatedFirstTimestamp",
        "lastTimestamp": "deprecatedLastTimestamp",
        "count": "deprecatedCount",
        "source": "deprecatedSource",
        "reportingComponent": "reportingController",
    }
    shown = {renamed.get(name, name): value for name, value in event.items()}
    for name in ("reportingController", "reportingInstance"):
        if not shown.get(name):
            shown.pop(name, None)
    return shown


# The same events in the newer group; they are written in the older one.
NEWER_EVENTS = replace(
    EVENTS,
    group="events.k8s.io",
    written_by="write events of the core group (v1)",
    read_only=True,
    field_labels=(),
    stored_as=EVENTS.resource,
    shown=_as_newer_event,
    source=lambda: built_in("EventsV1Event"),
)


def _role(binding: Object) -> str:
    reference = binding.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


def _subjects(kind: str) -> Callable[[Object], str]:
    """Make a cell with the subjects of a kind; those in a namespace with its name."""

    def read(binding: Object) -> str:
        found = [each for each in binding.get("subjects") or [] if each.get("kind") == kind]
        return ", ".join("/".join(filter(None, (each.get("namespace"), each.get("name")))) for each in found)

    return read


def _rbac(plural: str, kind: str, namespaced: bool) -> Kind:
    binding = kind.endswith("Binding")
    told = "Gives a role to users." if binding else "Rules of what may be done."
    subjects = {"Users": "User", "Groups": "Group", "ServiceAccounts": "ServiceAccount"}
    wide = {name: _subjects(each) for name, each in subjects.items()}
    shown = table({"Role": _role}, wide) if binding else (NAME, CREATED)
    return Kind.named(
        f"rbac.authorization.k8s.io/v1 {kind} {plural}",
        shown,
        namespaced=namespaced,
        status=False,
        source=lambda: built_in(f"V1{kind}", told),
        create_on_update=True,
    )


ROLES = _rbac("roles", "Role", True)
ROLE_BINDINGS = _rbac("rolebindings", "RoleBinding", True)
CLUSTER_ROLES = _rbac("clusterroles", "ClusterRole", False)
CLUSTER_ROLE_BINDINGS = _rbac("clusterrolebindings", "ClusterRoleBinding", False)

CUSTOM_RESOURCE_DEFINITIONS = Kind.named(
    "apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions crd crds",
    (NAME, CREATED),
    namespaced=False,
    source=lambda: built_in("V1CustomResourceDefinition"),
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
    NEWER_EVENTS,
    NODES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CUSTOM_RESOURCE_DEFINITIONS,
    INFERENCE_SERVICES,
    *RUNTIME_KINDS,
    *READ_ONLY,
)
