"""Remove from a cluster what the installer made, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdk_nb.cluster_install import record as records
from pdk_nb.cluster_install.helm import Helm
from pdk_nb.cluster_install.objects import Api, Refused
from pdk_nb.cluster_install.platforms import TITLES
from pdk_nb.cluster_install.record import Record
from pdk_nb.cluster_install.tools import InstallError
from pdk_nb.counting import counted
from pdk_nb.platforms.waiting import wait

__all__ = ["Removal", "plan", "remove"]

GONE_S = 300.0


@dataclass
class Removal:
    """What ``cluster down`` would remove, in this order.

    Attributes:
        releases: Helm releases with their platform.
        objects: Objects beside the releases.
        data: Volume claims and the passwords that belong to them.
        stays: What stays, and why.
    """

    releases: list[tuple[str, str]] = field(default_factory=list)
    objects: list[dict[str, str]] = field(default_factory=list)
    data: list[dict[str, str]] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            # The chart claims the volume itself, so it goes with the release.
            f"Helm release {key} ({TITLES.get(platform, platform)}{' with its database' * (platform == 'determined')})"
            for platform, key in self.releases
        ]
        lines += [_shown(each) for each in (*self.objects, *self.data)]
        return "\n".join([*(f"remove  {line}" for line in lines), *(f"stays   {line}" for line in self.stays)])


def _shown(named: dict[str, str]) -> str:
    place = f"{named['namespace']}/" if named["namespace"] else ""
    return f"{named['kind']} {place}{named['name']}"


def plan(api: Api, record: Record, *, data: bool) -> Removal:
    """What would be removed.

    Args:
        api: The cluster.
        record: What was installed.
        data: Whether volume claims go, too.

    Raises:
        InstallError: Somebody's services or pipelines still need what would be removed.
    """
    _refuse_work(api, record)
    found = Removal()
    namespaces: list[dict[str, str]] = []
    for platform, entry in reversed(list(record.platforms.items())):
        if entry.state != "installed":
            found.stays.append(f"{TITLES.get(platform, platform)}: it was there before ({entry.note})")
            continue
        found.releases += [(platform, key) for key in reversed(entry.releases)]
        for each in reversed(entry.objects):
            (namespaces if each["kind"] == "Namespace" else found.objects).append(each)
    for each in reversed(record.lab):
        (namespaces if each["kind"] == "Namespace" else found.objects).append(each)
    found.objects += namespaces
    claims = [
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default", "name": each["metadata"]["name"]}
        for each in api.list("v1", "PersistentVolumeClaim", "default")
        if record.ours("pachyderm") and _is_pachyderms(each["metadata"])
    ]
    secret = {"apiVersion": "v1", "kind": "Secret", "namespace": records.NAMESPACE, "name": records.NAME}
    if data:
        found.data = [*claims, secret]
    elif claims:
        # A database keeps the password that its volume was made with.
        found.stays += [f"{_shown(each)}: data; --data removes it" for each in claims]
        found.stays.append(f"{_shown(secret)}: passwords of that data")
    else:
        found.data = [secret]
    return found


def _is_pachyderms(meta: dict[str, object]) -> bool:
    labels = meta.get("labels")
    suite = labels.get("suite") if isinstance(labels, dict) else ""
    return suite == "pachyderm" or meta["name"] in ("etcd-storage-etcd-0", "data-postgres-0")


def _refuse_work(api: Api, record: Record) -> None:
    """Refuse to pull a platform away from under what runs on it: its controller has to delete that first."""
    if record.ours("kserve"):
        services = api.list("serving.kserve.io/v1beta1", "InferenceService")
        _refuse_users(
            "InferenceService",
            services,
            f"{counted(len(services), 'InferenceService')}. Without KServe, nothing deletes them.",
            "kubectl delete inferenceservices --all --all-namespaces",
        )
    if record.ours("pachyderm"):
        workers = api.list("v1", "ReplicationController", labelSelector="suite=pachyderm,component=worker")
        _refuse_users(
            "ReplicationController",
            workers,
            f"{counted(len(workers), 'pipeline')}. Without pachd, nothing deletes the workers.",
            "pachctl delete pipeline --all",
        )


def _refuse_users(kind: str, users: Sequence[dict[str, Any]], what: str, command: str) -> None:
    if users:
        first = users[0]["metadata"]
        raise InstallError(
            f"Still in use: {what}",
            where=f"{kind} {first['namespace']}/{first['name']}",
            fix=f"pdk-nb reset --yes, or {command}",
        )


def remove(api: Api, helm: Helm, removal: Removal, *, log: Path, say: Callable[[str], None]) -> None:
    """Remove it.

    Args:
        api: The cluster.
        helm: Helm on it.
        removal: What to remove.
        log: File for Helm's output.
        say: Called with each thing that was removed.

    Raises:
        InstallError: Helm fails, or the cluster refuses; what is left can be removed by another call.
    """
    for _, key in removal.releases:
        namespace, _, name = key.partition("/")
        if helm.uninstall(name, namespace, log=log):
            say(f"removed Helm release {key}")
    for named in (*removal.objects, *removal.data):
        try:
            if api.delete(named):
                say(f"removed {_shown(named)}")
        except Refused as error:
            if error.status != 409:
                raise
    gone = [each for each in removal.objects if each["kind"] == "Namespace"]

    def left() -> list[dict[str, str]]:
        return [each for each in gone if api.get("v1", "Namespace", "", each["name"]) is not None]

    # A second installation would fail in a namespace that is just ending.
    wait(
        left,
        lambda found: not found,
        timeout=GONE_S,
        interval=1.0,
        reason=lambda found: InstallError(
            f"The namespace {found[0]['name']} doesn't end.",
            where=f"Namespace {found[0]['name']}",
            fix=f"kubectl get namespace {found[0]['name']} -o yaml  names what it waits for.",
        ),
    )
    api.delete({"apiVersion": "v1", "kind": "ConfigMap", "namespace": records.NAMESPACE, "name": records.NAME})
