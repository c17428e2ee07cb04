"""Services against the embedded Kubernetes: the API's semantics quickly, real TorchServe where marked slow."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import requests

from pdk_nb.platforms import serving
from pdk_nb.platforms.serving.status import read_status
from pdk_nb.settings import Secret, Settings, from_maps
from pdk_shared.errors import DeploymentError, PredictionError, ServiceUnreachable, UsageError
from tests.support.processes import ServiceProcess
from tests.support.serving_tools import BLUE, RED, model_folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    secrets = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    service = ServiceProcess("kubernetes", tmp_path_factory.mktemp("serving"), secrets).start()
    client = kubernetes.config.new_client_from_config(config_file=service.ready["kubeconfig"])
    kubernetes.client.CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
    ingress = service.ready["ingress"].removeprefix("http://")
    config = {"kserve_ingress_host": ingress, "mldm_s3_endpoint": "127.0.0.1:30600"}
    yield from_maps(config, kubeconfig=service.ready["kubeconfig"])
    service.stop()


def deployment(version: str = "v1", uri: str = "file:///absent/model/", name: str = "dog-cat") -> serving.Deployment:
    return serving.Deployment(
        name=name,
        storage_uri=uri,
        model="dogs-and-cats",
        version=version,
        number=int(version[1:]),
        experiment=7,
        checkpoint="uuid-1",
        project="pdk-dogs-and-cats",
        repo="dogs-and-cats-model",
        requests={"cpu": "100m"},
    )


def raw(cluster: Settings, name: str) -> dict[str, Any]:
    where = serving.connect(cluster)
    found: dict[str, Any] = where.custom.get_namespaced_custom_object(
        "serving.kserve.io", "v1beta1", "models", "inferenceservices", name
    )
    return found


@pytest.fixture
def name(cluster: Settings, request: pytest.FixtureRequest) -> Iterator[str]:
    chosen = f"s{abs(hash(request.node.name)) % 10**8}"
    yield chosen
    serving.delete(cluster, chosen)


def test_create_then_update_in_place_keeping_what_others_set(cluster: Settings, name: str) -> None:
    assert serving.apply(cluster, deployment(name=name)).action == "created"
    created = raw(cluster, name)
    assert created["spec"]["predictor"]["model"]["storageUri"] == "file:///absent/model/"
    assert created["metadata"]["annotations"]["pach_id"] == "v1"
    assert created["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    where = serving.connect(cluster)
    theirs = {
        "metadata": {"labels": {"team": "cats"}, "annotations": {"autoscaling.knative.dev/target": "5"}},
        "spec": {"predictor": {"minReplicas": 2, "model": {"env": [{"name": "A", "value": "b"}]}}},
    }
    where.custom.patch_namespaced_custom_object(
        "serving.kserve.io", "v1beta1", "models", "inferenceservices", name, theirs
    )
    assert serving.apply(cluster, deployment(name=name)).action == "unchanged"
    assert serving.apply(cluster, deployment("v2", "file:///absent/2/", name)).action == "updated"
    updated = raw(cluster, name)
    assert updated["metadata"]["uid"] == created["metadata"]["uid"]
    assert updated["metadata"]["labels"]["team"] == "cats"
    assert updated["metadata"]["annotations"]["autoscaling.knative.dev/target"] == "5"
    assert updated["spec"]["predictor"]["minReplicas"] == 2
    assert updated["spec"]["predictor"]["model"]["env"] == [{"name": "A", "value": "b"}]
    assert updated["spec"]["predictor"]["model"]["storageUri"] == "file:///absent/2/"
    assert [each["version"] for each in serving.revisions(cluster, name)] == ["v1", "v2"]
    assert [each["current"] for each in serving.revisions(cluster, name)] == [False, True]


def test_a_conflict_is_tried_again(cluster: Settings, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serving.apply(cluster, deployment(name=name))
    where = serving.connect(cluster)
    original = where.custom.patch_namespaced_custom_object
    rivals = iter(range(2))

    def patch(*given: Any, **named: Any) -> Any:
        # Somebody else is faster, twice.
        if next(rivals, None) is not None:
            original(*given[:5], {"metadata": {"labels": {"rival": str(id(given))}}})
        return original(*given, **named)

    monkeypatch.setattr(where.custom, "patch_namespaced_custom_object", patch)
    assert serving.apply(where, deployment("v2", name=name)).action == "updated"
    found = raw(cluster, name)
    assert found["metadata"]["annotations"]["pach_id"] == "v2"
    assert "rival" in found["metadata"]["labels"]


def test_only_404_means_absent(cluster: Settings, name: str, tmp_path: Path) -> None:
    strangers = tmp_path / "kubeconfig"
    strangers.write_text(Path(str(cluster.kubeconfig)).read_text().replace("admin-token-for-tests", "wrong"))
    with pytest.raises(ServiceUnreachable, match="doesn't allow"):
        serving.apply(serving.connect(kubeconfig=strangers), deployment(name=name))
    assert all(each["NAME"] != name for each in serving.status_table(cluster))
    gone = replace(serving.connect(cluster), namespace="no-such-namespace")
    with pytest.raises(DeploymentError, match="no namespace"):
        serving.apply(gone, deployment(name=name))


def test_an_unreachable_cluster_is_told(cluster: Settings, tmp_path: Path) -> None:
    text = Path(str(cluster.kubeconfig)).read_text()
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", text))
    with pytest.raises(ServiceUnreachable, match="doesn't answer"):
        serving.service_status(serving.connect(kubeconfig=elsewhere), "dog-cat")


def test_rollback_points_back(cluster: Settings, name: str) -> None:
    for version in ("v1", "v2", "v3"):
        serving.apply(cluster, deployment(version, f"file:///absent/{version}/", name))
    serving.rollback(cluster, name)
    status = serving.service_status(cluster, name)
    assert (status.version, status.number, status.storage_uri) == ("v2", 2, "file:///absent/v2/")
    serving.rollback(cluster, name, 1)
    assert serving.service_status(cluster, name).version == "v1"
    serving.rollback(cluster, name, "v3")
    assert serving.service_status(cluster, name).storage_uri == "file:///absent/v3/"
    with pytest.raises(DeploymentError, match="never served v9"):
        serving.rollback(cluster, name, "v9")
    serving.rollback(cluster, name, "v1")
    with pytest.raises(DeploymentError, match="no earlier version"):
        serving.rollback(cluster, name)


def test_rollback_beyond_the_history_follows_the_address(cluster: Settings, name: str) -> None:
    now, before = "a" * 32, "b" * 32
    current = replace(deployment(name=name), version=now, storage_uri=f"s3://{now}.master.r.p/m/{now}/")
    serving.apply(cluster, current)
    serving.rollback(cluster, name, before)
    status = serving.service_status(cluster, name)
    assert status.storage_uri == f"s3://{before}.master.r.p/m/{before}/"
    # What the old version has no value for does not stay behind from the new one.
    assert status.number is None
    assert "pdk-lab/checkpoint" not in status.annotations


def test_the_canary_share(cluster: Settings, name: str) -> None:
    serving.apply(cluster, deployment(name=name))
    serving.set_canary(cluster, name, 20)
    assert raw(cluster, name)["spec"]["predictor"]["canaryTrafficPercent"] == 20
    serving.set_canary(cluster, name, None)
    assert "canaryTrafficPercent" not in raw(cluster, name)["spec"]["predictor"]
    with pytest.raises(UsageError):
        serving.set_canary(cluster, name, 101)


def test_a_canary_of_an_earlier_version(cluster: Settings, name: str) -> None:
    serving.apply(cluster, deployment(name=name))
    with pytest.raises(DeploymentError, match="no other revision"):
        serving.canary(cluster, name, "v1", 20)
    serving.apply(cluster, deployment("v2", "file:///absent/2/", name))
    assert serving.canary(cluster, name, "v1", 20).previous_revision
    predictor = raw(cluster, name)["spec"]["predictor"]
    assert (predictor["canaryTrafficPercent"], predictor["model"]["storageUri"]) == (20, "file:///absent/model/")
    with pytest.raises(DeploymentError, match="never served v9"):
        serving.canary(cluster, name, "v9", 20)
    with pytest.raises(UsageError):
        serving.canary(cluster, name, "v2", 101)
    with pytest.raises(DeploymentError, match="can't be promoted"):
        serving.promote(cluster, name)
    # Going back takes the canary's share away and not the split: that would give it everything.
    serving.rollback(cluster, name, "v2")
    predictor = raw(cluster, name)["spec"]["predictor"]
    assert (predictor["canaryTrafficPercent"], predictor["model"]["storageUri"]) == (0, "file:///absent/2/")
    with pytest.raises(DeploymentError, match="doesn't have 100%"):
        serving.wait_share(cluster, name, timeout=0)
    assert serving.traffic(cluster, name) == []


def test_waiting_ends_with_reasons(cluster: Settings, name: str) -> None:
    said: list[str] = []
    with pytest.raises(DeploymentError, match="doesn't exist yet"):
        serving.wait_ready(cluster, "never-there", 0.2)
    serving.apply(cluster, deployment(name=name))
    with pytest.raises(DeploymentError) as raised:
        serving.wait_ready(cluster, name, 4.0, version="v1", interval=0.2, progress=said.append)
    assert "Not ready within 4 s" in str(raised.value)
    assert "/absent/model" in str(raised.value)
    assert said
    with pytest.raises(DeploymentError, match="still has version v1"):
        serving.wait_ready(cluster, name, 0.2, version="v2")
    with pytest.raises(PredictionError, match="no URL yet"):
        serving.endpoint(cluster, name)


def test_missing_services_say_where_to_look(cluster: Settings) -> None:
    for call in (serving.service_status, serving.endpoint, serving.revisions, serving.rollback):
        with pytest.raises(DeploymentError, match="no such InferenceService"):
            call(cluster, "never-there")
    assert serving.delete(cluster, "never-there") is False


@pytest.mark.parametrize("bad", ["Dog", "1dog", "dog_cat", "-dog", "d" * 49, ""])
def test_names_that_kserve_refuses(cluster: Settings, bad: str) -> None:
    with pytest.raises(UsageError):
        serving.apply(cluster, deployment(name=bad))


def test_schemes_that_kserve_does_not_know(cluster: Settings) -> None:
    with pytest.raises(UsageError, match="aws://"):
        serving.apply(cluster, deployment(uri="aws://bucket/model/"))


def test_the_service_account_and_its_secret(cluster: Settings) -> None:
    assert serving.ensure_service_account(cluster) is True
    assert serving.ensure_service_account(cluster) is False
    core = serving.connect(cluster).core
    secret = core.read_namespaced_secret("pach-kserve-creds", "models")
    assert secret.metadata.annotations["serving.kserve.io/s3-endpoint"] == "127.0.0.1:30600"
    assert secret.metadata.annotations["serving.kserve.io/s3-usehttps"] == "0"
    assert base64.b64decode(secret.data["AWS_SECRET_ACCESS_KEY"]) != b""
    core.patch_namespaced_service_account("pach-deploy", "models", {"secrets": [{"name": "another"}]})
    tokened = replace(cluster, pac_token=Secret("robot-token"))
    assert serving.ensure_service_account(tokened) is True
    secret = core.read_namespaced_secret("pach-kserve-creds", "models")
    assert {base64.b64decode(each) for each in secret.data.values()} == {b"robot-token"}
    account = core.read_namespaced_service_account("pach-deploy", "models")
    assert "pach-kserve-creds" in {each.name for each in account.secrets}


STATUS = {
    "metadata": {"name": "x", "namespace": "models", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "spec": {"predictor": {"model": {"storageUri": "s3://b/m/1/"}}},
}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({}, False),
        ({"conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"conditions": [{"type": "Ready", "status": "Unknown"}]}, False),
        (
            {
                "conditions": [{"type": "Ready", "status": "True"}],
                "components": {"predictor": {"latestCreatedRevision": "x-2", "latestReadyRevision": "x-1"}},
            },
            False,
        ),
        (
            {"conditions": [{"type": "Ready", "status": "True"}], "modelStatus": {"transitionStatus": "InProgress"}},
            False,
        ),
    ],
)
def test_ready_means_the_latest_revision(status: dict[str, Any], ready: bool) -> None:
    found = read_status({**STATUS, "status": status})
    assert found.ready is ready
    assert found.row()["AGE"].endswith("d")
    assert found.summary()


def test_both_traffic_shares_are_shown() -> None:
    traffic = [
        {"percent": 80, "revisionName": "x-1", "tag": "prev"},
        {"percent": 20, "revisionName": "x-2", "latestRevision": True},
    ]
    row = read_status({**STATUS, "status": {"components": {"predictor": {"traffic": traffic}}}}).row()
    assert (row["PREV"], row["LATEST"]) == ("80", "20")


@pytest.mark.slow
def test_a_model_is_served_updated_and_rolled_back(cluster: Settings, tmp_path: Path) -> None:
    """The second model calls everything the other way round, so that its answers tell which one serves."""
    first = model_folder(tmp_path / "dogs-and-cats" / "v1", "v1")
    second = model_folder(tmp_path / "dogs-and-cats" / "v2", "v2", sign=-1.0)
    for version, folder, expected in (("v1", first, [1, 0]), ("v2", second, [0, 1])):
        done = serving.apply(cluster, deployment(version, f"{folder.as_uri()}/"))
        status = serving.wait_ready(cluster, "dog-cat", 120, version=version, after=done.previous_revision)
        assert status.row()["READY"] == "True"
        answers = serving.predict(cluster, "dog-cat", [RED, BLUE])
        assert [each.index for each in answers] == expected
        assert {each.version for each in answers} == {version}
    assert [each.raw for each in serving.predict(cluster, "dog-cat", [RED], detail=False)] == [0]
    request = {"instances": [{"data": base64.b64encode(BLUE).decode()}]}
    assert serving.predict(cluster, "dog-cat", json.loads(json.dumps(request)))[0].label == "cat"
    done = serving.rollback(cluster, "dog-cat")
    serving.wait_ready(cluster, "dog-cat", 120, version="v1", after=done.previous_revision)
    assert serving.predict(cluster, "dog-cat", [RED])[0].label == "cat"
    target = serving.endpoint(cluster, "dog-cat")
    with pytest.raises(PredictionError, match="404"):
        serving.predict(replace(target, model="dog-cat"), images=[RED])
    with pytest.raises(PredictionError, match="404"):
        serving.predict(replace(target, host="dogcat-deploy.models.example.com"), images=[RED])
    # A canary of the second version, promoted, and back to the first: each answers with its own version.
    done = serving.canary(cluster, "dog-cat", "v2", 25)
    serving.wait_ready(cluster, "dog-cat", 120, version="v2", after=done.previous_revision)
    shares = [(each.version, each.percent, each.latest, each.tag) for each in serving.traffic(cluster, "dog-cat")]
    assert shares == [("v2", 25, True, ""), ("v1", 75, False, "prev")]
    answers = [serving.predict(cluster, "dog-cat", [RED])[0].version for _ in range(8)]
    assert (answers.count("v2"), answers.count("v1")) == (2, 6)
    assert serving.canary(cluster, "dog-cat", "v2", 50).previous_revision == ""
    serving.wait_share(cluster, "dog-cat", 50)
    serving.promote(cluster, "dog-cat")
    serving.wait_share(cluster, "dog-cat")
    assert {serving.predict(cluster, "dog-cat", [RED])[0].version for _ in range(4)} == {"v2"}
    serving.set_canary(cluster, "dog-cat", 50)
    done = serving.rollback(cluster, "dog-cat", "v1")
    serving.wait_ready(cluster, "dog-cat", 120, version="v1", after=done.previous_revision)
    serving.promote(cluster, "dog-cat")
    serving.wait_share(cluster, "dog-cat")
    # A bad update never takes the traffic, and the reason is told.
    done = serving.apply(cluster, deployment("v3", "file:///absent/v3/"))
    with pytest.raises(DeploymentError, match="absent"):
        serving.wait_ready(cluster, "dog-cat", 3, version="v3", after=done.previous_revision)
    assert serving.predict(cluster, "dog-cat", [RED])[0].version == "v1"
    assert serving.delete(cluster, "dog-cat") is True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "body", "code"),
    [
        ("v1", {"instances": [{"data": float("nan")}]}, 400),
        ("v1", {"instances": []}, 400),
        ("v2", {"inputs": [{"name": "a", "shape": -1, "datatype": "BYTES", "data": [""]}]}, 422),
    ],
)
def test_requests_of_another_shape_are_refused_by_the_service(
    cluster: Settings, tmp_path: Path, protocol: str, body: dict[str, Any], code: int
) -> None:
    folder = model_folder(tmp_path / "dogs-and-cats" / "v1", "v1")
    serving.apply(cluster, replace(deployment("v1", f"{folder.as_uri()}/", "odd"), protocol=protocol))
    serving.wait_ready(cluster, "odd", 120, version="v1")
    target = serving.endpoint(cluster, "odd")
    refused = requests.post(target.url, data=json.dumps(body), headers={"Host": target.host}, timeout=30)
    assert refused.status_code == code, refused.text
    assert len(serving.predict(cluster, "odd", [RED, BLUE])) == 2
    assert serving.delete(cluster, "odd") is True
