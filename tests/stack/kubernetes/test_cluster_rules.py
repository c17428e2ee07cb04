"""What every cluster has and does: namespaces, accounts and their tokens, kinds without a controller, deletions."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.stack.kubernetes.conftest import CREDENTIALS
from tests.stack.kubernetes.serving import wait_for
from tests.support.processes import ServiceProcess

Kubectl = Callable[..., str]
CORE = "/api/v1/namespaces/default"


@pytest.fixture
def http(cluster: ServiceProcess) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {CREDENTIALS['admin_token']}"}
    with httpx.Client(base_url=cluster.ready["kubernetes"], headers=headers, verify=False, timeout=20) as client:
        yield client


def config_map(name: str, **meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}}


def test_each_namespace_has_an_account_and_the_root_certificate(http: httpx.Client) -> None:
    http.post("/api/v1/namespaces", json={"metadata": {"name": "fresh"}})
    place = "/api/v1/namespaces/fresh"
    for path in (f"{place}/serviceaccounts/default", f"{place}/configmaps/kube-root-ca.crt"):
        found = http.get(path).json()
        # The controllers make them again.
        http.delete(path)
        assert http.get(path).json()["metadata"]["uid"] != found["metadata"]["uid"]
    assert "BEGIN CERTIFICATE" in http.get(f"{place}/configmaps/kube-root-ca.crt").json()["data"]["ca.crt"]
    deleted = http.delete(place).json()
    assert (deleted["kind"], deleted["status"]["phase"]) == ("Namespace", "Terminating")
    assert http.get(place).status_code == 404


def test_a_namespace_waits_for_what_a_finalizer_holds(http: httpx.Client) -> None:
    http.post("/api/v1/namespaces", json={"metadata": {"name": "slow"}})
    place = "/api/v1/namespaces/slow"
    http.post(f"{place}/configmaps", json=config_map("held", finalizers=["example.com/f"]))
    http.delete(place)
    assert http.get(place).json()["status"]["phase"] == "Terminating"
    refused = http.post(f"{place}/configmaps", json=config_map("late"))
    assert (refused.status_code, refused.json()["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
    merge = {"Content-Type": "application/merge-patch+json"}
    http.patch(f"{place}/configmaps/held", headers=merge, json={"metadata": {"finalizers": None}})
    assert http.get(place).status_code == 404


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
def test_some_namespaces_cannot_be_deleted(http: httpx.Client, name: str) -> None:
    answer = http.delete(f"/api/v1/namespaces/{name}")
    told = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
    assert (answer.status_code, answer.json()["message"]) == (403, told)
    assert http.get(f"/api/v1/namespaces/{name}").status_code == 200


def test_a_token_stands_for_its_account_and_goes_with_it(http: httpx.Client) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    http.post(f"{CORE}/serviceaccounts", json=account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    path = f"{CORE}/serviceaccounts/robot/token"
    token = http.post(path, json=request).json()["status"]["token"]
    own = {"Authorization": f"Bearer {token}"}
    who = http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", headers=own, json={}).json()
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:robot"
    assert http.get(f"{CORE}/secrets", headers=own).status_code == 403
    assert http.get("/metrics", headers=own).json()["message"].endswith('cannot get path "/metrics"')
    assert http.get("/api/v1", headers=own).status_code == 200
    short = http.post(path, json={"spec": {"expirationSeconds": 5}})
    assert (short.status_code, "less than 10 minutes" in short.json()["message"]) == (422, True)
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "exp": claims["exp"] + 1}).encode()).decode().rstrip("=")
    for other in (f"{head}.{forged}.{signature}", "nonsense", f"{head}.{body}."):
        assert http.get("/version", headers={"Authorization": f"Bearer {other}"}).status_code == 401
    http.delete(f"{CORE}/serviceaccounts/robot")
    http.post(f"{CORE}/serviceaccounts", json=account)
    assert http.get("/api/v1", headers=own).status_code == 401


@pytest.mark.parametrize(
    ("path", "code"),
    [("/version", 200), ("/healthz", 200), ("/api", 403), ("/apis", 403), ("/metrics", 403), (f"{CORE}/secrets", 403)],
)
def test_without_a_token_only_health_and_version_answer(http: httpx.Client, path: str, code: int) -> None:
    answer = http.get(path, headers={"Authorization": ""})
    assert answer.status_code == code
    if code == 403:
        assert 'User "system:anonymous" cannot' in answer.json()["message"]


EMPTY = [
    "/api/v1/endpoints",
    "/api/v1/limitranges",
    "/api/v1/replicationcontrollers",
    "/api/v1/resourcequotas",
    "/apis/apps/v1/daemonsets",
    "/apis/apps/v1/statefulsets",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/batch/v1/cronjobs",
    "/apis/batch/v1/jobs",
    "/apis/coordination.k8s.io/v1/leases",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/networking.k8s.io/v1/ingresses",
    "/apis/networking.k8s.io/v1/networkpolicies",
    "/apis/policy/v1/poddisruptionbudgets",
]


@pytest.mark.parametrize("path", EMPTY)
def test_kinds_without_a_controller_are_empty_and_refuse_writes(http: httpx.Client, path: str) -> None:
    root, _, plural = path.rpartition("/")
    listed = http.get(path).json()
    assert listed["items"] == []
    kind = listed["kind"].removesuffix("List")
    body = {"apiVersion": listed["apiVersion"], "kind": kind, "metadata": {"name": "a"}}
    answer = http.post(f"{root}/namespaces/default/{plural}", json=body)
    assert answer.status_code == 501
    assert f"does not offer create of {plural}: the embedded cluster has no controller" in answer.json()["message"]
    assert http.delete(f"{root}/namespaces/default/{plural}/a").status_code == 404


def test_apply_prunes_what_the_files_no_longer_hold(api: Any, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "left")
    kubectl("label", "configmap", "left", "app=p")
    kept = json.dumps(config_map("kept", labels={"app": "p"}))
    # Only what kubectl applied itself is pruned.
    kubectl("apply", "-f", "-", text=json.dumps(config_map("gone", labels={"app": "p"})))
    told = kubectl("apply", "-n", "default", "-f", "-", "--prune", "-l", "app=p", text=kept)
    assert "configmap/gone pruned" in told
    assert "NotFound" in kubectl("get", "configmap", "gone", code=1)
    kubectl("get", "configmap", "left")


def test_dependents_are_orphaned_or_deleted_before_their_owner(http: httpx.Client) -> None:
    for policy, finalizer, code in (("Orphan", "orphan", 200), ("Foreground", "foregroundDeletion", 404)):
        owner = http.post(f"{CORE}/configmaps", json=config_map(f"owner-{code}")).json()
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"owner-{code}", "uid": owner["metadata"]["uid"]}
        http.post(f"{CORE}/configmaps", json=config_map(f"owned-{code}", ownerReferences=[reference]))
        answer = http.request("DELETE", f"{CORE}/configmaps/owner-{code}", json={"propagationPolicy": policy}).json()
        assert answer["metadata"]["finalizers"] == [finalizer]
        wait_for(lambda name=f"owner-{code}": http.get(f"{CORE}/configmaps/{name}").status_code == 404)
        assert http.get(f"{CORE}/configmaps/owned-{code}").status_code == code


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"uid": "x"}, "the UID in the precondition (x) does not match the UID in record"),
        ({"resourceVersion": "1"}, "the ResourceVersion in the precondition (1) does not match the ResourceVersion in"),
    ],
)
def test_a_deletion_has_preconditions(http: httpx.Client, wanted: dict[str, str], told: str) -> None:
    path = f"{CORE}/configmaps/kept-by-precondition"
    http.post(f"{CORE}/configmaps", json=config_map("kept-by-precondition"))
    answer = http.request("DELETE", path, json={"preconditions": wanted})
    assert answer.status_code == 409
    assert told in answer.json()["message"]
    assert http.get(path).status_code == 200


def test_a_claim_is_protected_and_goes_at_once_when_nothing_uses_it(http: httpx.Client) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec}
    made = http.post(f"{CORE}/persistentvolumeclaims", json=claim).json()
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    assert http.delete(f"{CORE}/persistentvolumeclaims/c").json()["metadata"]["deletionTimestamp"]
    assert http.get(f"{CORE}/persistentvolumeclaims/c").status_code == 404


def test_the_node_the_class_and_the_service_of_the_api_are_there(http: httpx.Client, cluster: ServiceProcess) -> None:
    node = http.get("/api/v1/nodes/embedded").json()
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "embedded"
    (ready,) = node["status"]["conditions"]
    assert ready["lastHeartbeatTime"] >= ready["lastTransitionTime"]
    (standard,) = http.get("/apis/storage.k8s.io/v1/storageclasses").json()["items"]
    assert standard["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    spec = http.get(f"{CORE}/services/kubernetes").json()["spec"]
    assert f"https://{spec['clusterIP']}:{spec['ports'][0]['port']}" == cluster.ready["kubernetes"]


def test_events_are_in_both_groups(http: httpx.Client) -> None:
    about = {"kind": "ConfigMap", "name": "a", "namespace": "default"}
    http.post(f"{CORE}/events", json={"metadata": {"name": "e"}, "involvedObject": about, "message": "words"})
    place = "/apis/events.k8s.io/v1/namespaces/default/events"
    newer = http.get(f"{place}/e").json()
    assert (newer["regarding"], newer["note"], newer["apiVersion"]) == (about, "words", "events.k8s.io/v1")
    assert [each["metadata"]["name"] for each in http.get(place).json()["items"]] == ["e"]
    assert http.post(place, json={}).status_code == 501


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/gold", 404),
        ("GET", "/apis/gold.example.com", 404),
        ("GET", "/api/v2", 404),
        ("GET", "/api/v1/golds", 404),
        ("GET", "/api/v1//namespaces", 404),
        ("GET", f"{CORE}/configmaps/a/b/c", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("PATCH", f"{CORE}/configmaps", 405),
        ("PUT", "/api/v1/namespaces", 405),
        ("DELETE", "/api/v1/namespaces", 405),
        ("POST", "/api", 405),
        ("GET", "/metrics", 501),
        ("GET", "/openapi/v2", 501),
    ],
)
def test_paths_and_methods_that_are_refused(http: httpx.Client, method: str, path: str, code: int) -> None:
    json_patch = {"Content-Type": "application/merge-patch+json"}
    assert http.request(method, path, headers=json_patch if method == "PATCH" else {}).status_code == code


def test_an_error_without_details_says_so(http: httpx.Client) -> None:
    answer = http.get("/api/v1/golds")
    assert answer.json()["details"] == {}
    assert answer.content.endswith(b"\n")
    assert http.get("/gold").text == "404 page not found\n"


def test_a_body_beyond_the_limit_is_refused_with_it(http: httpx.Client) -> None:
    answer = http.post(f"{CORE}/configmaps", json={**config_map("big"), "data": {"a": "x" * 3_300_000}})
    assert (answer.status_code, answer.json()["message"]) == (413, "Request entity too large: limit is 3145728")


@pytest.mark.parametrize(
    ("media", "patch", "code"),
    [
        ("application/merge-patch+json", [1], 400),
        ("application/merge-patch+json", {"data": "x"}, 422),
        ("application/merge-patch+json", {"metadata": {"name": "z"}}, 400),
        ("application/merge-patch+json", {"metadata": "x"}, 422),
        ("application/json-patch+json", {"op": "add"}, 400),
        ("application/json-patch+json", [{"op": "gold", "path": "/data"}], 422),
        ("application/json-patch+json", [{"op": "remove", "path": "/none"}], 422),
        ("application/json-patch+json", [{"op": 5}], 400),
        ("application/strategic-merge-patch+json", {"data": {"$patch": "gold"}}, 400),
        ("application/strategic-merge-patch+json", {"metadata": {"ownerReferences": [{"uid": []}]}}, 400),
        ("application/json", {}, 415),
        ("", {}, 415),
    ],
)
def test_patches_that_are_refused(http: httpx.Client, media: str, patch: Any, code: int) -> None:
    http.post(f"{CORE}/configmaps", json={**config_map("patched"), "data": {"a": "1"}})
    answer = http.patch(f"{CORE}/configmaps/patched", content=json.dumps(patch), headers={"Content-Type": media})
    assert answer.status_code == code
    assert http.get(f"{CORE}/configmaps/patched").json()["data"] == {"a": "1"}


def test_strict_validation_refuses_what_the_default_warns_of(http: httpx.Client) -> None:
    body = {**config_map("odd"), "gold": 1}
    for mode, code, warned in (("Strict", 400, False), ("Warn", 201, True), ("", 201, True), ("Ignore", 201, False)):
        answer = http.post(f"{CORE}/configmaps", params={"dryRun": "All", "fieldValidation": mode}, json=body)
        assert (answer.status_code, "warning" in answer.headers) == (code, warned), mode


def test_nothing_listens_behind_a_service_of_ones_own(http: httpx.Client) -> None:
    http.post(f"{CORE}/services", json={"metadata": {"name": "mute"}, "spec": {"ports": [{"port": 80}]}})
    for name in ("mute", "mute:80", "http:mute:80"):
        answer = http.get(f"{CORE}/services/{name}/proxy/")
        assert answer.status_code == 503
        assert answer.json()["message"] == f'no endpoints available for service "{name}"'
    assert http.get(f"{CORE}/services/none/proxy/").status_code == 404
    # The API's own has a listener, to which it doesn't forward.
    assert http.get(f"{CORE}/services/kubernetes/proxy/").status_code == 501


def test_a_pod_of_an_unknown_account_or_namespace_is_refused_before_it_is_not_offered(http: httpx.Client) -> None:
    pod: dict[str, Any] = {
        "metadata": {"name": "p"},
        "spec": {"serviceAccountName": "none", "containers": [{"name": "a", "image": "x"}]},
    }
    refused = http.post(f"{CORE}/pods", json=pod)
    assert refused.status_code == 403
    assert refused.json()["message"] == (
        'pods "p" is forbidden: error looking up service account default/none: serviceaccount "none" not found'
    )
    assert http.post("/api/v1/namespaces/nowhere/pods", json=pod).status_code == 404
    pod["spec"].pop("serviceAccountName")
    assert http.post(f"{CORE}/pods", json=pod).status_code == 501
