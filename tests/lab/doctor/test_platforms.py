"""What the doctor says of Pachyderm, Determined, and KServe that are elsewhere, refuse, or lack something.

Each test names the codes that it provokes; ``tests/lab/test_doctor_codes.py`` says when one of the source is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes
import pytest

from pdk_nb import lab as pdk
from pdk_nb.platforms import mlde, mldm, serving
from pdk_nb.settings import Secret, Settings
from tests.support.doctor_codes import provokes
from tests.support.doctor_proxies import Wrong, before
from tests.support.doctor_services import NOBODY, service
from tests.support.doctor_tools import Answers, Stack, broken, findings, states
from tests.support.doctor_tools import serving as small_server
from tests.support.processes import ServiceProcess


@provokes("pachyderm.reach:broken")
def test_pachyderm_elsewhere_than_pdk_config_says(stack: Stack) -> None:
    broken(stack.found("pachyderm.reach", mldm_port=NOBODY), "No connection")
    # The cluster knows better, and the fix is the right address.
    with service(stack.core, "default", "pachyderm-proxy", "203.0.113.7", 9090, "http-port"):
        found = stack.found("pachyderm.reach", mldm_port=NOBODY)
        assert found.fix == "pdk-nb config init --apply --set mldm_host=203.0.113.7 --set mldm_port=9090"
    broken(stack.found("pachyderm.reach", mldm_host="pachd.invalid"), "the name doesn't resolve")
    # Something else listens there.
    broken(stack.found("pachyderm.reach", mldm_port=stack.settings.mlde_port), "Pachyderm doesn't answer")


@provokes("pachyderm.login:broken")
def test_a_pachyderm_token_that_is_refused(stack: Stack) -> None:
    found = stack.findings("pachyderm", pac_token="not-the-token")
    assert found["reach"].state == "ok"
    broken(found["login"], "Pachyderm")
    assert "not-the-token" not in str(found)
    assert "pac_token" in found["login"].fix


@provokes("pachyderm.train:broken", "pachyderm.deploy:broken", "images.train:broken", "images.deploy:broken")
@provokes("versions.train:warning", "versions.deploy:warning")
def test_pipelines_that_cannot_start(lab: pdk.Lab, known: Settings) -> None:
    names, pipelines = lab.names, (lab.names.train_pipeline, lab.names.deploy_pipeline)
    for pipeline in pipelines:
        spec: dict[str, Any] = {
            "pipeline": {"name": pipeline, "project": {"name": names.project}},
            "input": {"pfs": {"repo": names.data_repo, "project": names.project, "glob": "/", "name": "data"}},
            "transform": {"cmd": ["true"], "image": "registry.example.invalid/no-such-image:1.0.0"},
        }
        mldm.ensure_pipeline(lab.pachyderm, spec)
    try:
        deadline = time.monotonic() + 30
        while {mldm.pipelines(lab.pachyderm, names.project)[each][0] for each in pipelines} != {"CRASHING"}:
            assert time.monotonic() < deadline
        for stage in ("train", "deploy"):
            broken(findings(known, "pachyderm", names)[stage], "crashing")
            image = findings(known, "images", names)[stage]
            broken(image, "Pachyderm can't start it")
            assert image.where == "registry.example.invalid/no-such-image:1.0.0"
        assert states(known, "versions", names)["train"] == states(known, "versions", names)["deploy"] == "warning"
    finally:
        lab.create_pipelines()


@provokes("determined.reach:broken", "determined.login:broken")
def test_determined_elsewhere_and_a_password_that_is_refused(stack: Stack) -> None:
    nowhere = {"mlde_port": NOBODY, "mlde_url": ""}
    broken(stack.found("determined.reach", **nowhere), "No connection")
    with service(stack.core, "default", "determined-master-service-pachyderm", "203.0.113.8", 8080, "master-port"):
        fix = stack.found("determined.reach", **nowhere).fix
        assert fix == "pdk-nb config init --apply --set mlde_host=203.0.113.8 --set mlde_port=8080"
    with small_server(Answers(routes={"/info": (200, {}, {"name": "something else"})})) as other:
        broken(stack.found("determined.reach", mlde_port=other.port, mlde_url=""), "isn't Determined")
    refused = stack.findings("determined", det_password="wrong-Passw0rd")
    assert refused["reach"].state == "ok"
    broken(refused["login"], "refuses the login of 'admin'")
    assert "wrong-Passw0rd" not in str(refused)


@provokes("determined.pool:broken")
def test_a_pool_that_does_not_exist(stack: Stack) -> None:
    found = stack.found("determined.pool", resource_pool="gpu-pool")
    broken(found, "no resource pool 'gpu-pool'")
    assert found.fix == "pdk-nb config init --apply --set resource_pool=default"
    nothing = Wrong(answers={"/api/v1/resource-pools": lambda pools: {**pools, "resourcePools": []}})
    with before(stack.settings.master_url, nothing) as port:
        broken(stack.found("determined.pool", mlde_port=port, mlde_url=""), "no resource pool")


@provokes("determined.slots:broken")
def test_slots_that_are_switched_off(stack: Stack) -> None:
    known = stack.settings
    session = mlde.session(mlde.connect(known.master_url, known.det_user, known.det_password.reveal()))
    (agent,) = session.get("/api/v1/agents").json()["agents"]
    for slot in agent["slots"]:
        assert states(known, "determined")["slots"] == "ok"
        session.post(f"/api/v1/agents/{agent['id']}/slots/{slot}/disable")
    found = findings(known, "determined")["slots"]
    broken(found, "Pool default has no slots")
    # The command that fixes it is run as it is given.
    (command,) = [each.strip() for each in found.fix.split(";") if "enable" in each]
    login = {"DET_MASTER": known.master_url, "DET_USER": known.det_user, "DET_PASS": known.det_password.reveal()}
    det = Path(sys.executable).with_name("det")
    subprocess.run([det, *command.split()[1:]], env={**os.environ, **login}, check=True, stdout=subprocess.DEVNULL)
    assert states(known, "determined")["slots"] == "ok"


@provokes("determined.slots:warning")
def test_a_pool_that_starts_machines_on_demand(stack: Stack) -> None:
    def on_demand(reply: dict[str, Any]) -> dict[str, Any]:
        return {"resourcePools": [{**each, "slotsAvailable": 0, "maxAgents": 4} for each in reply["resourcePools"]]}

    with before(stack.settings.master_url, Wrong(answers={"/api/v1/resource-pools": on_demand})) as port:
        found = stack.found("determined.slots", mlde_port=port, mlde_url="")
    assert found.state == "warning"
    assert "on demand" in found.what


@provokes("determined.slots:warning")
def test_slots_of_less_than_a_cpu(stack: Stack) -> None:
    def on_kubernetes(cpu: float, slot_type: str = "cpu") -> Any:
        manager = {"type": "kubernetes", "slot_type": slot_type, "slot_resource_requests": {"cpu": cpu}}
        return lambda reply: {"config": {**reply["config"], "resource_manager": manager}}

    for cpu, slot_type, state, size in (
        (0.4, "cpu", "warning", "of 0.4 CPU"),
        (1.0, "cpu", "ok", "of 1 CPU"),
        (0.4, "cuda", "ok", ""),
    ):
        changed = Wrong(answers={"/api/v1/master/config": on_kubernetes(cpu, slot_type)})
        with before(stack.settings.master_url, changed) as port:
            found = stack.found("determined.slots", mlde_port=port, mlde_url="")
        assert (found.state, size in found.what) == (state, True)
        assert ("slotResourceRequests.cpu" in found.fix) is (state == "warning")


@provokes("pachyderm.limits:broken")
def test_an_installation_without_an_activation_key(tmp_path: Path, known: Settings) -> None:
    process = ServiceProcess("pachyderm", tmp_path, {"root_token": ""}).start()
    try:
        address = urlsplit(process.ready["pachd"])
        open_one = replace(
            known,
            mldm_host=str(address.hostname),
            mldm_port=int(address.port or 0),
            mldm_url="",
            pac_token=Secret(""),
        )
        client = mldm.connect(open_one)
        mldm.ensure_repo(client, "default", "pictures")
        for number in range(15):
            mldm.ensure_pipeline(
                client,
                {
                    "pipeline": {"name": f"p{number}"},
                    "input": {"pfs": {"repo": "pictures", "glob": "/"}},
                    "transform": {"cmd": ["true"]},
                    "autoscaling": True,
                },
            )
            if number == 13:
                found = findings(open_one, "pachyderm")["limits"]
                assert (found.state, "2 more fit" in found.what) == ("ok", True)
        broken(findings(open_one, "pachyderm")["limits"], "1 more fit")
    finally:
        process.stop()


@pytest.fixture
def bare(tmp_path: Path, known: Settings) -> Iterator[tuple[Settings, Any]]:
    """Another Kubernetes, of its own, that may be taken apart."""
    secrets = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    process = ServiceProcess("kubernetes", tmp_path, secrets).start()
    client = kubernetes.config.new_client_from_config(config_file=process.ready["kubeconfig"])
    yield replace(known, kubeconfig=process.ready["kubeconfig"]), client
    process.stop()


@provokes("kserve.crd:broken", "kserve.version:unknown")
def test_a_cluster_without_kserve(bare: tuple[Settings, Any]) -> None:
    settings, client = bare
    assert findings(settings, "kserve")["version"].state == "unknown"
    extensions = kubernetes.client.ApiextensionsV1Api(client)
    extensions.delete_custom_resource_definition("inferenceservices.serving.kserve.io")
    broken(findings(settings, "kserve")["crd"], "KServe isn't installed")
    older = kserve_definition("v1alpha2")
    extensions.create_custom_resource_definition(older)
    broken(findings(settings, "kserve")["crd"], "served as v1alpha2, not as v1beta1")


def kserve_definition(version: str) -> dict[str, Any]:
    """InferenceServices as another release defines them."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "metadata": {"name": "inferenceservices.serving.kserve.io"},
        "spec": {
            "group": "serving.kserve.io",
            "scope": "Namespaced",
            "names": {"plural": "inferenceservices", "kind": "InferenceService"},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


@contextlib.contextmanager
def kserve_release(core: Any, image: str) -> Iterator[None]:
    before = core.read_namespaced_config_map("inferenceservice-config", "kserve").data
    told = {"storageInitializer": json.dumps({"image": image})}
    core.patch_namespaced_config_map("inferenceservice-config", "kserve", {"data": told})
    try:
        yield
    finally:
        core.patch_namespaced_config_map("inferenceservice-config", "kserve", {"data": before})


@provokes("kserve.storage:broken", "kserve.version:unknown")
def test_the_storage_traps_of_a_release(core: Any, known: Settings) -> None:
    names = "trap-dog-cat"
    served = serving.Deployment(name=names, storage_uri="s3://bucket/dogs-and-cats", model="m", version="v1")
    serving.apply(known, served)
    try:
        for release, trapped in (("v0.11.2", False), ("v0.12.0", True), ("v0.14.1", True), ("v0.15.0", False)):
            with kserve_release(core, f"kserve/storage-initializer:{release}"):
                found = findings(known, "kserve")
            assert found["version"].what == f"KServe {release[1:]}."
            assert ("storage" in found) is trapped
            if trapped:
                broken(found["storage"], names)
        with kserve_release(core, "kserve/storage-initializer:v0.13.1"):
            serving.apply(known, replace(served, storage_uri="s3://bucket/dogs-and-cats/v1/"))
            assert findings(known, "kserve")["storage"].state == "ok"
        with kserve_release(core, "registry.example.com/initializer:latest"):
            assert findings(known, "kserve")["version"].state == "unknown"
    finally:
        serving.delete(known, names)


@provokes("kserve.ingress:broken")
def test_an_ingress_that_does_not_answer(stack: Stack) -> None:
    right = stack.settings
    found = stack.found("kserve.ingress", kserve_ingress_port=NOBODY)
    broken(found, "No connection")
    # The gateway's own Service says where it is.
    words = " ".join(f"--set {key}={getattr(right, key)}" for key in ("kserve_ingress_host", "kserve_ingress_port"))
    assert found.fix == f"pdk-nb config init --apply {words}"
    broken(stack.found("kserve.ingress", kserve_ingress_port=right.mldm_port), "doesn't speak HTTP")
