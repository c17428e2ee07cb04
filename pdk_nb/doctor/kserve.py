"""KServe: its installation and mode, known bugs of its release, and its ingress."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdk_nb.doctor import kserve_mode
from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings, State
from pdk_nb.platforms.serving.installation import FIND_INGRESS
from pdk_shared.errors import PdkError

GROUP, API_VERSION, PLURAL = "serving.kserve.io", "v1beta1", "inferenceservices"
Version = tuple[int, int, int]


@dataclass(frozen=True)
class Trap:
    """A bug in some releases of KServe's storage initializer.

    Attributes:
        first: First release that has it.
        last: Last release that has it.
        what: What happens.
        avoid: How to avoid it.
    """

    first: Version
    last: Version
    what: str
    avoid: str


TRAPS = (
    # kserve/kserve issue 3200; fixed by pull request 4112 in 0.15.
    Trap(
        (0, 12, 0),
        (0, 14, 1),
        "its S3 downloader drops a file's folder if the file name begins with the last part of storageUri, so that "
        "model-store/dogs-and-cats.mar of s3://bucket/dogs-and-cats isn't found",
        "The lab's addresses end with <version>/ and are safe; older services need such an address, too.",
    ),
)


def examine(context: Context) -> Findings:
    """All findings of this group."""
    present = yield from _definition(context)
    if present:
        services = _services(context)
        yield from _version(context, services)
        yield from kserve_mode.examine(context, services)
    yield from _ingress(context)


def _definition(context: Context) -> Any:
    import kubernetes

    why = "The deploy stage creates InferenceServices."
    install = "Install KServe by its quick start, and note the release."
    name = f"{PLURAL}.{GROUP}"
    extensions = kubernetes.client.ApiextensionsV1Api(context.api)
    try:
        found = extensions.read_custom_resource_definition(name, _request_timeout=TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            what = "KServe isn't installed: there are no InferenceServices."
            yield Finding("kserve.crd", "broken", what, f"CustomResourceDefinition {name}", why, install)
            return False
        return (yield from _served(context, f"{error.status} {error.reason}"))
    served = [version.name for version in found.spec.versions if version.served]
    if API_VERSION not in served:
        what = f"InferenceServices are served as {', '.join(served) or 'nothing'}, not as {API_VERSION}."
        yield Finding("kserve.crd", "broken", what, f"CustomResourceDefinition {name}", why, install)
        return False
    yield Finding("kserve.crd", "ok", f"InferenceServices are served as {GROUP}/{API_VERSION}.")
    return True


def _served(context: Context, reason: str) -> Any:
    """If the definitions can't be read, listing the services gives the same information."""
    import kubernetes

    namespace = context.settings.kserve_model_namespace
    objects = kubernetes.client.CustomObjectsApi(context.api)
    try:
        objects.list_namespaced_custom_object(GROUP, API_VERSION, namespace, PLURAL, _request_timeout=TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        state: State = "broken" if error.status == 404 else "unknown"
        what = f"Can't list InferenceServices ({error.status} {error.reason})."
        fix = f"kubectl auth can-i list {PLURAL}.{GROUP} -n {namespace}"
        yield Finding("kserve.crd", state, what, f"namespace {namespace}", "The deploy stage creates them.", fix)
        return False
    what = f"Can list InferenceServices, but not read their definition ({reason})."
    yield Finding("kserve.crd", "ok", what)
    return True


def installed_version(context: Context) -> tuple[Version, str] | None:
    """Release and image of the storage initializer, from KServe's configuration."""
    image = str(context.discovery.kserve_config("storageInitializer").get("image") or "")
    found = re.search(r":v?(\d+)\.(\d+)(?:\.(\d+))?", image)
    return ((int(found[1]), int(found[2]), int(found[3] or 0)), image) if found else None


def _version(context: Context, services: list[Mapping[str, Any]]) -> Findings:
    found = installed_version(context)
    if found is None:
        yield Finding(
            "kserve.version",
            "unknown",
            "KServe's release is unknown.",
            "ConfigMap kserve/inferenceservice-config, storageInitializer",
            "Some releases put archives in the wrong folder.",
            "kubectl -n kserve get configmap inferenceservice-config -o jsonpath='{.data.storageInitializer}'",
            optional=True,
        )
        return
    version, image = found
    yield Finding("kserve.version", "ok", f"KServe {'.'.join(map(str, version))}.", image)
    for trap in TRAPS:
        if trap.first <= version <= trap.last:
            yield from _trap(trap, services)


def _trap(trap: Trap, services: list[Mapping[str, Any]]) -> Findings:
    """The bug, and whether it affects a service in the namespace."""
    caught = [name for name, uri in _addresses(services) if uri.startswith("s3://") and not uri.endswith("/")]
    release = ".".join(map(str, trap.first)) + " to " + ".".join(map(str, trap.last))
    if caught:
        what = f"{', '.join(caught)}: KServe can lose the archive at this address."
        why = f"KServe {release}: {trap.what}."
        fix = f"pdk-nb reset, then commit again: {trap.avoid}"
        yield Finding("kserve.storage", "broken", what, "", why, fix)
    else:
        yield Finding("kserve.storage", "ok", f"KServe {release} has a bug: {trap.what}. {trap.avoid}")


def _services(context: Context) -> list[Mapping[str, Any]]:
    """The InferenceServices of the lab's namespace; none where they can't be listed."""
    import kubernetes

    objects = kubernetes.client.CustomObjectsApi(context.api)
    try:
        found = objects.list_namespaced_custom_object(
            GROUP, API_VERSION, context.settings.kserve_model_namespace, PLURAL, _request_timeout=TIMEOUT_S
        )
    except kubernetes.client.ApiException:
        return []
    return list(found["items"])


def _addresses(services: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    result = []
    for item in services:
        predictor = item["spec"].get("predictor") or {}
        model = predictor.get("model") or predictor.get("pytorch") or {}
        result.append((item["metadata"]["name"], str(model.get("storageUri") or "")))
    return result


def _ingress(context: Context) -> Findings:
    import requests

    known = context.settings
    known.require("kserve_ingress_host", "kserve_ingress_port")
    why = "Prediction requests go through it; the Host header names the service."
    try:
        context.reach(known.kserve_ingress_host, known.kserve_ingress_port)
        answer = requests.get(f"http://{known.ingress}/", headers={"Host": "pdk-lab.invalid"}, timeout=TIMEOUT_S)
    except (PdkError, requests.RequestException) as error:
        what = error.what if isinstance(error, PdkError) else f"The ingress doesn't speak HTTP: {error}"
        found = context.discovery.gateway()
        fix = FIND_INGRESS
        if found and (found.host, found.port) != (known.kserve_ingress_host, known.kserve_ingress_port):
            fix = context.set_values(kserve_ingress_host=found.host, kserve_ingress_port=found.port)
        yield Finding("kserve.ingress", "broken", what, known.ingress, why, fix)
        return
    mistaken = context.discovery.wrong_gateway(known.kserve_ingress_host, known.kserve_ingress_port)
    if mistaken:
        wrong, right = mistaken
        what = f"pdk-config names {wrong.source}; in KServe's mode, services are behind {right.source}."
        fix = context.set_values(kserve_ingress_host=right.host, kserve_ingress_port=right.port)
        yield Finding("kserve.ingress", "broken", what, known.ingress, why, fix)
        return
    what = f"The ingress answers ({answer.status_code} for an unknown host)."
    yield Finding("kserve.ingress", "ok", what, known.ingress)
