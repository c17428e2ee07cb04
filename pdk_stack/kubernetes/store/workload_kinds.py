"""Workload kinds: nodes, pods and their controllers, volumes."""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import (
    Object,
    at,
    columns,
    desired,
    every,
    number,
    path_values,
    pod_state,
    ready_containers,
    selector,
    table,
)
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.schemas import built_in

# The writer of workloads, for the refusal when users try to.
CONTROLLER = "the embedded cluster runs no containers; the controller of InferenceServices writes these"
CONTAINERS = {
    "Containers": every("spec.template.spec.containers[*].name"),
    "Images": every("spec.template.spec.containers[*].image"),
    "Selector": selector("spec.selector.matchLabels"),
}


def _node_state(node: Object) -> str:
    ready = path_values("status.conditions[?(@.type=='Ready')].status", node)
    state = "Unknown" if not ready else "Ready" if ready[0] == "True" else "NotReady"
    return state + (",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "")


def _node_roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(each.removeprefix(prefix) for each in labels if each.startswith(prefix))) or "<none>"


NODES = Kind.named(
    "v1 Node nodes no",
    (
        *table({"Status": _node_state, "Roles": _node_roles}),
        *columns({"Version": at("status.nodeInfo.kubeletVersion")}),
        *columns(
            {
                "Internal-IP": at("status.addresses[?(@.type=='InternalIP')].address", "<none>"),
                "External-IP": at("status.addresses[?(@.type=='ExternalIP')].address", "<none>"),
                "OS-Image": at("status.nodeInfo.osImage", "<unknown>"),
                "Kernel-Version": at("status.nodeInfo.kernelVersion", "<unknown>"),
                "Container-Runtime": at("status.nodeInfo.containerRuntimeVersion", "<unknown>"),
            },
            priority=1,
        ),
    ),
    namespaced=False,
    source=lambda: built_in("V1Node"),
    field_labels=("spec.unschedulable",),
)
PODS = Kind.named(
    "v1 Pod pods po",
    table(
        {
            "Ready": ready_containers,
            "Status": pod_state,
            "Restarts": lambda obj: str(sum(path_values("status.containerStatuses[*].restartCount", obj))),
        },
        {
            "IP": at("status.podIP", "<none>"),
            "Node": at("spec.nodeName", "<none>"),
            "Nominated Node": at("status.nominatedNodeName", "<none>"),
            "Readiness Gates": lambda _pod: "<none>",
        },
    ),
    written_by=CONTROLLER,
    categories=("all",),
    source=lambda: built_in("V1Pod"),
    field_labels=(
        *(
            f"spec.{name}"
            for name in ["nodeName", "restartPolicy", "schedulerName", "serviceAccountName", "hostNetwork"]
        ),
        *(f"status.{name}" for name in ["phase", "podIP", "podIPs", "nominatedNodeName"]),
    ),
    returned_when_deleted=True,
)
DEPLOYMENTS = Kind.named(
    "apps/v1 Deployment deployments deploy",
    table(
        {
            "Ready": desired,
            "Up-to-date": number("status.updatedReplicas"),
            "Available": number("status.availableReplicas"),
        },
        CONTAINERS,
    ),
    written_by=CONTROLLER,
    categories=("all",),
    source=lambda: built_in("V1Deployment"),
)
REPLICA_SETS = Kind.named(
    "apps/v1 ReplicaSet replicasets rs",
    table(
        {
            "Desired": number("spec.replicas"),
            "Current": number("status.replicas"),
            "Ready": number("status.readyReplicas"),
        },
        CONTAINERS,
    ),
    written_by=CONTROLLER,
    categories=("all",),
    source=lambda: built_in("V1ReplicaSet"),
    field_labels=("status.replicas",),
)
PERSISTENT_VOLUMES = Kind.named(
    "v1 PersistentVolume persistentvolumes pv",
    table(
        {
            "Capacity": at("spec.capacity.storage"),
            "Access Modes": every("spec.accessModes[*]", ""),
            "Reclaim Policy": at("spec.persistentVolumeReclaimPolicy", "Retain"),
            "Status": at("status.phase", "Available"),
            "Claim": every("spec.claimRef.name", ""),
            "StorageClass": at("spec.storageClassName"),
            "VolumeAttributesClass": at("spec.volumeAttributesClassName", "<unset>"),
            "Reason": at("status.reason"),
        },
        {"VolumeMode": at("spec.volumeMode", "<unset>")},
    ),
    namespaced=False,
    source=lambda: built_in("V1PersistentVolume"),
    returned_when_deleted=True,
)
PERSISTENT_VOLUME_CLAIMS = Kind.named(
    "v1 PersistentVolumeClaim persistentvolumeclaims pvc",
    table(
        {
            "Status": at("status.phase", "Pending"),
            "Volume": at("spec.volumeName"),
            "Capacity": at("status.capacity.storage"),
            "Access Modes": every("status.accessModes[*]", ""),
            "StorageClass": at("spec.storageClassName", "embedded"),
            "VolumeAttributesClass": at("spec.volumeAttributesClassName", "<unset>"),
        },
        {"VolumeMode": at("spec.volumeMode", "<unset>")},
    ),
    source=lambda: built_in("V1PersistentVolumeClaim"),
    returned_when_deleted=True,
)
