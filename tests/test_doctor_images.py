"""The doctor at a registry: what is there, what is not, what is for other machines, and what nobody may see."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import (
    V1ContainerState,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1ObjectMeta,
    V1Pod,
    V1PodStatus,
)

from pdk_nb import __version__
from pdk_nb.doctor import Context
from pdk_nb.doctor.registry import CannotAsk, Image, Registry
from pdk_nb.names import Names
from pdk_nb.settings import Settings, load
from tests.doctor_tools import Answers, broken, findings, serving

NAMES = Names.for_participant("nobody-yet")
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Answers]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with serving(Answers(routes={"/v2/": (200, {}, {})})) as answers:
        yield answers


@pytest.fixture
def known(shared_stack: dict[str, str], registry: Answers) -> Settings:
    return replace(load(shared_stack["kubeconfig"]), registry_uri=f"{registry.address}/team")


def add(registry: Answers, stage: str, *platforms: str, **headers: str) -> str:
    """Put an image into the registry; its path."""
    path = f"/v2/team/pdk-lab-{stage}"
    content: dict[str, Any]
    if len(platforms) == 1:
        system, _, processor = platforms[0].partition("/")
        content = {"config": {"digest": DIGEST}}
        registry.routes[f"{path}/blobs/{DIGEST}"] = (200, {}, {"os": system, "architecture": processor})
    else:
        listed = [dict(zip(("os", "architecture"), each.split("/"), strict=True)) for each in platforms]
        content = {"manifests": [{"platform": each} for each in listed]}
    told = {"Docker-Content-Digest": DIGEST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    registry.routes[f"{path}/manifests/{__version__}"] = (200, told, content)
    return path


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("busybox", ("registry-1.docker.io", "library/busybox", "latest")),
        ("team/lab:1", ("registry-1.docker.io", "team/lab", "1")),
        ("docker.io/team/lab", ("registry-1.docker.io", "team/lab", "latest")),
        ("localhost/lab:1", ("localhost", "lab", "1")),
        ("host:5000/a/b:1.0", ("host:5000", "a/b", "1.0")),
        (f"gcr.io/p/lab:1@{DIGEST}", ("gcr.io", "p/lab", DIGEST)),
    ],
)
def test_names_are_read_as_runtimes_read_them(name: str, parts: tuple[str, str, str]) -> None:
    assert Image.parse(name) == Image(*parts)


def test_images_that_are_there(registry: Answers, known: Settings) -> None:
    add(registry, "train", "linux/amd64")
    add(registry, "deploy", "linux/arm64", "linux/amd64")
    found = findings(known, "images", NAMES)
    assert {name: each.state for name, each in found.items()} == {"registry": "ok", "train": "ok", "deploy": "ok"}


def test_images_that_are_not_there_or_for_other_machines(registry: Answers, known: Settings) -> None:
    add(registry, "train", "linux/arm64")
    found = findings(known, "images", NAMES)
    broken(found["train"], "made for linux/arm64; nodes are linux/amd64")
    broken(found["deploy"], "no such image")
    assert found["deploy"].where == f"{registry.address}/team/pdk-lab-deploy:{__version__}"


def test_a_registry_that_does_not_answer(known: Settings) -> None:
    for host in ("127.0.0.1:9", "registry.nowhere.invalid"):
        found = findings(replace(known, registry_uri=f"{host}/team"), "images", NAMES)
        assert {each.state for each in found.values()} == {"unknown"}
        assert found["train"].fix


def test_what_answers_is_no_registry(registry: Answers, known: Settings) -> None:
    registry.routes["/v2/"] = (503, {}, {})
    found = findings(known, "images", NAMES)["registry"]
    assert (found.state, "503" in found.what) == ("unknown", True)


def log_in(tmp_path: Path, host: str) -> None:
    """What ``docker login`` writes."""
    auth = base64.b64encode(b"me:registry-password").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))


def test_a_registry_that_wants_a_token(registry: Answers, known: Settings, tmp_path: Path) -> None:
    challenge = f'Bearer realm="http://{registry.address}/token",service="lab",scope="repository:team:pull"'
    for stage in ("train", "deploy"):
        path = add(registry, stage, "linux/amd64", X_Needs="Bearer the-token", X_Challenge=challenge)
        registry.routes[f"{path}/blobs/{DIGEST}"] = (200, {}, {"os": "linux", "architecture": "amd64"})
    # Nobody is logged in, and the registry gives no token to strangers.
    found = findings(known, "images", NAMES)["train"]
    assert found.state == "unknown"
    assert "log-in that this machine does not have" in found.what
    log_in(tmp_path, registry.address)
    registry.routes["/token"] = (200, {}, {"token": "the-token"})
    found = findings(known, "images", NAMES)
    assert found["train"].state == "ok"
    assert any("scope=repository" in path for path, _ in registry.asked)
    assert "registry-password" not in str(found)


def test_a_registry_that_wants_a_password(registry: Answers, known: Settings, tmp_path: Path) -> None:
    needs = "Basic " + base64.b64encode(b"me:registry-password").decode()
    add(registry, "train", "linux/amd64", X_Needs=needs, X_Challenge='Basic realm="lab"')
    assert findings(known, "images", NAMES)["train"].state == "unknown"
    log_in(tmp_path, registry.address)
    assert findings(known, "images", NAMES)["train"].state == "ok"


def test_a_manifest_that_cannot_be_read(registry: Answers) -> None:
    registry.routes["/v2/team/x/manifests/1"] = (200, {}, b"<html>")
    with pytest.raises(CannotAsk, match="cannot be read"):
        Registry(registry.address).manifest(Image(registry.address, "team/x", "1"))


def pod(pipeline: str, project: str, reason: str) -> V1Pod:
    """A worker's pod that waits."""
    waiting = V1ContainerStateWaiting(reason=reason, message=f"Back-off pulling image for {pipeline}")
    status = V1ContainerStatus(
        name="user", image="x", image_id="", ready=False, restart_count=0, state=V1ContainerState(waiting=waiting)
    )
    labels = {"component": "worker", "pipelineName": pipeline, "pipelineProject": project}
    return V1Pod(
        metadata=V1ObjectMeta(name=f"{pipeline}-v1", labels=labels), status=V1PodStatus(container_statuses=[status])
    )


def test_pods_that_wait_for_their_image(known: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded cluster runs workers without pods, so the pods are given."""
    pods = [
        pod(NAMES.train_pipeline, "another-project", "ImagePullBackOff"),
        pod(NAMES.train_pipeline, NAMES.project, "ContainerCreating"),
        pod(NAMES.deploy_pipeline, NAMES.project, "ImagePullBackOff"),
    ]
    core = SimpleNamespace(list_namespaced_pod=lambda *args, **options: SimpleNamespace(items=pods))
    monkeypatch.setattr(Context, "core", core)
    found = findings(replace(known, registry_uri="registry.nowhere.invalid/team"), "images", NAMES)
    assert found["train"].state == "unknown"
    broken(found["deploy"], "ImagePullBackOff: Back-off pulling image")
