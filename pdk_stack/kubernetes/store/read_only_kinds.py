"""Kinds that clients expect of every cluster, and that nothing writes here: lists are empty, writes are refused.

``kubectl apply --prune``, ``describe`` and ``get all`` look for them.
"""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import CREATED, NAME, Column, at, every, number, selector, table
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.schemas import built_in

NO_CONTROLLER = "the embedded cluster has no controller for them"
CONTAINERS = {
    "Containers": every("spec.template.spec.containers[*].name"),
    "Images": every("spec.template.spec.containers[*].image"),
    "Selector": selector("spec.selector.matchLabels"),
}
REPLICAS = {
    "Desired": number("spec.replicas"),
    "Current": number("status.replicas"),
    "Ready": number("status.readyReplicas"),
}
NAME_ONLY = (NAME, CREATED)


def _kind(
    names: str,
    model: str,
    columns: tuple[Column, ...] = NAME_ONLY,
    *,
    status: bool = True,
    namespaced: bool = True,
    in_all: bool = False,
    written_by: str = NO_CONTROLLER,
) -> Kind:
    return Kind.named(
        names,
        columns,
        status=status,
        namespaced=namespaced,
        categories=("all",) if in_all else (),
        written_by=written_by,
        read_only=True,
        source=lambda: built_in(model),
    )


STORAGE_CLASSES = _kind(
    "storage.k8s.io/v1 StorageClass storageclasses sc",
    "V1StorageClass",
    table(
        {
            "Provisioner": at("provisioner"),
            "ReclaimPolicy": at("reclaimPolicy", "Delete"),
            "VolumeBindingMode": at("volumeBindingMode", "<unset>"),
            "AllowVolumeExpansion": lambda obj: str(bool(obj.get("allowVolumeExpansion"))).lower(),
        }
    ),
    status=False,
    namespaced=False,
    written_by="there is one class, whose volumes are folders on this machine",
)
READ_ONLY: tuple[Kind, ...] = (
    _kind("v1 Endpoints endpoints ep", "V1Endpoints", table({"Endpoints": lambda _obj: "<none>"}), status=False),
    _kind("v1 LimitRange limitranges limits", "V1LimitRange", status=False),
    _kind("v1 PodTemplate podtemplates", "V1PodTemplate", status=False),
    _kind(
        "v1 ReplicationController replicationcontrollers rc",
        "V1ReplicationController",
        table(REPLICAS, CONTAINERS),
        in_all=True,
    ),
    _kind("v1 ResourceQuota resourcequotas quota", "V1ResourceQuota"),
    _kind("apps/v1 ControllerRevision controllerrevisions", "V1ControllerRevision", status=False),
    _kind(
        "apps/v1 DaemonSet daemonsets ds",
        "V1DaemonSet",
        table({"Desired": number("status.desiredNumberScheduled"), "Ready": number("status.numberReady")}, CONTAINERS),
        in_all=True,
    ),
    _kind(
        "apps/v1 StatefulSet statefulsets sts",
        "V1StatefulSet",
        table({"Ready": lambda _obj: "0/0"}, CONTAINERS),
        in_all=True,
    ),
    _kind(
        "autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa", "V2HorizontalPodAutoscaler", in_all=True
    ),
    _kind(
        "batch/v1 CronJob cronjobs cj",
        "V1CronJob",
        table({"Schedule": at("spec.schedule"), "Timezone": at("spec.timeZone", "<none>")}),
        in_all=True,
    ),
    _kind("batch/v1 Job jobs", "V1Job", table({"Status": lambda _obj: "Running"}, CONTAINERS), in_all=True),
    _kind("coordination.k8s.io/v1 Lease leases", "V1Lease", table({"Holder": at("spec.holderIdentity")}), status=False),
    _kind("discovery.k8s.io/v1 EndpointSlice endpointslices", "V1EndpointSlice", status=False),
    _kind(
        "networking.k8s.io/v1 Ingress ingresses ing",
        "V1Ingress",
        table({"Class": at("spec.ingressClassName", "<none>"), "Hosts": every("spec.rules[*].host", "*")}),
    ),
    _kind(
        "networking.k8s.io/v1 IngressClass ingressclasses",
        "V1IngressClass",
        table({"Controller": at("spec.controller")}),
        status=False,
        namespaced=False,
    ),
    _kind("networking.k8s.io/v1 NetworkPolicy networkpolicies netpol", "V1NetworkPolicy", status=False),
    _kind("policy/v1 PodDisruptionBudget poddisruptionbudgets pdb", "V1PodDisruptionBudget"),
    _kind(
        "scheduling.k8s.io/v1 PriorityClass priorityclasses pc",
        "V1PriorityClass",
        table({"Value": number("value")}),
        status=False,
        namespaced=False,
    ),
    STORAGE_CLASSES,
)
