"""The proxy to pods: what a pod's queue-proxy counts, and nothing else."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import kubernetes
import pytest

from pdk_nb.platforms import cluster as lab
from pdk_nb.platforms import serving
from pdk_nb.platforms.serving.pods import pods_of
from tests.stack.kubernetes.serving import KIND, NAMESPACE, Service, manifest
from tests.support.processes import ServiceProcess

# Answers with the code that the path names, after the seconds that it names.
SERVER = """
import http.server, os, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        _, code, seconds = self.path.split("/")
        time.sleep(float(seconds))
        self.send_response(int(code))
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Counted(Service):
    """A service whose requests are counted."""

    def begin(self) -> None:
        container = {"name": "kserve-container", "image": "lab/own:1", "command": ["python", "-c", SERVER]}
        body = manifest(self.name, "")
        body["spec"]["predictor"] = {"containers": [container]}
        self._custom.create_namespaced_custom_object(*KIND, body)
        self.wait_ready()

    def ask(self, path: str) -> int:
        headers = {"Host": f"{self.name}.{NAMESPACE}.example.com"}
        call = urllib.request.Request(f"{self.cluster.ready['ingress']}/{path}", headers=headers)
        try:
            with urllib.request.urlopen(call, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def service(cluster: ServiceProcess, api: Any) -> Iterator[Counted]:
    made = Counted(cluster, api, "counted")
    made.begin()
    yield made
    made.remove()


@pytest.fixture
def pod(service: Counted, api: Any) -> str:
    found = kubernetes.client.CoreV1Api(api).list_namespaced_pod(NAMESPACE)
    return next(str(each.metadata.name) for each in found.items if each.metadata.name.startswith("counted-"))


def test_the_lab_reads_how_a_service_is_used(service: Counted, cluster: ServiceProcess) -> None:
    connection = lab.connect(kubeconfig=cluster.ready["kubeconfig"], namespace=NAMESPACE)
    pods = pods_of(connection, service.name)
    before = serving.read_usage(connection, pods)
    assert before.problem == ""
    assert [service.ask("200/0") for _ in range(6)] == [200] * 6
    assert [service.ask("200/0.3"), service.ask("507/0")] == [200, 507]
    after = serving.read_usage(connection, pods)
    used = serving.between(before, after).counts
    assert (used.requests, used.errors) == (8, {"507": 1})
    slowest = used.quantile(0.99)
    # The bucket of the slow one reaches from 300 to 350 ms, if the machine isn't busy.
    assert slowest is not None and slowest >= 300


def test_only_the_metrics_are_behind_the_proxy(service: Counted, api: Any, pod: str) -> None:
    core = kubernetes.client.CoreV1Api(api)

    def code(*path: str, method: str = "get") -> int:
        name = f"connect_{method}_namespaced_pod_proxy_with_path"
        try:
            getattr(core, name)(path[0], NAMESPACE, path[1])
        except kubernetes.client.ApiException as error:
            return int(error.status)
        return 200

    assert code(f"{pod}:9091", "metrics") == 200
    assert code(f"http:{pod}:9091", "metrics") == 200
    for place in (f"{pod}:8080", pod, f"{pod}:9090"):
        assert code(place, "metrics") == 501
    assert code(f"{pod}:9091", "debug/pprof") == 501
    assert code(f"{pod}:9091", "metrics", method="post") == 501
    assert code("nobody:9091", "metrics") == 404


def test_the_right_is_of_its_own(service: Counted, cluster: ServiceProcess, api: Any, pod: str) -> None:
    rights = kubernetes.client.RbacAuthorizationV1Api(api)
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "reader"}})
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": NAMESPACE}
    binding = {"metadata": {"name": "reader"}, "subjects": [subject]}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    rights.create_namespaced_role_binding(NAMESPACE, {**binding, "roleRef": role})
    token = core.create_namespaced_service_account_token("reader", NAMESPACE, {"spec": {"audiences": []}})
    configuration = kubernetes.client.Configuration()
    configuration.host, configuration.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    configuration.api_key = {"authorization": f"Bearer {token.status.token}"}
    person = lab.Cluster(None, kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration)), NAMESPACE, "x")
    pods = pods_of(person, service.name)
    assert "get pods/proxy in the namespace models" in serving.read_usage(person, pods).problem
    own = [{"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]}]
    rights.create_namespaced_role(NAMESPACE, {"metadata": {"name": "usage"}, "rules": own})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "usage"}
    rights.create_namespaced_role_binding(NAMESPACE, {**binding, "metadata": {"name": "usage"}, "roleRef": role})
    assert serving.read_usage(person, pods).problem == ""
