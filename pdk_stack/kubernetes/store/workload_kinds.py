"""Workload kinds: nodes, pods and their controllers, volumes."""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import (
    at,
    columns,
    desired,
    every,
    path_values,
    pod_state,
    ready_containers,
    table,
)
from pdk_stack.kubernetes.store.kind import Kind

# The writer of workloads, for the refusal when users try to.
CONTROLLER = "the embedded cluster runs no containers; the controller of InferenceServices writes these"
CONTAINERS = {
    "Containers": every("spec.template.spec.containers[*].name"),
    "Images": every("spec.template.spec.containers[*].image"),
}

NODES = Kind.named(
    "v1 Node nodes no",
    (
        *table({"Status": lambda _obj: "Ready", "Roles": lambda _obj: "<none>"}),
        *columns({"Version": at("status.nodeInfo.kubeletVersion")}),
        *columns(
            {
                "Internal-IP": at("status.addresses[0].address", "<none>"),
                "OS-Image": at("status.nodeInfo.osImage", "<unknown>"),
                "Container-Runtime": at("status.nodeInfo.containerRuntimeVersion", "<unknown>"),
            },
            priority=1,
        ),
    ),
    namespaced=False,
)
PODS = Kind.named(
    "v1 Pod pods po",
    table(
        {
            "Ready": ready_containers,
            "Status": pod_state,
            "Restarts": lambda obj: str(sum(path_values("status.containerStatuses[*].restartCount", obj))),
        },
        {"IP": at("status.podIP", "<none>"), "Node": at("spec.nodeName", "<none>")},
    ),
    written_by=CONTROLLER,
    categories=("all",),
)
DEPLOYMENTS = Kind.named(
    "apps/v1 Deployment deployments deploy",
    table(
        {
            "Ready": desired,
            "Up-to-date": at("status.updatedReplicas", "0"),
            "Available": at("status.availableReplicas", "0"),
        },
        CONTAINERS,
    ),
    written_by=CONTROLLER,
    categories=("all",),
)
REPLICA_SETS = Kind.named(
    "apps/v1 ReplicaSet replicasets rs",
    table(
        {
            "Desired": at("spec.replicas", "0"),
            "Current": at("status.replicas", "0"),
            "Ready": at("status.readyReplicas", "0"),
        },
        CONTAINERS,
    ),
    written_by=CONTROLLER,
    categories=("all",),
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
        }
    ),
    namespaced=False,
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
        }
    ),
)
