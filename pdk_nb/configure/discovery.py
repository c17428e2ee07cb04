"""Addresses of the platforms, from the cluster's Services. Guesses are marked as guesses.

Names and labels come from the platforms' installations: Pachyderm's and Determined's Helm charts, KServe's ConfigMap
``inferenceservice-config``, and the charts of the gateways and ingress controllers that KServe can use.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pdk_nb.platforms.serving import installation

REQUEST_TIMEOUT_S = 10.0
# Gateways of Knative: Service and namespace.
GATEWAYS = (("istio-ingressgateway", "istio-system"), ("kourier", "kourier-system"))
# Ingress controllers by the usual name of their class: Services of their charts, and the label app.kubernetes.io/name.
CONTROLLERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "traefik": (("traefik",), ("traefik",)),
    "nginx": (("ingress-nginx-controller",), ("ingress-nginx", "nginx-ingress")),
    "haproxy": (("haproxy-kubernetes-ingress", "haproxy-ingress"), ("kubernetes-ingress", "haproxy-ingress")),
    "istio": (("istio-ingressgateway",), ()),
}
INSIDE = "inside the cluster only"
# Istio and Kourier, then the controllers' charts.
HTTP_PORTS = ("http2", "http", "web")
NAME_LABEL = "app.kubernetes.io/name"
# Where to look if this user can't list the Services of all namespaces.
NAMESPACES = (
    *("default", "pachyderm", "determined"),
    *(namespace for _, namespace in GATEWAYS),
    *("traefik", "ingress-nginx", "haproxy-controller", "haproxy-ingress", "ingress-controller", "kube-system"),
)
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
        self._core: Any = kubernetes.client.CoreV1Api(client)
        self._networking = kubernetes.client.NetworkingV1Api(client)
        self._services: list[Any] | None = None
        self._sections: dict[str, dict[str, Any]] = {}

    def services(self) -> list[Any]:
        """All Services that this user can list: in the cluster, or else in the usual namespaces."""
        if self._services is None:
            try:
                self._services = self._core.list_service_for_all_namespaces(_request_timeout=REQUEST_TIMEOUT_S).items
            except self._api.ApiException:
                self._services = []
                named = self._named_gateway()[1]
                for namespace in dict.fromkeys((*NAMESPACES, *((named,) if named else ()))):
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

    def mode(self) -> installation.Mode | None:
        """KServe's deployment mode; None when its configuration can't be read."""
        return installation.mode_named(self.kserve_config("deploy").get("defaultDeploymentMode"))

    def gateway(self) -> Address | None:
        """The ingress for predictions, by KServe's mode.

        Serverless: the Service that KServe's configuration names, or else Knative's usual gateways. Raw: the controller
        of KServe's ingress class; a gateway of Knative next to it doesn't know the services. Unknown: the first found.
        """
        mode = self.mode()
        if mode == "raw":
            return self._controller(str(self.kserve_config("ingress").get("ingressClassName") or "istio"))
        for name, namespace in (self._named_gateway(), *GATEWAYS):
            found = self._address(name, HTTP_PORTS, namespace) if name else None
            if found:
                return found
        if mode is None:
            return next((found for each in CONTROLLERS if (found := self._controller(each))), None)
        return None

    def gateway_missing(self) -> str:
        """Why there is no gateway, for people."""
        if self.mode() == "raw":
            named = self.kserve_config("ingress").get("ingressClassName") or "istio"
            return f"no Service or Ingress of KServe's ingress class {named} was found"
        return "no gateway of Knative was found (istio-ingressgateway, kourier)"

    def wrong_gateway(self, host: str, port: int) -> tuple[Address, Address] | None:
        """If an address is that of a gateway which doesn't know KServe's services: that gateway, and the right one.

        Args:
            host: Host in use.
            port: Port in use.
        """
        right = self.gateway()
        if right is None or (right.host, right.port) == (host, port):
            return None
        others = [self._address(name, HTTP_PORTS, namespace) for name, namespace in GATEWAYS]
        others += [self._controller(each) for each in CONTROLLERS]
        wrong = next((each for each in others if each and (each.host, each.port) == (host, port)), None)
        return (wrong, right) if wrong else None

    def _named_gateway(self) -> tuple[str, str]:
        """Service and namespace in KServe's configuration; both empty when it names none."""
        name, _, rest = str(self.kserve_config("ingress").get("ingressService") or "").partition(".")
        return name, rest.partition(".")[0]

    def _controller(self, ingress_class: str) -> Address | None:
        """An ingress controller: its Service by name or label, or else the address in an Ingress of its class."""
        names, labels = CONTROLLERS.get(ingress_class, ((ingress_class,), (ingress_class,)))
        called = [each for each in self.services() if each.metadata.name in names]
        labelled = [each for each in self.services() if (each.metadata.labels or {}).get(NAME_LABEL) in labels]
        outside = [each for each in (*called, *labelled) if each.spec.type in ("LoadBalancer", "NodePort")]
        addresses = [found for each in outside if (found := self._service_address(each, HTTP_PORTS))]
        published = self._published(ingress_class)
        # A load balancer that never got its address helps nobody.
        reachable = next((each for each in addresses if not each.source.endswith(INSIDE)), None)
        inside = next((found for each in called if (found := self._service_address(each, HTTP_PORTS))), None)
        return reachable or published or next(iter(addresses), None) or inside

    def _published(self, ingress_class: str) -> Address | None:
        """The address that a controller wrote into the status of an Ingress of its class."""
        try:
            found = self._networking.list_ingress_for_all_namespaces(_request_timeout=REQUEST_TIMEOUT_S).items
        except self._api.ApiException:
            return None
        for ingress in found:
            address = next(iter(_load_balancer(ingress)), "")
            if ingress.spec.ingress_class_name == ingress_class and address:
                shown = f"status of Ingress {ingress.metadata.namespace}/{ingress.metadata.name}"
                return Address(address, 80, shown)
        return None

    def kserve_config(self, key: str) -> dict[str, Any]:
        """One section of KServe's configuration; empty when it can't be read.

        Args:
            key: e.g. ``ingress`` or ``storageInitializer``.
        """
        if key not in self._sections:
            self._sections[key] = installation.kserve_config(self._core, key)
        return self._sections[key]

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

    def _address(self, name: str, ports: tuple[str, ...], namespace: str = "") -> Address | None:
        """The address of a Service: of the one in the namespace, if there are several of this name."""
        named = [each for each in self.services() if each.metadata.name == name]
        service = next((each for each in named if each.metadata.namespace == namespace), next(iter(named), None))
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
        if service.spec.type in ("NodePort", "LoadBalancer") and chosen.node_port:
            node = self._node_address()
            if node:
                # A cluster without a load balancer opens the node port of such a Service all the same.
                waits = ", as its load balancer has no address" if service.spec.type == "LoadBalancer" else ""
                return Address(node, chosen.node_port, f"{shown}, node port{waits}")
        inside = f"{service.metadata.name}.{service.metadata.namespace}.svc.cluster.local"
        return Address(inside, chosen.port, f"{shown}, {INSIDE}")

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
            reason = "no Service of the platform's installation was found"
            for part in ("host", "port"):
                found.missing[f"{system}_{part}"] = look.gateway_missing() if system == "kserve_ingress" else reason
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
