"""The doctor on a running stack: all well first, then every finding provoked by breaking the thing it looks at.

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

import kubernetes
import pytest

from pdk_nb import doctor
from pdk_nb import lab as pdk
from pdk_nb.cli import main
from pdk_nb.doctor import kserve, route
from pdk_nb.names import Names
from pdk_nb.platforms import mlde, mldm, serving, storage
from pdk_nb.settings import Settings, load
from pdk_shared.errors import UsageError
from tests.support.doctor_codes import provokes
from tests.support.doctor_proxies import Wrong, before, kubernetes_before, pachyderm_of_release
from tests.support.doctor_tools import Answers, Stack, broken, findings, kubeconfig_with, states
from tests.support.doctor_tools import serving as small_server
from tests.support.object_stores import BUCKET, signed_s3
from tests.support.processes import ServiceProcess

NOBODY = 9  # "discard": nothing listens there
ACCOUNT = "pachyderm-worker"


@pytest.fixture(scope="module")
def known(shared_stack: dict[str, str]) -> Settings:
    return load(shared_stack["kubeconfig"])


@pytest.fixture(scope="module")
def stack(shared_stack: dict[str, str]) -> Stack:
    return Stack.of(shared_stack["kubeconfig"])


@pytest.fixture(scope="module")
def core(stack: Stack) -> Any:
    return stack.core


@pytest.fixture(scope="module")
def lab(shared_stack: dict[str, str]) -> Iterator[pdk.Lab]:
    """A participant's project and pipelines."""
    found = pdk.connect(shared_stack["kubeconfig"], participant="doc")
    found.create_projects()
    found.create_pipelines()
    yield found
    found.clean_up(found.clean_up_plan())


@pytest.fixture
def worker(known: Settings, shared_stack: dict[str, str]) -> Settings:
    """The same cluster, as the pipelines' service account sees it."""
    (path,) = Path(shared_stack["state_dir"]).rglob("*worker*kubeconfig*")
    return replace(known, kubeconfig=str(path))


# All well


def test_a_stack_on_which_the_lab_is_set_up_is_well(
    lab: pdk.Lab, shared_stack: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--kubeconfig", shared_stack["kubeconfig"], "--participant", "doc"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["broken"] is False
    assert report["counts"]["warning"] == 0
    assert {each["group"] for each in report["findings"]} == set(doctor.GROUPS)
    # No registry of this stack can be asked, and nothing has run yet: that is said, and not taken for well.
    unknown = {each["id"] for each in report["findings"] if each["state"] == "unknown"}
    assert unknown == {"images.registry", "images.train", "images.deploy"}
    secrets = [lab.settings.det_password.reveal(), lab.settings.pac_token.reveal()]
    assert not any(secret in said.out + said.err for secret in secrets)


def test_the_report_in_a_notebook_and_in_a_terminal(lab: pdk.Lab) -> None:
    report = lab.doctor("determined", "pachyderm")
    assert "ok       determined.reach" in str(report)
    assert "determined.reach" in report._repr_html_()
    assert report.exit_code == 0
    table = lab.preflight()
    assert {row[1] for row in table.rows} == {"ok"}
    with pytest.raises(UsageError, match="no group 'liver'"):
        lab.doctor("liver")


@provokes("pachyderm.project:warning", "pachyderm.train:warning", "pachyderm.deploy:warning")
@provokes("determined.workspace:warning")
def test_a_lab_that_is_not_set_up_yet_gets_warnings_that_keep_exit_code_0(known: Settings) -> None:
    names = Names.for_participant("newcomer")
    for group, ids in (("pachyderm", ("project", "train", "deploy")), ("determined", ("workspace",))):
        found = findings(known, group, names)
        for id in ids:
            assert found[id].state == "warning"
            assert found[id].fix
    assert doctor.Report(list(found.values())).exit_code == 0
    assert findings(known, "pachyderm", names)["project"].fix == "pdk-nb run --only 01 --participant newcomer"


# cluster


def test_no_kubeconfig_no_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--kubeconfig", str(tmp_path / "nope")]) == 1
    said = capsys.readouterr().out
    assert "broken   cluster.api          The kubeconfig does not exist." in said
    # What needs the settings is not judged.
    assert "unknown  determined.all" in said


@provokes("cluster.api:broken")
def test_a_cluster_that_does_not_answer_or_does_not_know_us(tmp_path: Path, known: Settings) -> None:
    elsewhere = kubeconfig_with(tmp_path, str(known.kubeconfig), server=f"https://127.0.0.1:{NOBODY}")
    broken(findings(replace(known, kubeconfig=elsewhere), "cluster")["api"], "does not answer")
    stranger = kubeconfig_with(tmp_path, str(known.kubeconfig), token="nobody's")
    broken(findings(replace(known, kubeconfig=stranger), "cluster")["api"], "refuses this user (401")


@provokes("cluster.config:broken", "*.all:unknown")
def test_a_config_map_that_is_absent_or_lacks_values(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    context = doctor.Context(stack.kubeconfig, "kube-system")
    (missing,) = [each for each in doctor.examine(context, ["cluster"]) if each.id == "cluster.config"]
    broken(missing, "no ConfigMap pdk-config")
    with stack.told(kserve_ingress_host=None, mlde_port="", mlde_url="", mlde_host="N/A") as known:
        found = findings(known, "cluster")["config"]
        broken(found, "3 value(s) are missing: mlde_host, mlde_port, kserve_ingress_host")
        assert found.fix == (
            "pdk-nb config init --apply --set mlde_host=... --set mlde_port=... --set kserve_ingress_host=..."
        )
        assert states(known, "determined") == {"all": "unknown"}
    core = stack.core
    core.patch_namespaced_config_map("pdk-config", "default", {"data": {"mldm_port": "eighty"}})
    try:
        assert main(["doctor", "--only", "cluster", "--kubeconfig", stack.kubeconfig]) == 1
    finally:
        core.patch_namespaced_config_map("pdk-config", "default", {"data": {"mldm_port": str(known.mldm_port)}})
    assert "not a TCP port" in capsys.readouterr().out


@provokes("cluster.secret:broken")
def test_a_secret_that_is_absent_or_lacks_keys(stack: Stack) -> None:
    broken(stack.found("cluster.secret", mldm_pipeline_secret="none-such"), "doesn't exist")
    found = stack.found("cluster.secret", pac_token=None, det_password="")
    broken(found, "no key pac_token and no value for det_password")
    assert "kubectl -n default patch secret pipeline-secret" in found.fix
    assert stack.found("cluster.secret").state == "ok"
    minio = {"minio_url": "http://minio:9000", "kserve_model_bucket_name": "models"}
    found = stack.found("cluster.secret", **minio)
    broken(found, "no key minio_access_key, minio_secret_key")
    assert "--minio-access-key-file" in found.fix
    broken(stack.found("cluster.secret", **minio, minio_access_key="a", minio_secret_key=""), "no value for minio_sec")
    assert stack.found("cluster.secret", **minio, minio_access_key="a", minio_secret_key="b").state == "ok"
    # A MinIO that keeps no models is Pachyderm's own affair.
    assert stack.found("cluster.secret", minio_url="http://minio:9000").state == "ok"


@provokes("cluster.namespaces:broken", "determined.pipelines:broken", "determined.pipelines:unknown")
def test_pipelines_that_look_elsewhere_than_the_notebooks(stack: Stack) -> None:
    elsewhere = stack.found("cluster.namespaces", kserve_namespace="elsewhere")
    broken(elsewhere, "Pipelines deploy to elsewhere")
    same = f"http://localhost:{stack.settings.mlde_port}"
    assert stack.found("determined.pipelines", det_master=same).state == "ok"
    another = Wrong(answers={"/info": lambda info: {**info, "cluster_id": "another"}})
    with before(stack.settings.master_url, another) as port:
        broken(stack.found("determined.pipelines", det_master=f"127.0.0.1:{port}"), "use different Determined masters")
    inside = "determined-master-service-pachyderm.nowhere.invalid:8080"
    assert stack.found("determined.pipelines", det_master=inside).state == "unknown"


@provokes("cluster.namespace:broken")
def test_no_namespace_for_services(stack: Stack) -> None:
    found = stack.found("cluster.namespace", kserve_model_namespace="no-models")
    broken(found, "There is no namespace no-models")
    assert found.fix == "kubectl create namespace no-models"


# pachyderm


@contextlib.contextmanager
def service(core: Any, namespace: str, name: str, ip: str, port: int, port_name: str) -> Iterator[None]:
    """A Service with a load balancer, as a platform's installation makes it."""
    body = {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": [{"name": port_name, "port": port}]}}
    core.create_namespaced_service(namespace, body)
    status = {"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}
    core.patch_namespaced_service_status(name, namespace, status)
    try:
        yield
    finally:
        core.delete_namespaced_service(name, namespace)


@provokes("pachyderm.reach:broken")
def test_pachyderm_elsewhere_than_pdk_config_says(stack: Stack) -> None:
    broken(stack.found("pachyderm.reach", mldm_port=NOBODY), "No connection")
    # The cluster knows better, and the fix is the right address.
    with service(stack.core, "default", "pachyderm-proxy", "203.0.113.7", 9090, "http-port"):
        found = stack.found("pachyderm.reach", mldm_port=NOBODY)
        assert found.fix == "pdk-nb config init --apply --set mldm_host=203.0.113.7 --set mldm_port=9090"
    broken(stack.found("pachyderm.reach", mldm_host="pachd.invalid"), "the name doesn't resolve")
    # Something else listens there.
    broken(stack.found("pachyderm.reach", mldm_port=stack.settings.mlde_port), "Pachyderm does not answer")


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


# determined


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
    # The command that mends it is run as it is given.
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


# kserve


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
    broken(findings(settings, "kserve")["crd"], "KServe is not installed")
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


# rights


@provokes("rights.worker:broken")
def test_a_worker_without_its_role(core: Any, known: Settings) -> None:
    rbac = kubernetes.client.RbacAuthorizationV1Api(core.api_client)
    kept = rbac.read_namespaced_role(ACCOUNT, "models")
    rbac.delete_namespaced_role(ACCOUNT, "models")
    try:
        found = findings(known, "rights")
        assert found["person"].state == "ok"
        broken(found["worker"], "may not get inferenceservices in models")
    finally:
        rbac.create_namespaced_role("models", {"metadata": {"name": ACCOUNT}, "rules": kept.rules})
    assert findings(known, "rights")["worker"].state == "ok"


@provokes("rights.person:broken", "rights.worker:unknown", "rights.person:unknown")
def test_a_person_without_rights(worker: Settings, known: Settings, tmp_path: Path) -> None:
    found = findings(worker, "rights")
    broken(found["person"], "may not")
    # Who may not ask about others is told so.
    assert found["worker"].state == "unknown"
    # A token that ends while the doctor looks.
    stranger = kubeconfig_with(tmp_path, str(known.kubeconfig), token="nobody's")
    assert states(replace(known, kubeconfig=stranger), "rights") == {"person": "unknown", "worker": "unknown"}


# storage


@provokes("cluster.namespace:unknown", "cluster.secret:broken", "kserve.crd:unknown", "kserve.version:unknown")
@provokes("storage.account:unknown")
def test_who_may_see_little_is_told_what_cannot_be_seen(worker: Settings) -> None:
    assert findings(worker, "cluster")["namespace"].state == "unknown"
    # Definitions are the administrators'; the services themselves can be listed.
    seen = findings(worker, "kserve")
    assert (seen["crd"].state, seen["version"].state) == ("ok", "unknown")
    elsewhere = replace(worker, kserve_model_namespace="kube-system")
    assert findings(elsewhere, "kserve")["crd"].state == "unknown"
    assert findings(elsewhere, "storage")["account"].state == "unknown"
    broken(
        findings(replace(worker, mldm_namespace="kube-system"), "cluster")["secret"],
        "Can't read the pipelines' secret (403",
    )
    nothing_there = doctor.Context(worker.kubeconfig or "", "kube-system")
    (config_map,) = [each for each in doctor.examine(nothing_there, ["cluster"]) if each.id == "cluster.config"]
    broken(config_map, "refuses to show pdk-config (403")


@provokes("storage.gateway:broken", "storage.gateway:unknown", "storage.account:broken", "storage.account:warning")
def test_the_gateway_and_the_account_that_reads_it(stack: Stack, lab: pdk.Lab) -> None:
    core, known = stack.core, stack.settings
    assert states(known, "storage") == {"gateway": "ok", "account": "ok"}
    broken(stack.found("storage.gateway", mldm_s3_endpoint=f"127.0.0.1:{NOBODY}"), "No connection")
    broken(stack.found("storage.gateway", pac_token="wrong"), "refuses the token")
    inside = stack.findings("storage", mldm_s3_endpoint="pachd.nowhere.invalid:30600")
    assert inside["gateway"].state == "unknown"
    broken(inside["account"], "points to")
    core.patch_namespaced_secret("pach-kserve-creds", "models", {"data": {"AWS_ACCESS_KEY_ID": ""}})
    broken(findings(known, "storage")["account"], "keys are empty")
    core.delete_namespaced_service_account("pach-deploy", "models")
    assert states(known, "storage")["account"] == "warning"
    core.create_namespaced_service_account("models", {"metadata": {"name": "pach-deploy"}})
    broken(findings(known, "storage")["account"], "doesn't use the secret")
    serving.ensure_service_account(known)
    assert states(known, "storage")["account"] == "ok"


@provokes("storage.models:broken", "storage.models:unknown", "storage.account:broken")
def test_a_bucket_of_models(stack: Stack, lab: pdk.Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with signed_s3() as server:
        where = {"kserve_model_bucket_name": BUCKET, "minio_url": server.endpoint}
        keys = {"minio_access_key": server.access_key, "minio_secret_key": server.secret_key}
        # Nobody knows the keys: neither the cluster nor this machine.
        assert stack.found("storage.models", **where).state == "unknown"
        refused = stack.found("storage.models", **where, **{**keys, "minio_secret_key": "another"})
        broken(refused, "SignatureDoesNotMatch")
        assert f"aws --endpoint-url {server.endpoint} s3 ls s3://{BUCKET}; pdk-nb config init" in refused.fix
        assert server.secret_key not in str(refused)
        absent = {**where, **keys, "kserve_model_bucket_name": "no-such-bucket"}
        broken(stack.found("storage.models", **absent), "AccessDenied")
        with stack.told(**where, **keys) as known:
            found = findings(known, "storage")
            assert found["models"].state == "ok"
            assert "the pipelines' keys" in found["models"].what
            # The account still leads to Pachyderm's gateway; notebook 01 brings it here.
            broken(found["account"], "points to")
            assert serving.ensure_service_account(known) is True
            assert states(known, "storage") == {"models": "ok", "account": "ok"}
            assert list(storage.models_of(known).keys()) == []
    serving.ensure_service_account(stack.settings)
    inside = {**where, "minio_url": "http://minio.nowhere.invalid:9000"}
    assert stack.found("storage.models", **inside).state == "unknown"


@provokes("storage.models:unknown")
def test_a_bucket_of_googles_without_credentials(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    found = stack.found("storage.models", kserve_model_bucket_name="lab-models", cloud_model_host="gcp")
    assert found.state == "unknown"
    assert found.fix.startswith("gsutil ls gs://lab-models")


# code, route, clock, versions


@provokes("code.repository:broken", "code.repository:unknown")
def test_the_experiments_code(stack: Stack, tmp_path: Path) -> None:
    assert stack.found("code.repository").state == "ok"
    broken(stack.found("code.repository", git_url="", git_ref=""), "placeholder")
    broken(stack.found("code.repository", git_ref="no-such-branch"), "does not exist")
    broken(stack.found("code.repository", git_url=f"{tmp_path.as_uri()}/gone"), "does not exist")
    assert stack.found("code.repository", git_url="https://git.nowhere.invalid/lab.git").state == "unknown"
    assert stack.found("code.repository", git_url=tmp_path.as_uri()).state == "ok"


@provokes("route.trials:broken", "route.trials:unknown")
def test_the_way_back_to_pachyderm(stack: Stack) -> None:
    assert stack.found("route.trials").state == "ok"
    unset = stack.found("route.trials", pachd_lb_service_host="")
    broken(unset, "isn't set")
    assert "kubectl -n default patch secret pipeline-secret" in unset.fix
    # The trap of the old examples: without an address, clients ask their own machine.
    broken(stack.found("route.trials", mlde_host="determined.example.invalid"), "their own machine")
    broken(stack.found("route.trials", pachd_lb_service_port=NOBODY), "No connection")
    with service(stack.core, "default", "pachyderm-proxy", "203.0.113.7", 80, "http-port"):
        inside = {"mlde_host": "10.1.2.3", "pachd_lb_service_host": "203.0.113.7", "pachd_lb_service_port": 80}
        assert stack.found("route.trials", **inside).state == "unknown"
    assert [route.is_loopback(each) for each in ("127.0.0.1", "localhost", "::1", "10.0.0.1", "pachd")] == [
        True,
        True,
        True,
        False,
        False,
    ]


# Half an hour behind, two minutes ahead, and answers without a time.
SKEWS = ((-1800.0, "broken", "1800 s behind"), (120.0, "warning", "120 s ahead"), (None, "unknown", "no Date header"))


@provokes("clock.kubernetes:broken", "clock.kubernetes:warning", "clock.kubernetes:unknown")
@provokes("clock.determined:broken", "clock.determined:warning", "clock.determined:unknown")
@provokes("clock.storage:broken", "clock.storage:warning", "clock.storage:unknown")
def test_clocks_that_go_wrong(stack: Stack, tmp_path: Path) -> None:
    known, wrong = stack.settings, Wrong()
    with contextlib.ExitStack() as proxies:
        kubeconfig = proxies.enter_context(kubernetes_before(stack.kubeconfig, wrong, tmp_path))
        master = proxies.enter_context(before(known.master_url, wrong))
        gateway = proxies.enter_context(before(f"http://{known.mldm_s3_endpoint}", wrong))
        told = {"mlde_port": master, "mlde_url": "", "mldm_s3_endpoint": f"127.0.0.1:{gateway}"}
        with stack.told(**told) as through:
            through = replace(through, kubeconfig=kubeconfig)
            assert set(states(through, "clock").values()) == {"ok"}
            for wrong.skew, state, words in SKEWS:
                found = findings(through, "clock")
                assert set(found) == {"kubernetes", "determined", "storage"}
                for each in found.values():
                    assert (each.state, words in each.what) == (state, True), each
                    if state == "broken":
                        broken(each, "behind this machine's")
    # Those who do not answer have no time either.
    with stack.told(mlde_port=NOBODY, mlde_url="", mldm_s3_endpoint=f"127.0.0.1:{NOBODY}") as gone:
        assert states(replace(gone, kubeconfig=kubeconfig), "clock") == dict.fromkeys(found, "unknown")


@provokes("versions.kubernetes:broken", "versions.kubernetes:unknown")
def test_a_kubernetes_of_another_release(stack: Stack, tmp_path: Path) -> None:
    wrong = Wrong()
    with kubernetes_before(stack.kubeconfig, wrong, tmp_path) as kubeconfig:
        through = replace(stack.settings, kubeconfig=kubeconfig)
        for version, state in (("v1.18.20", "broken"), ("v1.33.1-gke.7", "ok"), ("", "unknown")):
            wrong.answers = {"/version/": lambda told, version=version: {**told, "gitVersion": version}}
            found = findings(through, "versions")["kubernetes"]
            assert found.state == state, found
            assert version in found.what
    assert states(through, "versions")["kubernetes"] == "unknown"


@provokes("versions.pachyderm:broken", "versions.pachyderm:unknown")
def test_a_pachyderm_of_another_release(stack: Stack, lab: pdk.Lab) -> None:
    known = stack.settings
    older = type(lab.pachyderm.get_remote_version())(major=2, minor=4, micro=6)
    with pachyderm_of_release(f"{known.mldm_host}:{known.mldm_port}", older.SerializeToString()) as port:
        broken(stack.found("versions.pachyderm", mldm_port=port), "server 2.4.6")
    assert stack.found("versions.pachyderm", mldm_port=NOBODY).state == "unknown"


@provokes("versions.determined:warning", "versions.determined:unknown")
def test_a_determined_of_another_release(stack: Stack) -> None:
    wrong = Wrong()
    with before(stack.settings.master_url, wrong) as port:
        for version, state in (("0.28.1", "warning"), ("0.38.0", "ok"), ("", "unknown")):
            wrong.answers = {"/info": lambda info, version=version: {**info, "version": version}}
            found = stack.found("versions.determined", mlde_port=port, mlde_url="")
            assert found.state == state, found
            assert ("pip install determined==0.28.1" in found.fix) is (state == "warning")
    assert stack.found("versions.determined", mlde_port=NOBODY, mlde_url="").state == "unknown"
    assert kserve.TRAPS[0].first < kserve.TRAPS[0].last
