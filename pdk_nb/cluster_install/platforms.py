"""What each platform consists of, how to see that a cluster has it already, and the values that are computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from pdk_nb.cluster_install.helm import Release
from pdk_nb.cluster_install.objects import Api
from pdk_shared.errors import UsageError

__all__ = [
    "MODES",
    "ORDER",
    "PASSWORDS",
    "TITLES",
    "VALUES_FOR",
    "find",
    "inside_addresses",
    "merged",
    "releases",
    "uses_node_storage",
]

MODES = ("raw", "serverless")
# KServe needs a certificate and the ingress; the other two stand alone.
ORDER = ("cert-manager", "ingress", "kserve", "pachyderm", "determined")
TITLES = {
    "cert-manager": "cert-manager",
    "ingress": "ingress",
    "kserve": "KServe",
    "pachyderm": "Pachyderm",
    "determined": "Determined",
}
# Names that --values takes: the charts', of which one platform may have several.
VALUES_FOR = ("cert-manager", "traefik", "kserve-crd", "kserve", "pachyderm", "determined")
PASSWORDS = ("determined", "determined-db", "pachyderm-db", "pachyderm-db-root")

_RELEASES = {
    "cert-manager": (Release("cert-manager", "cert-manager", "cert-manager", ("cert-manager",)),),
    "ingress": (Release("traefik", "traefik", "traefik", ("traefik",), skip_crds=True),),
    # The names and namespaces of the projects' own guides; Pachyderm and Determined are in `default`, where the lab
    # and its guides look for them.
    "pachyderm": (Release("pachyderm", "pachyderm", "default", ("pachyderm",)),),
    "determined": (Release("determined", "determined", "default", ("determined",)),),
}


def releases(platform: str, serving: str) -> tuple[Release, ...]:
    """The Helm releases of a platform; none for Knative, which publishes manifests.

    Args:
        platform: One of :data:`ORDER`.
        serving: KServe's mode, one of :data:`MODES`.
    """
    if platform == "kserve":
        return (
            Release("kserve-crd", "kserve-crd", "kserve"),
            Release("kserve", "kserve", "kserve", ("kserve", f"kserve-{serving}")),
        )
    if platform == "ingress" and serving == "serverless":
        return ()
    return _RELEASES[platform]


def find(api: Api, platform: str, serving: str) -> str:
    """Where a cluster has a platform already, for people; empty when it doesn't.

    Args:
        api: The cluster.
        platform: One of :data:`ORDER`.
        serving: KServe's mode, one of :data:`MODES`.
    """
    if platform == "pachyderm":
        return _first(api.list("v1", "Service", fieldSelector="metadata.name=pachd"), "Service")
    if platform == "determined":
        return _first(api.list("v1", "Service", labelSelector="determined.ai/master-service=true"), "Service")
    if platform == "kserve":
        named = "metadata.name=kserve-controller-manager"
        return _first(api.list("apps/v1", "Deployment", fieldSelector=named), "Deployment")
    if platform == "cert-manager":
        labels = "app.kubernetes.io/name=cert-manager"
        return _first(api.list("apps/v1", "Deployment", labelSelector=labels), "Deployment")
    if serving == "serverless":
        named = "metadata.name=activator"
        return _first(api.list("apps/v1", "Deployment", "knative-serving", fieldSelector=named), "Deployment")
    classes = [each["metadata"]["name"] for each in api.list("networking.k8s.io/v1", "IngressClass")]
    preferred = "traefik" if "traefik" in classes else next(iter(classes), "")
    return f"IngressClass {preferred}" if preferred else ""


def _first(found: list[dict[str, Any]], kind: str) -> str:
    for each in found:
        return f"{kind} {each['metadata']['namespace']}/{each['metadata']['name']}"
    return ""


def computed(release: Release, passwords: Mapping[str, str], trial_image: str, ingress_class: str) -> dict[str, Any]:
    """Values of a release that no file has: passwords, and what depends on the cluster.

    Args:
        release: The release.
        passwords: As :data:`PASSWORDS` names them.
        trial_image: Image of Determined's tasks; the chart's when empty.
        ingress_class: IngressClass that was found; that of our own ingress when empty.
    """
    if release.chart == "pachyderm":
        login = {
            "postgresqlPassword": passwords["pachyderm-db"],
            "postgresqlPostgresPassword": passwords["pachyderm-db-root"],
        }
        return {"global": {"postgresql": login}}
    if release.chart == "determined":
        values: dict[str, Any] = {
            "initialUserPassword": passwords["determined"],
            "db": {"password": passwords["determined-db"]},
        }
        if trial_image:
            # The chart refuses one without the other.
            values["taskContainerDefaults"] = {"cpuImage": trial_image, "gpuImage": trial_image}
        return values
    if release.chart == "kserve" and ingress_class:
        return {"kserve": {"controller": {"gateway": {"ingressGateway": {"className": ingress_class}}}}}
    return {}


def inside_addresses(pachyderm: bool, determined: bool) -> dict[str, str]:
    """Values of the pipelines' secret: where pods reach the platforms that this installer made.

    From a pod, localhost is the pod, and a load balancer's address may be none.
    """
    found = {}
    if determined:
        found["det_master"] = "determined-master-service-determined.default:8080"
    if pachyderm:
        found |= {"pachd_lb_service_host": "pachyderm-proxy.default", "pachd_lb_service_port": "80"}
    return found


def merged(files: Iterable[Path]) -> dict[str, Any]:
    """The values of several files, merged as Helm does: later ones take precedence, key by key.

    Raises:
        UsageError: A file can't be read, or isn't a mapping.
    """
    result: dict[str, Any] = {}
    for path in files:
        try:
            content = yaml.safe_load(path.read_text())
        except OSError as error:
            raise UsageError(f"Can't read the file with values: {error.strerror}.", where=str(path)) from error
        except yaml.YAMLError as error:
            raise UsageError(f"The file with values isn't YAML: {error}", where=str(path)) from error
        if not isinstance(content or {}, dict):
            raise UsageError("The file with values isn't a mapping.", where=str(path))
        result = _merge(result, content or {})
    return result


def _merge(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merge(result[key], value) if both else value
    return result


def uses_node_storage(platform: str, values: Mapping[str, Any]) -> bool:
    """Whether a platform keeps its data in a folder of one node, so that it works on a single node only."""
    if platform == "pachyderm":
        return values.get("deployTarget") == "LOCAL"
    return platform == "determined" and (values.get("checkpointStorage") or {}).get("type") == "shared_fs"
