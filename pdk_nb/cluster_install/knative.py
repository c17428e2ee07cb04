"""Knative's manifests: fetched, with our requests and settings, in the order in which they can be applied."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from pdk_nb.cluster_install.helm import WEBHOOK_IS_STARTING, Charts
from pdk_nb.cluster_install.objects import Api, Refused, read_documents, reference
from pdk_nb.cluster_install.readiness import Workload
from pdk_nb.cluster_install.tools import InstallError
from pdk_nb.cluster_install.versions import Versions
from pdk_nb.platforms.cluster import Object
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import PdkError

__all__ = ["apply_all", "digest", "manifests", "objects", "workloads"]

FIRST = ("Namespace", "CustomResourceDefinition")
DOWNLOAD_TIMEOUT_S = 60.0
# A webhook or a new kind takes this long to answer on a busy node.
SETTLE_S = 180.0


def manifests(versions: Versions, charts: Charts, cache: Path) -> list[Path]:
    """The files of the manifests, from the folder with charts or downloaded once.

    Raises:
        UsageError: The folder doesn't have one of them.
        InstallError: One can't be downloaded.
    """
    return [charts.file(each) or _download(each, cache) for each in versions.manifests["knative"][1]]


def _download(address: str, cache: Path) -> Path:
    import requests

    # The version is in the address, not in the file's name.
    target = cache / f"{hashlib.sha256(address.encode()).hexdigest()[:8]}-{address.rpartition('/')[2]}"
    if target.is_file():
        return target
    try:
        answer = requests.get(address, timeout=DOWNLOAD_TIMEOUT_S)
        answer.raise_for_status()
    except requests.RequestException as error:
        raise InstallError(
            f"Can't download a manifest: {error}", where=address, fix="Download it, and name its folder: --charts DIR"
        ) from error
    cache.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(answer.content)
    part.replace(target)
    return target


def objects(files: list[Path], settings: Path) -> list[Object]:
    """The objects to apply: namespaces and CRDs first, lowered requests, and our settings.

    Args:
        files: The manifests.
        settings: Our file ``values/knative.yaml``.
    """
    ours = yaml.safe_load(settings.read_text())
    found: list[Object] = [each for path in files for each in read_documents(path)]
    for each in found:
        if each["kind"] == "Deployment":
            for container in each["spec"]["template"]["spec"]["containers"]:
                container.setdefault("resources", {})["requests"] = dict(ours["requests"])
        if each["kind"] == "ConfigMap" and each["metadata"]["name"] in ours["config"]:
            each["data"] = {**(each.get("data") or {}), **ours["config"][each["metadata"]["name"]]}
    # Stable: within both groups, the project's own order.
    return sorted(found, key=lambda each: each["kind"] not in FIRST)


def digest(things: list[Object]) -> str:
    """What the record says of the manifests."""
    return hashlib.sha256(yaml.safe_dump(things).encode()).hexdigest()


def apply_all(
    api: Api,
    things: list[Object],
    timeout: float = SETTLE_S,
    made: Callable[[dict[str, str]], None] = lambda named: None,
) -> None:
    """Apply all objects, and wait for kinds and webhooks that are only just starting.

    Args:
        api: The cluster.
        things: The objects.
        timeout: Seconds that one object may be refused for these reasons.
        made: Called with the reference of each object that wasn't there before.

    Raises:
        InstallError: The cluster refuses an object.
    """
    for each in things:
        named = reference(each)
        last: list[Refused] = []

        def attempt(thing: Object = each, named: dict[str, str] = named, last: list[Refused] = last) -> bool:
            try:
                new = api.get(named["apiVersion"], named["kind"], named["namespace"], named["name"]) is None
                api.apply(thing)
            except Refused as error:
                if error.status != 404 and not any(word in error.what for word in WEBHOOK_IS_STARTING):
                    raise
                last[:] = [error]
                return False
            if new:
                made(named)
            return True

        def why(_: Any, named: dict[str, str] = named, last: list[Refused] = last) -> PdkError:
            return InstallError(f"{last[0].what}", where=f"{named['kind']} {named['name']}", fix=last[0].fix)

        wait(attempt, bool, timeout=timeout, interval=2.0, reason=why)


def workloads(things: list[Object]) -> list[Workload]:
    """The Deployments among the objects."""
    return [Workload.of(each) for each in things if each["kind"] == "Deployment"]
