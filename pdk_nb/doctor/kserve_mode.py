"""KServe's deployment mode, and what Knative allows in it: problems that KServe itself tells only in events.

Sources: KServe 0.13 (``controller.go``: a serverless service without Knative is refused; ``ingress_reconciler.go``:
without Istio, ``disableIstioVirtualHost`` must be true; ``kube_ingress_reconciler.go``: no Ingress for
``svc.cluster.local``) and Knative Serving 1.13 (``config-network``, ``config-domain``, ``config-features``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdk_nb.doctor.context import TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.platforms import mldm
from pdk_nb.platforms.serving import installation
from pdk_nb.platforms.serving.installation import KNATIVE_NAMESPACE, Mode
from pdk_nb.platforms.serving.predictions import INTERNAL
from pdk_shared.errors import PdkError

INSIDE = INTERNAL.removeprefix(".")
KNATIVE_SERVICES = "services.serving.knative.dev"
CONFIG = "ConfigMap inferenceservice-config"
WHY = "In serverless mode Knative makes revisions and splits traffic; in raw mode KServe makes plain Deployments."
RESTART = "kubectl -n kserve rollout restart deployment kserve-controller-manager"


def examine(context: Context, services: list[Mapping[str, Any]]) -> Findings:
    """The findings about the mode.

    Args:
        context: The cluster.
        services: The InferenceServices of the lab's namespace.
    """
    mode = context.discovery.mode()
    if mode is None:
        what = "KServe's deployment mode is unknown: its configuration can't be read, or names another one."
        fix = "kubectl -n kserve get configmap inferenceservice-config -o jsonpath='{.data.deploy}'"
        hidden = not context.discovery.kserve_config("deploy")
        yield Finding("kserve.mode", "unknown", what, CONFIG, WHY, fix, optional=hidden)
        return
    ingress = context.discovery.kserve_config("ingress")
    if mode == "raw":
        yield from _raw(ingress)
    else:
        yield from _serverless(context, ingress)
    yield from _switched(mode, services)


def _raw(ingress: Mapping[str, Any]) -> Findings:
    named = ingress.get("ingressClassName") or "istio"
    what = f"Raw: plain Deployments behind ingress class {named}. Rollouts replace pods; there are no canaries."
    yield Finding("kserve.mode", "ok", what, CONFIG)
    if ingress.get("ingressDomain") == INSIDE:
        what = f"KServe's ingressDomain is {INSIDE}; for this domain, it makes no Ingress."
        why = "Services get no address that this machine can use."
        fix = f"Set ingressDomain in kserve/inferenceservice-config, e.g. to example.com; then: {RESTART}"
        yield Finding("kserve.domain", "broken", what, CONFIG, why, fix)


def _serverless(context: Context, ingress: Mapping[str, Any]) -> Findings:
    network = installation.knative_config(context.core, "config-network")
    if network is None and not _has_knative(context):
        what = "KServe is in serverless mode, but Knative Serving isn't installed: it refuses every service."
        fix = f"Install Knative Serving, or set defaultDeploymentMode to RawDeployment; then: {RESTART}"
        yield Finding("kserve.mode", "broken", what, CONFIG, WHY, fix)
        return
    gateway = str((network or {}).get("ingress-class") or "istio.ingress.networking.knative.dev").partition(".")[0]
    if gateway != "istio" and ingress.get("disableIstioVirtualHost") is not True:
        what = (
            f"Knative routes with {gateway}, but KServe still makes Istio's VirtualServices (disableIstioVirtualHost)."
        )
        why = "Without Istio, no service ever gets its route."
        fix = (
            f'Set "disableIstioVirtualHost": true in section ingress of kserve/inferenceservice-config; then: {RESTART}'
        )
        yield Finding("kserve.mode", "broken", what, CONFIG, why, fix)
    else:
        yield Finding("kserve.mode", "ok", f"Serverless: Knative makes revisions and routes with {gateway}.", CONFIG)
    yield from _domain(context)
    yield from _fields(context)


def _has_knative(context: Context) -> bool:
    """Whether Knative's kinds exist; also true where this user may not ask."""
    import kubernetes

    extensions = kubernetes.client.ApiextensionsV1Api(context.api)
    try:
        extensions.read_custom_resource_definition(KNATIVE_SERVICES, _request_timeout=TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        return bool(error.status != 404)
    return True


def _domain(context: Context) -> Findings:
    """Knative's domain: its default has addresses inside the cluster only, and the gateway answers 404 to them."""
    data = installation.knative_config(context.core, "config-domain")
    if data is None:
        return
    domains = [name for name in data if name != INSIDE]
    place = f"ConfigMap {KNATIVE_NAMESPACE}/config-domain"
    if domains:
        yield Finding("kserve.domain", "ok", f"Services get hosts below {', '.join(sorted(domains))}.", place)
        return
    what = f"Knative has no domain but {INSIDE}: its gateway answers 404 to the hosts of all services."
    why = "Prediction requests come from outside the cluster."
    patch = """'{"data": {"example.com": ""}}'"""
    fix = f"kubectl -n {KNATIVE_NAMESPACE} patch configmap config-domain --type merge -p {patch}"
    yield Finding("kserve.domain", "broken", what, place, why, fix)


def _fields(context: Context) -> Findings:
    """Fields that the deploy pipeline gives to predictors, and Knative refuses."""
    names = context.names
    try:
        command = mldm.pipeline_command(context.pachyderm, names.project, names.deploy_pipeline)
    except PdkError:
        return
    features = installation.knative_config(context.core, "config-features")
    if "--tolerations" not in command or features is None:
        return
    refused = installation.refused_fields(features, {"tolerations": [{}]})
    if refused:
        what = f"{names.deploy_pipeline} gives predictors tolerations, and Knative refuses them."
        why = "KServe accepts such a service, and then nothing happens to it."
        place = f"ConfigMap {KNATIVE_NAMESPACE}/config-features"
        yield Finding("kserve.fields", "broken", what, place, why, installation.features_fix(refused))


def _switched(mode: Mode, services: list[Mapping[str, Any]]) -> Findings:
    """Services of the other mode: they keep it when the cluster is switched, and the names of their objects collide."""
    others = [each["metadata"]["name"] for each in services if installation.mode_of(each) != mode]
    if others:
        other = "raw" if mode == "serverless" else "serverless"
        what = f"{', '.join(others)}: made in {other} mode, which stays although the cluster is {mode}."
        why = "An annotation keeps the mode, and objects of both modes have the same names."
        fix = f"Delete and deploy again: kubectl -n {services[0]['metadata']['namespace']} delete inferenceservice "
        yield Finding("kserve.switched", "warning", what, "", why, fix + " ".join(others))
