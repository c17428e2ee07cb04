"""Where the platforms are, as Services and Ingresses of different installations say it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import (
    ApiException,
    V1HTTPIngressPath,
    V1HTTPIngressRuleValue,
    V1Ingress,
    V1IngressBackend,
    V1IngressLoadBalancerIngress,
    V1IngressLoadBalancerStatus,
    V1IngressRule,
    V1IngressServiceBackend,
    V1IngressSpec,
    V1IngressStatus,
    V1IngressTLS,
    V1LoadBalancerIngress,
    V1LoadBalancerStatus,
    V1Node,
    V1NodeAddress,
    V1NodeStatus,
    V1ObjectMeta,
    V1Service,
    V1ServicePort,
    V1ServiceSpec,
    V1ServiceStatus,
)

from pdk_nb.configure.discovery import Discovery

MASTER = "determined-master-service-pachyderm"


def service(
    name: str, *ports: tuple[str, int], kind: str = "ClusterIP", namespace: str = "default", **more: Any
) -> Any:
    """A Service; ``address`` gives it a load balancer, ``node_port`` a node's port."""
    offered = [V1ServicePort(name=label, port=port, node_port=more.get("node_port")) for label, port in ports]
    address = more.get("address", "")
    entry = V1LoadBalancerIngress(hostname=address) if address else None
    return V1Service(
        metadata=V1ObjectMeta(name=name, namespace=namespace, labels=more.get("labels")),
        spec=V1ServiceSpec(type=kind, ports=offered),
        status=V1ServiceStatus(load_balancer=V1LoadBalancerStatus(ingress=[entry] if entry else None)),
    )


def ingress(backend: str, *, host: str = "", address: str = "", tls: bool = False) -> Any:
    """An Ingress that leads to a Service."""
    path = V1HTTPIngressPath(
        path_type="Prefix", backend=V1IngressBackend(service=V1IngressServiceBackend(name=backend))
    )
    entries = [V1IngressLoadBalancerIngress(hostname=address)] if address else None
    return V1Ingress(
        metadata=V1ObjectMeta(name="mlde-ingress", namespace="default"),
        spec=V1IngressSpec(
            rules=[V1IngressRule(host=host or None, http=V1HTTPIngressRuleValue(paths=[path]))],
            tls=[V1IngressTLS(hosts=[host])] if tls else None,
        ),
        status=V1IngressStatus(load_balancer=V1IngressLoadBalancerStatus(ingress=entries)),
    )


def look(*services: Any, ingresses: tuple[Any, ...] = (), nodes: tuple[Any, ...] = ()) -> Discovery:
    """A cluster that has these and nothing else."""

    def nothing(*args: Any, **options: Any) -> Any:
        raise ApiException(status=404)

    found = Discovery(None)
    found._core = SimpleNamespace(
        list_service_for_all_namespaces=lambda **options: SimpleNamespace(items=list(services)),
        list_node=lambda **options: SimpleNamespace(items=list(nodes)),
        read_namespaced_config_map=nothing,
        read_namespaced_secret=nothing,
    )
    found._networking = SimpleNamespace(
        list_namespaced_ingress=lambda namespace, **options: SimpleNamespace(items=list(ingresses)),
        list_ingress_for_all_namespaces=lambda **options: SimpleNamespace(items=list(ingresses)),
    )
    return found


def where(address: Any) -> tuple[str, int]:
    assert address is not None
    return address.host, address.port


def test_pachyderm_behind_its_proxy_or_by_itself() -> None:
    proxy = service(
        "pachyderm-proxy", ("https-port", 443), ("http-port", 9090), kind="LoadBalancer", address="lb.example"
    )
    pachd = service("pachd", ("s3gateway-port", 30600), ("api-grpc-port", 30650), namespace="pachyderm")
    assert where(look(pachd, proxy).pachyderm()) == ("lb.example", 9090)
    assert where(look(pachd).pachyderm()) == ("pachd.pachyderm.svc.cluster.local", 30650)
    assert look(pachd).pachyderm_namespace() == "pachyderm"
    assert look().pachyderm() is None


def test_a_node_port_needs_a_nodes_address() -> None:
    gateway = service("istio-ingressgateway", ("http2", 80), kind="NodePort", namespace="istio-system", node_port=31380)
    inside, outside = V1NodeAddress("10.0.0.4", "InternalIP"), V1NodeAddress("203.0.113.4", "ExternalIP")

    def node(*addresses: Any) -> Any:
        return V1Node(metadata=V1ObjectMeta(name="n"), status=V1NodeStatus(addresses=list(addresses)))

    assert where(look(gateway, nodes=(node(inside, outside),)).gateway()) == ("203.0.113.4", 31380)
    assert where(look(gateway, nodes=(node(inside),)).gateway()) == ("10.0.0.4", 31380)
    assert where(look(gateway).gateway()) == ("istio-ingressgateway.istio-system.svc.cluster.local", 80)


def test_another_gateway_than_istios() -> None:
    kourier = service("kourier", ("http2", 80), kind="LoadBalancer", namespace="kourier-system", address="k.example")
    assert where(look(kourier).gateway()) == ("k.example", 80)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"address": "abc.elb.example.com"}, ("abc.elb.example.com", 80)),
        ({"host": "mlde.example.com", "tls": True}, ("mlde.example.com", 443)),
        # An Ingress that has no address yet says nothing.
        ({}, (f"{MASTER}.default.svc.cluster.local", 8080)),
    ],
)
def test_determined_behind_an_ingress(given: dict[str, Any], expected: tuple[str, int]) -> None:
    master = service(MASTER, ("master-port", 8080))
    others = ingress("somebody-else", address="other.example.com")
    assert where(look(master, ingresses=(others, ingress(MASTER, **given))).determined()) == expected
    assert look(ingresses=(others,)).determined() is None


def test_who_may_not_list_everything_sees_the_usual_namespaces() -> None:
    found = look()
    listed = service("pachd", ("api-grpc-port", 30650))

    def forbidden(**options: Any) -> Any:
        raise ApiException(status=403)

    def some(namespace: str, **options: Any) -> Any:
        if namespace != "default":
            raise ApiException(status=403)
        return SimpleNamespace(items=[listed])

    found._core.list_service_for_all_namespaces = forbidden
    found._core.list_namespaced_service = some
    assert where(found.pachyderm()) == ("pachd.default.svc.cluster.local", 30650)


def kserve(found: Discovery, mode: str = "", **ingress: Any) -> Discovery:
    """The cluster with KServe's configuration."""

    def read(name: str, namespace: str, **options: Any) -> Any:
        if (name, namespace) != ("inferenceservice-config", "kserve"):
            raise ApiException(status=404)
        deploy = {"defaultDeploymentMode": mode} if mode else {}
        return SimpleNamespace(data={"deploy": json.dumps(deploy), "ingress": json.dumps(ingress)})

    found._core.read_namespaced_config_map = read
    return found


KOURIER = service("kourier", ("http2", 80), kind="LoadBalancer", namespace="kourier-system", address="kourier")
ISTIO = service("istio-ingressgateway", ("http2", 80), kind="LoadBalancer", namespace="istio-system", address="istio")
TWIN = service("istio-ingressgateway", ("http2", 80), kind="LoadBalancer", namespace="gateways", address="twin")
TRAEFIK = service(
    "traefik", ("websecure", 443), ("web", 8000), kind="LoadBalancer", namespace="kube-system", address="traefik"
)
NGINX = service(
    "ingress-nginx-controller",
    ("https", 443),
    ("http", 80),
    kind="NodePort",
    namespace="ingress-nginx",
    node_port=31080,
)
ADMISSION = service(
    "other-nginx-admission",
    ("https", 443),
    namespace="ingress-nginx",
    labels={"app.kubernetes.io/name": "ingress-nginx"},
)
RENAMED = service(
    "edge", ("http", 80), kind="LoadBalancer", address="edge", labels={"app.kubernetes.io/name": "ingress-nginx"}
)
HAPROXY = service("haproxy-kubernetes-ingress", ("http", 80), kind="LoadBalancer", address="haproxy")
NODE = V1Node(metadata=V1ObjectMeta(name="n"), status=V1NodeStatus(addresses=[V1NodeAddress("10.0.0.4", "InternalIP")]))
NAMED = {"ingressService": "istio-ingressgateway.gateways.svc.cluster.local"}


@pytest.mark.parametrize(
    ("mode", "configured", "services", "expected"),
    [
        ("Serverless", {}, [KOURIER, TRAEFIK], ("kourier", 80)),
        ("Serverless", {}, [KOURIER, ISTIO], ("istio", 80)),
        ("Serverless", NAMED, [ISTIO, TWIN, KOURIER], ("twin", 80)),
        # KServe's default names Istio, and nobody changes it for Kourier.
        ("Serverless", NAMED, [KOURIER], ("kourier", 80)),
        ("Serverless", {}, [TRAEFIK], None),
        ("RawDeployment", {"ingressClassName": "traefik", **NAMED}, [KOURIER, ISTIO, TRAEFIK], ("traefik", 8000)),
        ("RawDeployment", {"ingressClassName": "nginx"}, [ADMISSION, KOURIER, NGINX], ("10.0.0.4", 31080)),
        ("RawDeployment", {"ingressClassName": "nginx"}, [ADMISSION, RENAMED], ("edge", 80)),
        ("RawDeployment", {"ingressClassName": "haproxy"}, [HAPROXY], ("haproxy", 80)),
        ("RawDeployment", {"ingressClassName": "istio"}, [ISTIO, KOURIER], ("istio", 80)),
        ("RawDeployment", {}, [ISTIO], ("istio", 80)),
        # A gateway of Knative beside it doesn't know raw services.
        ("RawDeployment", {"ingressClassName": "traefik"}, [KOURIER, ISTIO], None),
        ("Standard", {"ingressClassName": "traefik"}, [TRAEFIK], ("traefik", 8000)),
        # KServe's configuration can't be read.
        ("", {}, [TRAEFIK, KOURIER], ("kourier", 80)),
        ("", {}, [TRAEFIK], ("traefik", 8000)),
    ],
)
def test_the_gateway_follows_kserves_mode(
    mode: str, configured: dict[str, Any], services: list[Any], expected: tuple[str, int] | None
) -> None:
    found = kserve(look(*services, nodes=(NODE,)), mode, **configured).gateway()
    assert (where(found) if found else None) == expected


def test_the_address_in_an_ingress_status() -> None:
    published = ingress("dog-cat-predictor", address="203.0.113.5")
    published.spec.ingress_class_name = "traefik"
    found = kserve(look(ingresses=(published,)), "RawDeployment", ingressClassName="traefik").gateway()
    assert where(found) == ("203.0.113.5", 80)
    assert found is not None and "Ingress default/mlde-ingress" in found.source
    assert kserve(look(ingresses=(published,)), "RawDeployment", ingressClassName="nginx").gateway() is None


def test_a_load_balancer_that_never_comes_leaves_the_node_port() -> None:
    waits = service("traefik", ("web", 80), kind="LoadBalancer", node_port=30080)
    found = kserve(look(waits, nodes=(NODE,)), "RawDeployment", ingressClassName="traefik").gateway()
    assert where(found) == ("10.0.0.4", 30080)
    assert found is not None and "load balancer has no address" in found.source


@pytest.mark.parametrize("namespace", ["kourier-system", "traefik", "ingress-nginx", "haproxy-controller", "gateways"])
def test_gateways_are_looked_for_without_the_right_to_list_all_services(namespace: str) -> None:
    asked: list[str] = []

    def forbidden(**options: Any) -> Any:
        raise ApiException(status=403)

    def some(name: str, **options: Any) -> Any:
        asked.append(name)
        return SimpleNamespace(items=[])

    found = kserve(look(), "Serverless", **NAMED)
    found._core.list_service_for_all_namespaces, found._core.list_namespaced_service = forbidden, some
    assert found.gateway() is None
    assert namespace in asked
    assert "" not in asked


def test_what_is_missing_is_named() -> None:
    assert "traefik" in kserve(look(), "RawDeployment", ingressClassName="traefik").gateway_missing()
    assert "kourier" in kserve(look(), "Serverless").gateway_missing()


@pytest.mark.parametrize(
    ("mode", "host", "port", "wrong"),
    [
        ("RawDeployment", "kourier", 80, "kourier"),
        ("RawDeployment", "traefik", 8000, ""),
        # A forwarded port, or a name of one's own.
        ("RawDeployment", "localhost", 8080, ""),
        ("Serverless", "traefik", 8000, "traefik"),
        ("Serverless", "kourier", 80, ""),
    ],
)
def test_a_gateway_that_does_not_know_the_services(mode: str, host: str, port: int, wrong: str) -> None:
    found = kserve(look(KOURIER, TRAEFIK), mode, ingressClassName="traefik").wrong_gateway(host, port)
    assert (found[0].host if found else "") == wrong
