"""Kinds of what runs and where: nodes, pods and what makes them, volumes."""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import (
    AGE,
    NAME,
    Column,
    at,
    desired,
    join,
    path_values,
    pod_state,
    ready_containers,
)
from pdk_stack.kubernetes.store.kind import Kind

NODES = Kind(
    "",
    "v1",
    "nodes",
    "Node",
    False,
    ("no",),
    columns=(
        NAME,
        Column("Status", lambda _obj: "Ready"),
        Column("Roles", lambda _obj: "<none>"),
        AGE,
        Column("Version", at("status.nodeInfo.kubeletVersion")),
        Column("Internal-IP", at("status.addresses[0].address", "<none>"), priority=1),
        Column("OS-Image", at("status.nodeInfo.osImage", "<unknown>"), priority=1),
        Column("Container-Runtime", at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), priority=1),
    ),
)
# Who writes the workloads, for those who try to.
CONTROLLER = "the embedded cluster runs no containers; the controller of InferenceServices writes these"
PODS = Kind(
    "",
    "v1",
    "pods",
    "Pod",
    short=("po",),
    categories=("all",),
    columns=(
        NAME,
        Column("Ready", ready_containers),
        Column("Status", pod_state),
        Column("Restarts", lambda obj: str(sum(path_values("status.containerStatuses[*].restartCount", obj)))),
        AGE,
        Column("IP", at("status.podIP", "<none>"), priority=1),
        Column("Node", at("spec.nodeName", "<none>"), priority=1),
    ),
    written_by=CONTROLLER,
)
TEMPLATE = "spec.template.spec.containers[*]."
WIDE = (
    Column("Containers", lambda obj: join(path_values(f"{TEMPLATE}name", obj)), priority=1),
    Column("Images", lambda obj: join(path_values(f"{TEMPLATE}image", obj)), priority=1),
)
DEPLOYMENTS = Kind(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    short=("deploy",),
    categories=("all",),
    columns=(
        NAME,
        Column("Ready", desired),
        Column("Up-to-date", at("status.updatedReplicas", "0")),
        Column("Available", at("status.availableReplicas", "0")),
        AGE,
        *WIDE,
    ),
    written_by=CONTROLLER,
)
REPLICA_SETS = Kind(
    "apps",
    "v1",
    "replicasets",
    "ReplicaSet",
    short=("rs",),
    categories=("all",),
    columns=(
        NAME,
        Column("Desired", at("spec.replicas", "0")),
        Column("Current", at("status.replicas", "0")),
        Column("Ready", at("status.readyReplicas", "0")),
        AGE,
        *WIDE,
    ),
    written_by=CONTROLLER,
)
PERSISTENT_VOLUMES = Kind(
    "",
    "v1",
    "persistentvolumes",
    "PersistentVolume",
    False,
    ("pv",),
    columns=(
        NAME,
        Column("Capacity", at("spec.capacity.storage")),
        Column("Access Modes", lambda obj: join(path_values("spec.accessModes[*]", obj), "")),
        Column("Reclaim Policy", at("spec.persistentVolumeReclaimPolicy", "Retain")),
        Column("Status", at("status.phase", "Available")),
        Column("Claim", lambda obj: join(path_values("spec.claimRef.name", obj), "")),
        Column("StorageClass", at("spec.storageClassName")),
        AGE,
    ),
)
PERSISTENT_VOLUME_CLAIMS = Kind(
    "",
    "v1",
    "persistentvolumeclaims",
    "PersistentVolumeClaim",
    short=("pvc",),
    columns=(
        NAME,
        Column("Status", at("status.phase", "Pending")),
        Column("Volume", at("spec.volumeName")),
        Column("Capacity", at("status.capacity.storage")),
        Column("Access Modes", lambda obj: join(path_values("status.accessModes[*]", obj), "")),
        Column("StorageClass", at("spec.storageClassName", "embedded")),
        AGE,
    ),
)
