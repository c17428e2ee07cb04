"""Where the platforms are, as Services and Ingresses of different installations say it."""

from __future__ import annotations

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
        metadata=V1ObjectMeta(name=name, namespace=namespace),
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
        list_namespaced_ingress=lambda namespace, **options: SimpleNamespace(items=list(ingresses))
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
