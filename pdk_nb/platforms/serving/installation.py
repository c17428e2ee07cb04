"""How KServe is installed: its deployment mode, and what Knative allows under it.

Sources: ``inferenceservice-config`` of KServe 0.13 (``charts/kserve-resources/templates/configmap.yaml``) and the
ConfigMaps ``config-features``, ``config-domain``, and ``config-network`` of Knative Serving 1.13.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

__all__ = [
    "FEATURES",
    "FIND_INGRESS",
    "KNATIVE_NAMESPACE",
    "REFUSED_FIELDS",
    "Mode",
    "cluster_mode",
    "features_fix",
    "kserve_config",
    "knative_config",
    "mode_named",
    "mode_of",
    "refused_fields",
]

# "serverless": Knative makes revisions and splits traffic. "raw": KServe makes a plain Deployment for each service.
Mode = Literal["serverless", "raw"]
REQUEST_TIMEOUT_S = 10.0
KSERVE_NAMESPACES = ("kserve", "kserve-system", "kubeflow", "opendatahub")
KSERVE_CONFIG = "inferenceservice-config"
KNATIVE_NAMESPACE = "knative-serving"
# KServe's webhook writes it into every service that it admits in raw mode (inference_service_defaults.go), and it stays
# when the cluster is switched: it says how this service runs.
MODE_NOTE = "serving.kserve.io/deploymentMode"
# Since KServe 0.16, the modes are called Knative and Standard.
MODES: Mapping[str, Mode] = {
    "Serverless": "serverless",
    "Knative": "serverless",
    "RawDeployment": "raw",
    "Standard": "raw",
}
FIND_INGRESS = (
    "kubectl get services --all-namespaces | grep -E 'istio-ingressgateway|kourier|traefik|ingress-nginx|haproxy'"
)
# Knative's own words for a field that config-features doesn't allow (apis.ErrDisallowedFields).
REFUSED_FIELDS = "must not set the field(s)"
# What config-features calls the fields that the lab may set.
FEATURES = {"tolerations": "kubernetes.podspec-tolerations", "nodeSelector": "kubernetes.podspec-nodeselector"}


def mode_named(text: object) -> Mode | None:
    """The mode that KServe's own word means; None for another word."""
    return MODES.get(str(text or ""))


def mode_of(service: Mapping[str, Any]) -> Mode:
    """The mode that a service runs in, from the service alone.

    Args:
        service: An InferenceService.
    """
    notes = service["metadata"].get("annotations") or {}
    status = service.get("status") or {}
    return mode_named(notes.get(MODE_NOTE)) or mode_named(status.get("deploymentMode")) or "serverless"


def kserve_config(core: Any, key: str) -> dict[str, Any]:
    """One section of KServe's configuration; empty when it can't be read.

    Args:
        core: A ``CoreV1Api``.
        key: e.g. ``deploy``, ``ingress`` or ``storageInitializer``.
    """
    for namespace in KSERVE_NAMESPACES:
        data = _config_map(core, namespace, KSERVE_CONFIG)
        if data is not None:
            try:
                return dict(json.loads(data.get(key) or "{}"))
            except ValueError:
                return {}
    return {}


def cluster_mode(core: Any) -> Mode | None:
    """The mode that new services get; None when KServe's configuration can't be read.

    Args:
        core: A ``CoreV1Api``.
    """
    return mode_named(kserve_config(core, "deploy").get("defaultDeploymentMode"))


def knative_config(core: Any, name: str) -> dict[str, str] | None:
    """A ConfigMap of Knative without its example; None when it can't be read.

    Args:
        core: A ``CoreV1Api``.
        name: ``config-features``, ``config-domain`` or ``config-network``.
    """
    data = _config_map(core, KNATIVE_NAMESPACE, name)
    return None if data is None else {key: value for key, value in data.items() if not key.startswith("_")}


def refused_fields(features: Mapping[str, str], predictor: Mapping[str, Any]) -> list[str]:
    """Fields of a predictor that Knative refuses with this configuration.

    Args:
        features: Data of ``config-features``.
        predictor: The predictor of an InferenceService.
    """
    return [
        field
        for field, feature in FEATURES.items()
        if predictor.get(field) and str(features.get(feature, "disabled")).lower() != "enabled"
    ]


def features_fix(fields: list[str]) -> str:
    """The command that makes Knative accept fields."""
    data = json.dumps({"data": {FEATURES[field]: "enabled" for field in fields if field in FEATURES}})
    return f"kubectl -n {KNATIVE_NAMESPACE} patch configmap config-features --type merge -p '{data}'"


def _config_map(core: Any, namespace: str, name: str) -> dict[str, str] | None:
    import kubernetes

    try:
        found = core.read_namespaced_config_map(name, namespace, _request_timeout=REQUEST_TIMEOUT_S)
    except kubernetes.client.ApiException:
        return None
    return dict(found.data or {})
