"""Addresses of the platforms, from the cluster's Services. Guesses are marked as guesses.

Names and labels come from the platforms' installations: Pachyderm's and Determined's Helm charts, Istio's ingress
gateway, and KServe's ConfigMap ``inferenceservice-config``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

REQUEST_TIMEOUT_S = 10.0
KSERVE_NAMESPACES = ("kserve", "kserve-system", "kubeflow", "opendatahub")
KSERVE_CONFIG = "inferenceservice-config"
STORAGE_SECRET = "pachyderm-storage-secret"  # noqa: S105  a name, not a secret
# Pachyderm's chart writes the bucket under one of these keys, by backend.
BUCKET_KEYS = ("AMAZON_BUCKET", "GOOGLE_BUCKET", "MINIO_BUCKET", "amazon-bucket", "google-bucket", "minio-bucket")


@dataclass(frozen=True)
class Address:
    """Address of a platform.

    Attributes:
        host: Name or IP address.
        port: TCP port.
        source: The Service that gives it, and how.
    """

    host: str
    port: int
    source: str


@dataclass
class Found:
    """Values from the cluster's own objects.

    Attributes:
        values: Values for ``pdk-config`` by key.
        sources: Source of each value.
        missing: For each missing key, the reason.
    """

    values: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, value: str, source: str) -> None:
        """Record one value."""
        self.values[key], self.sources[key] = value, source

    def put_address(self, system: str, address: Address) -> None:
        """Record host, port and URL of a system."""
        self.put(f"{system}_host", address.host, address.source)
        self.put(f"{system}_port", str(address.port), address.source)
        if system != "kserve_ingress":
            self.put(f"{system}_url", f"http://{address.host}:{address.port}", address.source)


class Discovery:
    """Finds the platforms of a cluster.

    Args:
        client: API client of ``kubernetes``.
    """

    def __init__(self, client: Any) -> None:
        import kubernetes

        self._api = kubernetes.client
        self._core = kubernetes.client.CoreV1Api(client)
        self._networking = kubernetes.client.NetworkingV1Api(client)
        self._services: list[Any] | None = None

    def services(self) -> list[Any]:
        """All Services that this user can list: in the cluster, or else in the usual namespaces."""
        if self._services is None:
            try:
                self._services = self._core.list_service_for_all_namespaces(_request_timeout=REQUEST_TIMEOUT_S).items
            except self._api.ApiException:
                self._services = []
                for namespace in ("default", "pachyderm", "determined", "istio-system"):
                    with contextlib.suppress(self._api.ApiException):
                        listed = self._core.list_namespaced_service(namespace, _request_timeout=REQUEST_TIMEOUT_S)
                        self._services += listed.items
        return self._services

    def pachyderm(self) -> Address | None:
        """Pachyderm's proxy, else pachd itself."""
        for name, ports in (
            ("pachyderm-proxy", ("http-port", "https-port")),
            ("pachd-lb", ("api-grpc-port",)),
            ("pachd", ("api-grpc-port",)),
        ):
            found = self._address(name, ports)
            if found:
                return found
        return None

    def pachyderm_namespace(self) -> str:
        """Pachyderm's namespace; empty when not found."""
        names = ("pachd", "pachyderm-proxy")
        return next((each.metadata.namespace for each in self.services() if each.metadata.name in names), "")

    def determined(self) -> Address | None:
        """Determined's master: an Ingress in front of its Service, else the Service."""
        pattern = re.compile(r"determined-master-service-.+")
        service = next((each for each in self.services() if pattern.fullmatch(each.metadata.name)), None)
        if service is None:
            return None
        return self._ingress_for(service) or self._service_address(service, ("master-port", "http"))

    def gateway(self) -> Address | None:
        """The ingress for predictions: the Service in KServe's configuration, or else Istio's default."""
        named = str(self.kserve_config("ingress").get("ingressService") or "").split(".")[0]
        for name in filter(None, (named, "istio-ingressgateway", "kourier")):
            found = self._address(name, ("http2", "http"))
            if found:
                return found
        return None

    def kserve_config(self, key: str) -> dict[str, Any]:
        """One section of KServe's configuration; empty when it can't be read.

        Args:
            key: e.g. ``ingress`` or ``storageInitializer``.
        """
        for namespace in KSERVE_NAMESPACES:
            with contextlib.suppress(self._api.ApiException, ValueError):
                found = self._core.read_namespaced_config_map(
                    KSERVE_CONFIG, namespace, _request_timeout=REQUEST_TIMEOUT_S
                )
                return dict(json.loads((found.data or {}).get(key) or "{}"))
        return {}

    def pachyderm_bucket(self, namespace: str) -> str:
        """Pachyderm's bucket, from the Secret of its chart; only the bucket's name is read."""
        try:
            found = self._core.read_namespaced_secret(STORAGE_SECRET, namespace, _request_timeout=REQUEST_TIMEOUT_S)
        except self._api.ApiException:
            return ""
        data = found.data or {}
        return next((base64.b64decode(data[key]).decode() for key in BUCKET_KEYS if data.get(key)), "")

    def region(self) -> str:
        """The region in the nodes' labels; empty on-prem."""
        with contextlib.suppress(self._api.ApiException):
            for node in self._core.list_node(_request_timeout=REQUEST_TIMEOUT_S).items:
                name = (node.metadata.labels or {}).get("topology.kubernetes.io/region")
                if name:
                    return str(name)
        return ""

    def _address(self, name: str, ports: tuple[str, ...]) -> Address | None:
        service = next((each for each in self.services() if each.metadata.name == name), None)
        return self._service_address(service, ports) if service is not None else None

    def _service_address(self, service: Any, ports: tuple[str, ...]) -> Address | None:
        offered = list(service.spec.ports or [])
        if not offered:
            return None
        chosen = next((each for name in ports for each in offered if each.name == name), offered[0])
        shown = f"Service {service.metadata.namespace}/{service.metadata.name}"
        entry = next(iter(_load_balancer(service)), None)
        if entry:
            return Address(entry, chosen.port, f"{shown}, load balancer")
        if service.spec.type == "NodePort" and chosen.node_port:
            node = self._node_address()
            if node:
                return Address(node, chosen.node_port, f"{shown}, node port")
        inside = f"{service.metadata.name}.{service.metadata.namespace}.svc.cluster.local"
        return Address(inside, chosen.port, f"{shown}, inside the cluster only")

    def _node_address(self) -> str:
        with contextlib.suppress(self._api.ApiException):
            for node in self._core.list_node(_request_timeout=REQUEST_TIMEOUT_S).items:
                known = {each.type: each.address for each in (node.status.addresses or [])}
                if known:
                    return str(known.get("ExternalIP") or known.get("InternalIP") or "")
        return ""

    def _ingress_for(self, service: Any) -> Address | None:
        """Host and port of an Ingress that routes to a Service."""
        try:
            found = self._networking.list_namespaced_ingress(
                service.metadata.namespace, _request_timeout=REQUEST_TIMEOUT_S
            ).items
        except self._api.ApiException:
            return None
        for ingress in found:
            for rule in ingress.spec.rules or []:
                backends = [path.backend.service for path in (rule.http.paths if rule.http else [])]
                if not any(each and each.name == service.metadata.name for each in backends):
                    continue
                host = rule.host or next(iter(_load_balancer(ingress)), "")
                if host:
                    shown = f"Ingress {ingress.metadata.namespace}/{ingress.metadata.name}"
                    return Address(host, 443 if ingress.spec.tls else 80, shown)
        return None


def _load_balancer(thing: Any) -> Iterator[str]:
    """External addresses of a Service or an Ingress."""
    balancer = thing.status.load_balancer if thing.status else None
    for entry in (balancer.ingress if balancer else None) or []:
        if entry.hostname or entry.ip:
            yield str(entry.hostname or entry.ip)


def discover(client: Any, models_namespace: str = "models") -> Found:
    """All values of ``pdk-config`` that the cluster's own objects give.

    Args:
        client: API client of ``kubernetes``.
        models_namespace: Namespace of the InferenceServices.
    """
    look, found = Discovery(client), Found()
    namespace = look.pachyderm_namespace()
    if namespace:
        found.put("mldm_namespace", namespace, "the namespace of the Service pachd")
    systems = (("mldm", look.pachyderm()), ("mlde", look.determined()), ("kserve_ingress", look.gateway()))
    for system, address in systems:
        if address:
            found.put_address(system, address)
        else:
            for part in ("host", "port"):
                found.missing[f"{system}_{part}"] = "no Service of the platform's installation was found"
    bucket = look.pachyderm_bucket(namespace or "default")
    if bucket:
        found.put("mldm_bucket_name", bucket, f"Secret {namespace}/{STORAGE_SECRET}")
        if bucket.endswith("-repo-mldm"):
            found.put("pdk_name", bucket.removesuffix("-repo-mldm"), "the bucket's name")
    region = look.region()
    if region:
        found.put("region", region, "label topology.kubernetes.io/region of a node")
    found.put("kserve_model_namespace", models_namespace, "--models-namespace")
    return found
