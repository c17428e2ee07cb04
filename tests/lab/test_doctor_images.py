"""The doctor at a registry: what is there, what is not, what is for other machines, and what nobody may see."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from pdk_nb import RELEASE
from pdk_nb.container_images import RegistryAccess
from pdk_nb.doctor.registry import CannotAsk, Image, Registry
from pdk_nb.names import Names
from pdk_nb.settings import Settings, load
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import PODS
from tests.support.doctor_codes import provokes
from tests.support.doctor_tools import Answers, Stack, broken, findings, serving, states
from tests.support.processes import ServiceProcess

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


@pytest.fixture(autouse=True)
def nodes_that_pull(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded cluster's nodes run no containers; these tests are about those that do."""
    monkeypatch.setattr("pdk_nb.doctor.images.run_processes", lambda context: False)


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
    registry.routes[f"{path}/manifests/{RELEASE}"] = (200, told, content)
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


@provokes("images.train:broken", "images.deploy:broken")
def test_images_that_are_not_there_or_for_other_machines(registry: Answers, known: Settings) -> None:
    add(registry, "train", "linux/arm64")
    found = findings(known, "images", NAMES)
    broken(found["train"], "built for linux/arm64; nodes are linux/amd64")
    broken(found["deploy"], "doesn't have this image")
    assert found["deploy"].where == f"{registry.address}/team/pdk-lab-deploy:{RELEASE}"


@provokes("images.registry:broken")
def test_a_cluster_that_names_no_registry(shared_stack: dict[str, str]) -> None:
    with Stack.of(shared_stack["kubeconfig"]).told(registry_uri="") as known:
        found = findings(known, "images", NAMES)
    broken(found["registry"], "names no registry")
    assert found["train"].state == found["deploy"].state == "unknown"


@provokes("images.registry:unknown", "images.train:unknown", "images.deploy:unknown")
def test_a_registry_that_does_not_answer(known: Settings) -> None:
    for host in ("127.0.0.1:9", "registry.nowhere.invalid"):
        found = findings(replace(known, registry_uri=f"{host}/team"), "images", NAMES)
        assert {each.state for each in found.values()} == {"unknown"}
        assert found["train"].fix


def test_what_answers_is_no_registry(registry: Answers, known: Settings) -> None:
    registry.routes["/v2/"] = (503, {}, {})
    found = findings(known, "images", NAMES)["registry"]
    assert (found.state, "503" in found.what) == ("unknown", True)


@provokes("images.registry:warning")
def test_a_registry_without_a_certificate(registry: Answers, known: Settings) -> None:
    # Another name of this machine: registries that are called so are no exception for Docker.
    host = f"0.0.0.0:{registry.port}"
    elsewhere = replace(known, registry_uri=f"{host}/team")
    add(registry, "train", "linux/amd64")
    add(registry, "deploy", "linux/amd64")
    # Not every server that answers is a registry.
    assert findings(elsewhere, "images", NAMES)["registry"].state == "unknown"
    registry.routes["/v2/"] = (200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {})
    found = findings(elsewhere, "images", NAMES)
    assert (found["registry"].state, found["train"].state) == ("warning", "ok")
    assert "plain HTTP" in found["registry"].what
    assert "--probe" in found["registry"].fix
    allowed = Registry(host, RegistryAccess(insecure=True))
    assert allowed.check() == "open"
    assert allowed.plain


def test_a_password_is_not_sent_in_clear_text_unasked(registry: Answers, tmp_path: Path) -> None:
    registry.routes["/v2/"] = (200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {})
    needs = "Basic " + base64.b64encode(b"me:registry-password").decode()
    add(registry, "train", "linux/amd64", X_Needs=needs, X_Challenge='Basic realm="lab"')
    host = f"0.0.0.0:{registry.port}"
    log_in(tmp_path, host)
    image = Image(host, "team/pdk-lab-train", RELEASE)
    for insecure in (False, True):
        one = Registry(host, RegistryAccess(insecure=insecure))
        one.check()
        if insecure:
            assert one.manifest(image)
        else:
            with pytest.raises(CannotAsk, match="requires a login"):
                one.manifest(image)
            assert not any("Authorization" in headers for _, headers in registry.asked)


def test_a_registry_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    authority, context, certificate = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tmp_path / "ca.pem"
    authority.issue_cert("0.0.0.0").configure_cert(context)  # noqa: S104  the name in the certificate
    authority.cert_pem.write_to_path(certificate)
    routes: dict[str, Any] = {"/v2/": (200, {"Docker-Distribution-Api-Version": "registry/2.0"}, {})}
    with serving(Answers(routes=routes), context) as server:
        host = f"0.0.0.0:{server.port}"
        with pytest.raises(CannotAsk, match="registry-ca"):
            Registry(host).check()
        assert Registry(host, RegistryAccess(ca=certificate)).check() == "open"
        assert Registry(host, RegistryAccess(insecure=True)).check() == "open"


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
    assert "login that this machine doesn't have" in found.what
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
    with pytest.raises(CannotAsk, match="can't read"):
        Registry(registry.address).manifest(Image(registry.address, "team/x", "1"))


def put_pod(store: ObjectStore, pipeline: str, project: str, reason: str) -> None:
    """A worker's pod as Pachyderm's controller and a node leave it when the image cannot be pulled.

    The embedded cluster runs workers without pods and refuses those of others, so it goes into the store itself.
    """
    labels = {"component": "worker", "pipelineName": pipeline, "pipelineProject": project}
    container = {"name": "user", "image": "registry.nowhere.invalid/team/lab:1"}
    waiting = {"reason": reason, "message": f"Back-off pulling image for {pipeline}"}
    status = {**container, "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{project}-{pipeline}-v1", "labels": labels},
        "spec": {"containers": [container]},
        "status": {"phase": "Pending", "containerStatuses": [status]},
    }
    store.create(PODS, "default", pod)


@provokes("images.train:broken", "images.deploy:broken", "images.train:unknown", "images.deploy:unknown")
def test_pods_that_wait_for_their_image(known: Settings, tmp_path: Path) -> None:
    train, deploy, project = NAMES.train_pipeline, NAMES.deploy_pipeline, NAMES.project
    process = ServiceProcess("kubernetes", tmp_path, {"admin_token": "admin-token", "worker_token": "worker-token"})
    process.start().stop()
    store = ObjectStore(tmp_path / "kubernetes" / "objects.sqlite")
    put_pod(store, train, "another-project", "ImagePullBackOff")
    put_pod(store, train, project, "ErrImagePull")
    put_pod(store, deploy, project, "ImagePullBackOff")
    # Another participant's pipelines only start, and have not pulled anything yet.
    others = Names.for_participant("others")
    put_pod(store, others.train_pipeline, others.project, "ContainerCreating")
    store.close()
    process.start()
    try:
        there = replace(known, kubeconfig=process.ready["kubeconfig"], registry_uri="registry.nowhere.invalid/team")
        found = findings(there, "images", NAMES)
        broken(found["train"], "ErrImagePull: Back-off pulling image")
        broken(found["deploy"], "ImagePullBackOff: Back-off pulling image")
        assert states(there, "images", others) == dict.fromkeys(("registry", "train", "deploy"), "unknown")
    finally:
        process.stop()
