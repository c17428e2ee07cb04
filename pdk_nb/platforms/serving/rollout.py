"""Who gets the traffic of a service: canaries, promotion, going back to any earlier version.

KServe's own means are used (``canaryTrafficPercent``, the tag ``prev``), so that ``kubectl`` shows the same. In raw
mode, KServe ignores them: it replaces pods. A canary is refused there before anything is changed; going back works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pdk_nb.platforms.cluster import Cluster, Object, Where, resolve
from pdk_nb.platforms.serving.installation import mode_of
from pdk_nb.platforms.serving.objects import Applied, Patch, change, need, where_text
from pdk_nb.platforms.serving.pods import pods_of
from pdk_nb.platforms.serving.readiness import observe
from pdk_nb.platforms.serving.spec import (
    CANARY_NAME_LIMIT,
    ServedVersion,
    deployment_of,
    history,
    lineage_notes,
    recorded_version,
)
from pdk_nb.platforms.serving.status import ServiceStatus, read_status
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import DeploymentError, PdkError, UsageError

__all__ = [
    "NoCanary",
    "Revision",
    "Share",
    "canary",
    "promote",
    "revisions",
    "rollback",
    "set_canary",
    "traffic",
    "wait_share",
]


class NoCanary(DeploymentError):
    """The service can't share its traffic between two versions."""


class Revision(ServedVersion):
    """A version of a service's history, and whether it is the one that the service was given last."""

    current: bool


@dataclass(frozen=True)
class Share:
    """One revision's part of a service's traffic.

    Attributes:
        revision: The revision; empty in raw mode, which has none.
        percent: Its part, 0 to 100.
        version: Model version that it serves; empty when unknown (a revision without pods, scaled to zero).
        latest: Whether it is the latest ready revision.
        tag: ``prev`` for the one before a canary; it can be asked by itself at ``prev-<service>-predictor...``.
    """

    revision: str
    percent: int
    version: str
    latest: bool
    tag: str = ""


def revisions(where: Where, name: str) -> list[Revision]:
    """Model versions that the service has served, oldest first, each with ``current``.

    Raises:
        DeploymentError: There is no such service.
    """
    service = need(resolve(where), name)
    now = read_status(service).version
    return [{**each, "current": each["version"] == now} for each in history(service)]


def traffic(where: Where, name: str) -> list[Share]:
    """How the traffic is shared out now, the latest revision first.

    Raises:
        DeploymentError: There is no such service.
    """
    cluster = resolve(where)
    service = need(cluster, name)
    status = observe(cluster, service)
    if status.mode == "raw":
        return [Share("", 100, status.version, latest=True)] if status.ready else []
    versions = _versions(cluster, name)
    if status.ready:
        versions.setdefault(status.latest_ready, status.version)
    predictor = ((service.get("status") or {}).get("components") or {}).get("predictor") or {}
    return [
        Share(
            revision=str(each.get("revisionName", "")),
            percent=int(each.get("percent") or 0),
            version=versions.get(each.get("revisionName", ""), ""),
            latest=bool(each.get("latestRevision")),
            tag=str(each.get("tag") or ""),
        )
        for each in predictor.get("traffic") or []
    ]


def _versions(cluster: Cluster, name: str) -> dict[str, str]:
    """Model version by revision: Knative copies a service's annotations to its pods."""
    try:
        return {pod.revision: pod.version for pod in pods_of(cluster, name) if pod.revision and pod.version}
    except PdkError:
        # Reading pods is often not allowed.
        return {}


def _can_split(service: Object) -> None:
    """Check that KServe can split the service's traffic.

    Raises:
        NoCanary: It can't.
    """
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    if mode_of(service) == "raw":
        raise NoCanary(
            "KServe runs this service as a plain Deployment (RawDeployment), which replaces its pods and can't split "
            "traffic, so there is no canary.",
            where=f"{namespace}/{name}",
            fix="Roll forward or back with lab.serve_version(commit): the old version answers until it is ready.",
        )
    if len(name) > CANARY_NAME_LIMIT:
        raise NoCanary(
            f"The name of this service has {len(name)} letters; for a canary, Knative allows {CANARY_NAME_LIMIT}.",
            where=f"{namespace}/{name}",
            fix="Deploy it again under a shorter name (--deployment-name).",
        )


def rollback(where: Where, name: str, to: str | int | None = None) -> Applied:
    """Serve an earlier model version again: its files are still there, so only the address changes.

    A canary loses its share at once, and the revision before it keeps all of the traffic until :func:`promote`.

    Args:
        where: Settings or connection.
        name: The service.
        to: Version name, or its number in the registry; None for the version before the current one.

    Raises:
        DeploymentError: There is no such service, or no such version in its history.
    """

    def make(service: Object) -> Patch:
        metadata, spec = _serving_again(service, recorded_version(service, to))
        if mode_of(service) != "raw" and service["spec"]["predictor"].get("canaryTrafficPercent") is not None:
            # Taking the share away would give the canary everything while the earlier version loads.
            spec["predictor"]["canaryTrafficPercent"] = 0
        return metadata, spec

    return change(where, name, make)


def canary(where: Where, name: str, to: str | int, percent: int) -> Applied:
    """Give a model version a share of the traffic; the rest stays with the version that has it now.

    The version becomes the service's latest revision. Naming the latest version again only changes its share.

    Args:
        where: Settings or connection.
        name: The service.
        to: Version name, or its number in the registry: one of :func:`revisions`.
        percent: 0 to 100.

    Raises:
        UsageError: The share is no percentage.
        NoCanary: The service can't split its traffic: nothing was changed.
        DeploymentError: There is no such service, no such version, or no other revision to share with.
    """

    def make(service: Object) -> Patch:
        _can_split(service)
        record, status = recorded_version(service, to), read_status(service)
        share = {"canaryTrafficPercent": _percentage(percent)}
        if record["version"] != status.version:
            metadata, spec = _serving_again(service, record)
            return metadata, {"predictor": {**spec["predictor"], **share}}
        if status.previous_percent is None and not status.previous_rolled_out:
            raise DeploymentError(
                "There is no other revision that could have the rest of the traffic.",
                where=f"{service['metadata']['namespace']}/{name}",
                fix="Deploy a second version first.",
            )
        return {}, {"predictor": share}

    return change(where, name, make)


def _serving_again(service: Object, record: ServedVersion) -> Patch:
    """Metadata and spec that make a service serve a version of its history."""
    name, predictor = service["metadata"]["name"], service["spec"]["predictor"]
    kind = "model" if "model" in predictor else "pytorch"
    if not predictor.get(kind):
        raise DeploymentError("The service has no PyTorch predictor.", where=name)
    notes: dict[str, Any] = lineage_notes(deployment_of(record, name))
    for note in ("pdk-lab/model-version-number", "pdk-lab/experiment", "pdk-lab/checkpoint"):
        # What the old version has no value for must not stay behind from the new one.
        notes.setdefault(note, None)
    return {"annotations": notes}, {"predictor": {kind: {"storageUri": record["uri"]}}}


def _percentage(percent: int) -> int:
    if not 0 <= percent <= 100:
        raise UsageError(f"{percent} isn't a percentage.", fix="Give 0 to 100, or None to end the split.")
    return percent


def set_canary(where: Where, name: str, percent: int | None) -> Applied:
    """Give the latest revision, and those that are deployed from now on, a share of the traffic.

    Args:
        where: Settings or connection.
        name: The service.
        percent: 0 to 100, the rest stays with the revision before; None ends the split, and the latest gets all.

    Raises:
        UsageError: The share is no percentage.
        NoCanary: The service can't split its traffic: nothing was changed.
        DeploymentError: There is no such service.
    """
    share = None if percent is None else _percentage(percent)

    def make(service: Object) -> Patch:
        if share is not None:
            _can_split(service)
        return {}, {"predictor": {"canaryTrafficPercent": share}}

    return change(where, name, make)


def promote(where: Where, name: str) -> Applied:
    """Give the latest revision all of the traffic.

    Raises:
        DeploymentError: There is no such service, or its latest revision is not ready: nothing was changed.
    """
    cluster = resolve(where)

    def make(service: Object) -> Patch:
        status = observe(cluster, service)
        if not status.ready:
            raise DeploymentError(
                f"The latest revision can't be promoted: {status.summary()}.",
                where=f"{status.namespace}/{name}",
                fix="Wait until it is READY, or roll back.",
            )
        return {}, {"predictor": {"canaryTrafficPercent": None}}

    return change(cluster, name, make)


def wait_share(
    where: Where, name: str, percent: int = 100, timeout: float = 60.0, *, interval: float = 0.25
) -> ServiceStatus:
    """Wait until the latest revision is ready and has its share of the traffic; in raw mode, until it alone answers.

    Args:
        where: Settings or connection.
        name: The service.
        percent: The share.
        timeout: Seconds.
        interval: Seconds between two looks.

    Raises:
        DeploymentError: There is no such service, or time ran out.
    """
    cluster = resolve(where)
    return wait(
        lambda: observe(cluster, need(cluster, name)),
        lambda status: status.ready and (status.mode == "raw" or status.latest_percent == percent),
        timeout=timeout,
        interval=interval,
        reason=lambda status: DeploymentError(
            f"The latest revision doesn't have {percent}% of the traffic after {timeout:.0f} s: {status.summary()}.",
            where=where_text(cluster, name),
            fix=f"kubectl -n {cluster.namespace} describe inferenceservice {name}",
        ),
    )
