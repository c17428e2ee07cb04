"""The unmodified kubectl and Python client against the running API."""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from pdk_stack.kubernetes.api import watches
from pdk_stack.kubernetes.api.application import LIMITS
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.negotiation import Format
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS
from pdk_stack.kubernetes.store.objects import ObjectStore
from tests.stack.kubernetes.conftest import CREDENTIALS
from tests.support.processes import ServiceProcess

Kubectl = Callable[..., str]


def test_every_call_needs_the_token_and_tls(cluster: ServiceProcess) -> None:
    configuration = kubernetes.client.Configuration()
    configuration.host = cluster.ready["kubernetes"]
    configuration.verify_ssl = False
    with pytest.warns(Warning, match="Unverified HTTPS"), pytest.raises(kubernetes.client.ApiException) as caught:
        kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(configuration)).list_namespace()
    assert caught.value.status == 403
    told = json.loads(caught.value.body)["message"]
    assert told.startswith('namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces"')
    with pytest.raises(OSError):
        urllib.request.urlopen(cluster.ready["kubernetes"] + "/version", timeout=5)


def test_a_body_is_read_only_for_who_may_send_it_and_only_up_to_its_limit(cluster: ServiceProcess) -> None:
    def post(body: bytes, token: str = CREDENTIALS["admin_token"]) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/yaml"}
        call = urllib.request.Request(
            f"{cluster.ready['kubernetes']}/api/v1/namespaces/default/configmaps", body, headers
        )
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(call, timeout=20, context=context)
        with caught.value as answer:
            return answer.code, json.loads(answer.read())["reason"]

    # A MiB of YAML takes the parser many seconds.
    costly = b"- {a: [1, 2, {b: c}]}\n" * 45_000
    began = time.monotonic()
    assert post(costly, "nobody's") == (401, "Unauthorized")
    assert time.monotonic() - began < 2
    assert post(b"#" * (LIMITS.body_bytes + 1)) == (413, "RequestEntityTooLarge")


def test_kubectl_creates_gets_patches_and_deletes(api: Any, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "pets", "--from-literal=dog=0")
    kubectl("create", "secret", "generic", "hidden", "--from-literal=password=p")
    kubectl("create", "serviceaccount", "worker")
    assert kubectl("get", "configmap", "pets", "-o", "jsonpath={.data.dog}") == "0"
    assert base64.b64decode(kubectl("get", "secret", "hidden", "-o", "jsonpath={.data.password}")) == b"p"
    kubectl("patch", "configmap", "pets", "--type", "merge", "-p", '{"data":{"cat":"1"}}')
    kubectl("patch", "configmap", "pets", "--type", "json", "-p", '[{"op":"remove","path":"/data/dog"}]')
    kubectl("label", "configmap", "pets", "kind=animal")
    listed = json.loads(kubectl("get", "configmaps", "-l", "kind=animal", "-o", "json"))
    assert [item["data"] for item in listed["items"]] == [{"cat": "1"}]
    kubectl("delete", "configmap", "pets")
    assert "NotFound" in kubectl("get", "configmap", "pets", code=1)


def test_kubectl_apply_is_idempotent_and_prunes_what_was_taken_out(api: Any, kubectl: Kubectl) -> None:
    def manifest(data: dict[str, str]) -> str:
        return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data})

    assert "created" in kubectl("apply", "-f", "-", text=manifest({"a": "1", "b": "2"}))
    assert "unchanged" in kubectl("apply", "-f", "-", text=manifest({"a": "1", "b": "2"}))
    assert "configured" in kubectl("apply", "-f", "-", text=manifest({"a": "3"}))
    assert json.loads(kubectl("get", "configmap", "applied", "-o", "jsonpath={.data}")) == {"a": "3"}


def test_kubectl_prints_the_columns_of_inference_services(api: Any, kubectl: Kubectl) -> None:
    assert "No resources found" in kubectl("-n", "models", "get", "inferenceservices")
    kubectl("apply", "-f", "-", text=_service_manifest("unserved", "file:///does/not/exist"))
    header = kubectl("-n", "models", "get", "isvc").splitlines()[0].split()
    assert header == ["NAME", "URL", "READY", "PREV", "LATEST", "PREVROLLEDOUTREVISION", "LATESTREADYREVISION", "AGE"]
    kubectl("-n", "models", "delete", "isvc", "unserved")


def _service_manifest(name: str, uri: str) -> str:
    predictor = {"pytorch": {"storageUri": uri}}
    metadata = {"name": name, "namespace": "models"}
    kind = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    return json.dumps({**kind, "metadata": metadata, "spec": {"predictor": predictor}})


def test_what_is_not_offered_is_refused_by_name(api: Any, kubectl: Kubectl) -> None:
    assert "runs no containers" in kubectl("run", "busybox", "--image=busybox", code=1)
    assert "resource type" in kubectl("get", "flowers", code=1)


def test_deleting_a_namespace_deletes_what_is_in_it(api: Any, kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "short-lived")
    kubectl("-n", "short-lived", "create", "configmap", "inside")
    kubectl("delete", "namespace", "short-lived")
    kubectl("create", "namespace", "short-lived")
    assert "inside" not in kubectl("-n", "short-lived", "get", "configmaps")


def test_the_node_has_what_the_official_client_wants(api: kubernetes.client.ApiClient) -> None:
    (node,) = kubernetes.client.CoreV1Api(api).list_node().items
    assert node.metadata.name == "embedded"
    assert node.status.node_info.machine_id == node.metadata.uid


def test_the_ingress_is_found_where_istio_would_be(api: Any, cluster: ServiceProcess) -> None:
    service = kubernetes.client.CoreV1Api(api).read_namespaced_service("istio-ingressgateway", "istio-system")
    port = next(each.port for each in service.spec.ports if each.name == "http2")
    assert f"http://{service.status.load_balancer.ingress[0].ip}:{port}" == cluster.ready["ingress"]


def test_a_watch_sees_what_is_there_and_what_comes(api: Any) -> None:
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_config_map("default", {"metadata": {"name": "w1", "labels": {"watch": "me"}}})
    timer = threading.Timer(
        0.3, core.create_namespaced_config_map, ("default", {"metadata": {"name": "w2", "labels": {"watch": "me"}}})
    )
    timer.start()
    seen = []
    watch = kubernetes.watch.Watch()
    stream = watch.stream(core.list_namespaced_config_map, "default", label_selector="watch=me", timeout_seconds=10)
    for event in stream:
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            watch.stop()
    timer.join()
    assert seen == [("ADDED", "w1"), ("ADDED", "w2")]


def test_a_watch_answers_before_anything_happens(api: Any) -> None:
    # kubectl wait and rollout status wait for the head of the answer, even when they have seen enough.
    path = "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=1000000&timeoutSeconds=30"
    answer = api.call_api(path, "GET", auth_settings=["BearerToken"], _preload_content=False, _request_timeout=5)
    assert answer.status == 200
    assert next(iter(answer.stream(1))) == watches.PING
    answer.close()


def test_an_idle_watch_sends_nothing_that_looks_like_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "HEARTBEAT_SECONDS", 0.01)
    store = ObjectStore(tmp_path / "objects.sqlite")
    query = {"resourceVersion": str(store.version), "timeoutSeconds": "60", "watch": "true"}

    def pieces(**more: str) -> Iterator[bytes]:
        asked = {name: [value] for name, value in (query | more).items()}
        return watches.Watch(store, ResourceCall("watch", CONFIG_MAPS, None, "", query=asked), Format()).lines()

    assert set(itertools.islice(pieces(), 5)) == {watches.PING}
    with pytest.raises(StatusError, match='parsing "new": invalid syntax'):
        pieces(resourceVersion="new")
    marked = list(itertools.islice(pieces(allowWatchBookmarks="true"), 2))
    store.close()
    bookmark = json.loads(marked[-1])
    assert (bookmark["type"], bookmark["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
    assert not watches.PING.strip()
    assert b"\n" not in watches.PING


def test_strategic_merge_patch_of_the_python_client(api: Any) -> None:
    core = kubernetes.client.CoreV1Api(api)
    core.create_namespaced_service_account("default", {"metadata": {"name": "s"}, "secrets": [{"name": "a"}]})
    patched = core.patch_namespaced_service_account("s", "default", {"secrets": [{"name": "b"}]})
    assert [each.name for each in patched.secrets] == ["b", "a"]


def test_secrets_must_be_base64(api: Any) -> None:
    with pytest.raises(kubernetes.client.ApiException) as caught:
        kubernetes.client.CoreV1Api(api).create_namespaced_secret(
            "default", {"metadata": {"name": "bad"}, "data": {"k": "not base64!"}}
        )
    assert caught.value.status == 400


def test_the_ingress_names_the_hosts_that_it_knows(cluster: ServiceProcess) -> None:
    call = urllib.request.Request(cluster.ready["ingress"] + "/v1/models/x:predict", b"{}", {"Host": "who.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(call, timeout=5)
    with caught.value as answer:
        assert answer.code == 404
        assert "Hosts that are known" in json.loads(answer.read())["error"]
