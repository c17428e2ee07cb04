"""Creates an administrator's objects on a new cluster: namespaces, ``pdk-config``, ``pipeline-secret``, accounts.

It uses the official client of the Kubernetes API, as on a cluster. Every start updates the addresses and keeps all
other changes that users made to these objects.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes

from pdk_shared.settings_keys import CONFIG_MAP, KEYS, PIPELINE_SECRET
from pdk_stack.third_party.kserve import RELEASE

MODELS_NAMESPACE = "models"
NOT_USED = "N/A"
KSERVE_NAMESPACE, KNATIVE_NAMESPACE = "kserve", "knative-serving"


def _host_port(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    return parts.hostname or "", str(parts.port or "")


def config_values(addresses: dict[str, str], checkout: Path) -> dict[str, str]:
    """Return the stack's ``pdk-config`` with the keys of the deployment guides.

    Args:
        addresses: URLs of ``pachd``, ``s3``, ``determined``, and ``ingress``.
        checkout: The checkout that pipelines fetch the experiment's code from.
    """
    pachd_host, pachd_port = _host_port(addresses["pachd"])
    master_host, master_port = _host_port(addresses["determined"])
    ingress_host, ingress_port = _host_port(addresses["ingress"])
    s3_host, s3_port = _host_port(addresses["s3"])
    given = {
        "region": "us-local",
        "mldm_namespace": "default",
        "mldm_host": pachd_host,
        "mldm_port": pachd_port,
        "mldm_url": f"grpc://{pachd_host}:{pachd_port}",
        "mldm_pipeline_secret": PIPELINE_SECRET,
        "mlde_host": master_host,
        "mlde_port": master_port,
        "mlde_url": f"http://{master_host}:{master_port}",
        "kserve_model_namespace": MODELS_NAMESPACE,
        "kserve_ingress_host": ingress_host,
        "kserve_ingress_port": ingress_port,
        # Images map to folders on this machine; a name under .invalid never resolves (RFC 6761).
        "registry_uri": "embedded.invalid",
        "pdk_name": "pdk-lab",
        "mldm_s3_endpoint": f"{s3_host}:{s3_port}",
        "git_url": checkout.as_uri(),
        "git_ref": "",
        # Requests add up: a laptop must fit two services, each with a new revision beside the old one.
        "predictor_requests": "cpu=250m,memory=1Gi",
        "predictor_limits": "cpu=4,memory=4Gi",
    }
    # The guides' other keys, for buckets and databases, are unused: as on-prem, the deploy stage stores models in its
    # own output repo.
    return {**{key.name: NOT_USED for key in KEYS if key.variable}, **given}


def secret_values(addresses: dict[str, str], credentials: dict[str, str]) -> dict[str, str]:
    """Return the stack's ``pipeline-secret``."""
    pachd_host, pachd_port = _host_port(addresses["pachd"])
    master_host, master_port = _host_port(addresses["determined"])
    return {
        "det_master": f"{master_host}:{master_port}",
        "det_user": "admin",
        "det_password": credentials["admin_password"],
        "pac_token": credentials["root_token"],
        "pachd_lb_service_host": pachd_host,
        "pachd_lb_service_port": pachd_port,
        "kserve_namespace": MODELS_NAMESPACE,
    }


def kserve_values() -> dict[str, str]:
    """Return KServe's installation info: the release whose storage initializer fetches models."""
    ingress = {"ingressService": "istio-ingressgateway.istio-system.svc.cluster.local", "ingressDomain": "example.com"}
    return {
        "storageInitializer": json.dumps({"image": f"kserve/storage-initializer:v{RELEASE}"}),
        "ingress": json.dumps(ingress),
        "deploy": json.dumps({"defaultDeploymentMode": "Serverless"}),
    }


def knative_values() -> dict[str, dict[str, str]]:
    """Return the ConfigMaps of Knative that say how services are routed: by Istio, below example.com."""
    return {
        "config-network": {"ingress-class": "istio.ingress.networking.knative.dev"},
        "config-domain": {"example.com": ""},
        "config-features": {"kubernetes.podspec-tolerations": "enabled", "kubernetes.podspec-nodeselector": "enabled"},
    }


def seed_cluster(kubeconfig: Path, addresses: dict[str, str], credentials: dict[str, str], checkout: Path) -> None:
    """Create missing objects and update the addresses in existing ones."""
    client = kubernetes.config.new_client_from_config(config_file=str(kubeconfig))
    core = kubernetes.client.CoreV1Api(client)
    for namespace in ("default", MODELS_NAMESPACE, "istio-system", KSERVE_NAMESPACE, KNATIVE_NAMESPACE):
        _create(core.create_namespace, {"metadata": {"name": namespace}})
    for namespace, account in (("default", "pachyderm-worker"), (MODELS_NAMESPACE, "default")):
        _create(core.create_namespaced_service_account, {"metadata": {"name": account}}, namespace)
    kserve: dict[str, Any] = {"metadata": {"name": "inferenceservice-config"}, "data": kserve_values()}
    if not _create(core.create_namespaced_config_map, kserve, KSERVE_NAMESPACE):
        core.patch_namespaced_config_map("inferenceservice-config", KSERVE_NAMESPACE, {"data": kserve["data"]})
    for name, data in knative_values().items():
        _create(core.create_namespaced_config_map, {"metadata": {"name": name}, "data": data}, KNATIVE_NAMESPACE)
    config = config_values(addresses, checkout)
    body: dict[str, Any] = {"metadata": {"name": CONFIG_MAP}, "data": config}
    if not _create(core.create_namespaced_config_map, body, "default"):
        moved = {key: value for key, value in config.items() if key.endswith(("_host", "_port", "_url"))}
        moved["mldm_s3_endpoint"] = config["mldm_s3_endpoint"]
        core.patch_namespaced_config_map(CONFIG_MAP, "default", {"data": moved})
    secret = {"metadata": {"name": PIPELINE_SECRET}, "stringData": secret_values(addresses, credentials)}
    if not _create(core.create_namespaced_secret, secret, "default"):
        core.patch_namespaced_secret(PIPELINE_SECRET, "default", secret)


def _create(call: Any, body: dict[str, Any], namespace: str | None = None) -> bool:
    """Create an object; return False when it already exists."""
    try:
        call(*([namespace] if namespace else []), body=body)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        return False
    return True
