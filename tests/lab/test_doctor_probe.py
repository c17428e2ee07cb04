"""The doctor's probe pods: what they are, what they answer, and that they go away."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest

from pdk_nb.doctor import clock, determined, images, probe, route, storage
from pdk_nb.doctor.context import Context
from pdk_nb.doctor.finding import Finding
from pdk_nb.doctor.probe import SCRIPT
from pdk_nb.settings import Settings
from pdk_shared.errors import ServiceUnreachable
from tests.support.doctor_tools import Answers, serving

TRAIN, DEPLOY = "registry.test:5000/team/train@sha256:1", "registry.test:5000/team/deploy@sha256:2"
KNOWN = Settings(
    kubeconfig=None,
    namespace="default",
    mldm_host="10.0.0.1",
    mldm_port=80,
    mldm_s3_endpoint="pachd.default.invalid:30600",
    pachd_lb_service_host="pachd.default",
    pachd_lb_service_port=30650,
    mlde_host="10.0.0.1",
    mlde_port=8080,
)
TOLD = {
    "gateway": {"value": "3", "error": "", "now": 1.0},
    "route": {"value": "", "error": "", "now": 1.0},
    "clock": {"value": "Thu, 01 Jan 1970 00:00:01 GMT", "error": "", "now": 1.0},
}


class Cluster:
    """A cluster that runs probe pods: by image, what becomes of the pod."""

    def __init__(self, statuses: dict[str, dict[str, Any]], log: str = json.dumps(TOLD), refuses: int = 0) -> None:
        self.statuses, self.log, self.refuses = statuses, log, refuses
        self.made: list[dict[str, Any]] = []
        self.deleted: list[str] = []

    def create_namespaced_pod(self, namespace: str, body: dict[str, Any], **options: Any) -> None:
        if self.refuses:
            raise kubernetes.client.ApiException(status=self.refuses, reason="Forbidden")
        self.made.append(body)

    def read_namespaced_pod(self, name: str, namespace: str, **options: Any) -> Any:
        body = next(each for each in self.made if each["metadata"]["name"] == name)
        status = self.statuses[body["spec"]["containers"][0]["image"]]
        return SimpleNamespace(data=json.dumps({**body, "status": status}))

    def read_namespaced_pod_log(self, name: str, namespace: str, **options: Any) -> Any:
        assert options["_preload_content"] is False, "the client would take JSON for an object"
        return SimpleNamespace(data=f"a warning of some library\n{self.log}\n".encode())

    def delete_namespaced_pod(self, name: str, namespace: str, **options: Any) -> None:
        self.deleted.append(name)

    def list_node(self, **options: Any) -> Any:
        return SimpleNamespace(data=json.dumps({"items": []}))

    def list_namespaced_pod(self, *given: Any, **options: Any) -> Any:
        return SimpleNamespace(data=json.dumps({"items": []}))


DONE = {"phase": "Succeeded"}


def waits(reason: str, message: str = "unauthorized") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "probe", "state": state}]}


def context(cluster: Cluster, *, may_probe: bool = True) -> Context:
    found = Context(settings=KNOWN, probe=may_probe)
    found._made["stage_images"] = {"train": ("train", TRAIN), "deploy": ("deploy", DEPLOY)}
    found._made["api"] = SimpleNamespace()
    found._made["discovery"] = SimpleNamespace(pachyderm=lambda: None)
    # No Pachyderm and no Determined: only the pods tell.
    for name in ("pachyderm", "determined"):
        found._made[name] = ServiceUnreachable("not here")
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LOOK_S", 0.0)


def run(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, group: Any, *, may_probe: bool = True) -> dict[str, Finding]:
    monkeypatch.setattr(Context, "core", property(lambda self: cluster))
    return {each.id: each for each in group.examine(context(cluster, may_probe=may_probe))}


def test_a_pod_answers_what_this_machine_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_account", lambda *given: iter(()))
    cluster = Cluster({TRAIN: DONE, DEPLOY: DONE})
    found = run(monkeypatch, cluster, images) | run(monkeypatch, cluster, storage) | run(monkeypatch, cluster, route)
    assert {
        name: found[name].state for name in ("images.registry", "images.train", "storage.gateway", "route.trials")
    } == {
        "images.registry": "ok",
        "images.train": "ok",
        "storage.gateway": "ok",
        "route.trials": "ok",
    }
    assert "3 buckets" in found["storage.gateway"].what
    assert sorted(cluster.deleted) == sorted(each["metadata"]["name"] for each in cluster.made)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ("", "ok"),
        ("ClientError: AccessDenied", "broken"),
        ("ModuleNotFoundError: No module named 'boto3'", "unknown"),
    ],
)
def test_a_bucket_that_only_pods_reach(monkeypatch: pytest.MonkeyPatch, error: str, state: str) -> None:
    monkeypatch.setattr(storage, "_account", lambda *given: iter(()))
    minio = replace(KNOWN, minio_url="http://minio.default.invalid:9000", kserve_model_bucket_name="models")
    monkeypatch.setattr(sys.modules[__name__], "KNOWN", minio)
    told = {**TOLD, "models": {"value": "x", "error": error, "now": 1.0}}
    cluster = Cluster({TRAIN: DONE, DEPLOY: DONE}, json.dumps(told))
    assert run(monkeypatch, cluster, storage)["storage.models"].state == state
    command = cluster.made[0]["spec"]["containers"][0]["command"]
    assert json.loads(command[3])["models"][:1] == ["bucket"]


def test_without_the_flag_no_pod_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({})
    found = run(monkeypatch, cluster, images, may_probe=False)
    assert cluster.made == []
    assert {each.state for each in found.values()} == {"unknown"}
    assert all("--probe" in each.fix for each in found.values())


@pytest.mark.parametrize(
    ("status", "state", "text"),
    [
        (waits("ImagePullBackOff"), "broken", "unauthorized"),
        (waits("InvalidImageName", "couldn't parse image"), "broken", "couldn't parse"),
        ({"phase": "Failed"}, "ok", "A node has pulled it just now."),
    ],
)
def test_whether_a_node_can_pull(
    monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], state: str, text: str
) -> None:
    cluster = Cluster({TRAIN: status, DEPLOY: status}, log="")
    found = run(monkeypatch, cluster, images)["images.train"]
    assert (found.state, text in found.what) == (state, True)
    assert len(cluster.deleted) == len(cluster.made)


def test_a_pod_that_may_not_be_started_leaves_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(monkeypatch, Cluster({}, refuses=403), images)
    assert {each.state for each in found.values()} == {"unknown"}


def test_a_pod_that_never_runs_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "POD_SECONDS", 0.0)
    cluster = Cluster({TRAIN: {"phase": "Pending"}, DEPLOY: {"phase": "Pending"}})
    assert run(monkeypatch, cluster, images)["images.train"].state == "unknown"
    assert len(cluster.deleted) == len(cluster.made) > 0


def test_a_route_that_a_pod_does_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {**TOLD, "route": {"value": "", "error": "gaierror: Name or service not known", "now": 1.0}}
    found = run(monkeypatch, Cluster({TRAIN: DONE, DEPLOY: DONE}, json.dumps(told)), route)["route.trials"]
    assert (found.state, "Name or service" in found.what) == ("broken", True)


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"value": "one", "error": "", "now": 1.0}, "ok"),
        ({"value": "two", "error": "", "now": 1.0}, "broken"),
        ({"value": "", "error": "URLError: refused", "now": 1.0}, "broken"),
    ],
)
def test_a_master_that_only_pods_reach(monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], state: str) -> None:
    cluster = Cluster({TRAIN: DONE, DEPLOY: DONE}, json.dumps({**TOLD, "master": told}))
    monkeypatch.setattr(Context, "core", property(lambda self: cluster))
    known = replace(KNOWN, det_master="determined.default:8080")

    def info(context: Context, address: str) -> dict[str, Any]:
        if address == known.det_master:
            raise ServiceUnreachable("the name doesn't resolve")
        return {"cluster_id": "one"}

    monkeypatch.setattr(determined, "master_info", info)
    asking = context(cluster)
    asking._made["settings"] = known
    (found,) = determined._pipelines_address(asking)
    assert found.state == state
    (asked,) = [json.loads(each["spec"]["containers"][0]["command"][3]) for each in cluster.made[:1]]
    assert asked["master"] == ["master", ["http://determined.default:8080"]]


def test_the_clock_of_a_store_that_only_pods_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_kubernetes", lambda context: "")
    monkeypatch.setattr(clock, "_determined", lambda context: "")
    found = run(monkeypatch, Cluster({TRAIN: DONE, DEPLOY: DONE}), clock)["clock.storage"]
    assert (found.state, "a node's" in found.what) == ("ok", True)


def test_the_pod_asks_for_next_to_nothing_and_shows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({TRAIN: DONE, DEPLOY: DONE})
    run(monkeypatch, cluster, images)
    (container,) = cluster.made[0]["spec"]["containers"]
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["requests"] == {"cpu": "10m", "memory": "64Mi"}
    keys = {each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"]}
    assert keys == {"pac_token", "minio_access_key", "minio_secret_key"}
    assert cluster.made[0]["spec"]["restartPolicy"] == "Never"


def test_the_script_answers_each_question() -> None:
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    routes = {"/": (403, {}, {}), "/info": (200, {}, {"cluster_id": "c1"})}
    with serving(Answers(routes=routes, date=date)) as server:
        asked = {
            "reached": ("tcp", ("127.0.0.1", server.port)),
            "closed": ("tcp", ("127.0.0.1", 9)),
            "date": ("http", (f"http://{server.address}/",)),
            "master": ("master", (f"http://{server.address}",)),
        }
        words = [sys.executable, "-c", SCRIPT, json.dumps(asked), "no-key"]
        told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert told["reached"]["error"] == ""
    assert "refused" in told["closed"]["error"]
    assert (told["date"]["value"], told["date"]["error"]) == (date, "")
    assert (told["master"]["value"], told["master"]["error"]) == ("c1", "")
    assert told["date"]["now"] > 1e9
