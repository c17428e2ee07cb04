"""The doctor on a running stack: all well first, then every finding provoked by breaking the thing it looks at."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from pdk_nb import doctor, mlde, mldm, serving
from pdk_nb import lab as pdk
from pdk_nb.cli import main
from pdk_nb.doctor import clock, kserve, route, versions
from pdk_nb.errors import UsageError
from pdk_nb.names import Names
from pdk_nb.settings import Secret, Settings, load
from tests.doctor_tools import Answers, broken, findings
from tests.doctor_tools import serving as small_server
from tests.processes import ServiceProcess

NOBODY = 9  # "discard": nothing listens there
ACCOUNT = "pachyderm-worker"


@pytest.fixture(scope="module")
def known(shared_stack: dict[str, str]) -> Settings:
    return load(shared_stack["kubeconfig"])


@pytest.fixture(scope="module")
def core(shared_stack: dict[str, str]) -> Any:
    return kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(config_file=shared_stack["kubeconfig"]))


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


def kubeconfig_with(tmp_path: Path, source: str, **changes: str) -> str:
    import yaml

    content = yaml.safe_load(Path(source).read_text())
    if "server" in changes:
        content["clusters"][0]["cluster"]["server"] = changes["server"]
    if "token" in changes:
        content["users"][0]["user"] = {"token": changes["token"]}
    target = tmp_path / "kubeconfig"
    target.write_text(yaml.safe_dump(content))
    return str(target)


def test_a_cluster_that_does_not_answer_or_does_not_know_us(tmp_path: Path, known: Settings) -> None:
    elsewhere = kubeconfig_with(tmp_path, str(known.kubeconfig), server=f"https://127.0.0.1:{NOBODY}")
    broken(findings(replace(known, kubeconfig=elsewhere), "cluster")["api"], "does not answer")
    stranger = kubeconfig_with(tmp_path, str(known.kubeconfig), token="nobody's")
    broken(findings(replace(known, kubeconfig=stranger), "cluster")["api"], "refuses this user (401")


@contextlib.contextmanager
def config(core: Any, **changes: str | None) -> Iterator[None]:
    """Change values of pdk-config, and put them back."""
    before = core.read_namespaced_config_map("pdk-config", "default").data
    core.patch_namespaced_config_map("pdk-config", "default", {"data": changes})
    try:
        yield
    finally:
        core.patch_namespaced_config_map("pdk-config", "default", {"data": {key: before.get(key) for key in changes}})


@contextlib.contextmanager
def pipeline_secret(core: Any, **changes: str | None) -> Iterator[None]:
    """Change values of the pipelines' secret, and put them back."""
    before = core.read_namespaced_secret("pipeline-secret", "default").data
    data = {
        key: value if value is None else base64.b64encode(value.encode()).decode() for key, value in changes.items()
    }
    core.patch_namespaced_secret("pipeline-secret", "default", {"data": data})
    try:
        yield
    finally:
        core.patch_namespaced_secret("pipeline-secret", "default", {"data": {key: before[key] for key in changes}})


def test_a_config_map_that_is_absent_or_lacks_values(core: Any, known: Settings, capsys: Any) -> None:
    context = doctor.Context(known.kubeconfig or "", "kube-system")
    (missing,) = [each for each in doctor.examine(context, ["cluster"]) if each.id == "cluster.config"]
    broken(missing, "no ConfigMap pdk-config")
    with config(core, kserve_ingress_host=None, mlde_port="", mlde_url="", mlde_host="N/A"):
        found = findings(load(known.kubeconfig), "cluster")["config"]
        broken(found, "3 value(s) are missing: mlde_host, mlde_port, kserve_ingress_host")
        assert found.fix == (
            "pdk-nb config init --apply --set mlde_host=... --set mlde_port=... --set kserve_ingress_host=..."
        )
        assert findings(load(known.kubeconfig), "determined")["all"].state == "unknown"
    with config(core, mldm_port="eighty"):
        assert main(["doctor", "--only", "cluster", "--kubeconfig", str(known.kubeconfig)]) == 1
        assert "not a TCP port" in capsys.readouterr().out


def test_a_secret_that_is_absent_or_lacks_keys(core: Any, known: Settings) -> None:
    absent = findings(replace(known, mldm_pipeline_secret="none-such"), "cluster")["secret"]
    broken(absent, "is not there")
    with pipeline_secret(core, pac_token=None, det_password=""):
        found = findings(load(known.kubeconfig), "cluster")["secret"]
        broken(found, "no key pac_token and no value for det_password")
        assert "kubectl -n default patch secret pipeline-secret" in found.fix
    assert findings(load(known.kubeconfig), "cluster")["secret"].state == "ok"
    minio = replace(known, minio_url="http://minio:9000", kserve_model_bucket_name="models")
    broken(findings(minio, "cluster")["secret"], "no key minio_access_key, minio_secret_key")


def test_pipelines_that_look_elsewhere_than_the_notebooks(core: Any, known: Settings) -> None:
    with pipeline_secret(core, kserve_namespace="elsewhere"):
        broken(findings(load(known.kubeconfig), "cluster")["namespaces"], "Pipelines deploy into elsewhere")
    same = replace(known, det_master=f"http://localhost:{known.mlde_port}")
    assert findings(same, "determined")["pipelines"].state == "ok"
    with small_server(Answers(routes={"/info": (200, {}, {"version": "0.38.1", "cluster_id": "another"})})) as other:
        found = findings(replace(known, det_master=other.address), "determined")["pipelines"]
    broken(found, "another Determined")
    inside = replace(known, det_master="determined-master-service-pachyderm.nowhere.invalid:8080")
    assert findings(inside, "determined")["pipelines"].state == "unknown"


def test_no_namespace_for_services(known: Settings) -> None:
    found = findings(replace(known, kserve_model_namespace="no-models"), "cluster")["namespace"]
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


def test_pachyderm_elsewhere_than_pdk_config_says(core: Any, known: Settings) -> None:
    gone = findings(replace(known, mldm_port=NOBODY), "pachyderm")["reach"]
    broken(gone, "Nobody answers")
    # The cluster knows better, and the fix is the right address.
    with service(core, "default", "pachyderm-proxy", "203.0.113.7", 9090, "http-port"):
        found = findings(replace(known, mldm_port=NOBODY), "pachyderm")["reach"]
        assert found.fix == "pdk-nb config init --apply --set mldm_host=203.0.113.7 --set mldm_port=9090"
    unknown_name = findings(replace(known, mldm_host="pachd.invalid"), "pachyderm")["reach"]
    broken(unknown_name, "nobody knows this name")
    # Something else listens there.
    other = replace(known, mldm_port=known.mlde_port)
    broken(findings(other, "pachyderm")["reach"], "Pachyderm does not answer")


def test_a_pachyderm_token_that_is_refused(known: Settings) -> None:
    found = findings(replace(known, pac_token=Secret("not-the-token")), "pachyderm")
    assert found["reach"].state == "ok"
    broken(found["login"], "Pachyderm")
    assert "not-the-token" not in str(found)
    assert "pac_token" in found["login"].fix


def test_a_pipeline_that_cannot_start(lab: pdk.Lab, known: Settings) -> None:
    names = lab.names
    spec: dict[str, Any] = {
        "pipeline": {"name": names.train_pipeline, "project": {"name": names.project}},
        "input": {"pfs": {"repo": names.data_repo, "project": names.project, "glob": "/", "name": "data"}},
        "transform": {"cmd": ["true"], "image": "registry.example.invalid/no-such-image:1.0.0"},
    }
    mldm.ensure_pipeline(lab.pachyderm, spec)
    try:
        deadline = time.monotonic() + 30
        while mldm.pipelines(lab.pachyderm, names.project)[names.train_pipeline][0] != "CRASHING":
            assert time.monotonic() < deadline
        broken(findings(known, "pachyderm", names)["train"], "crashing")
        image = findings(known, "images", names)["train"]
        broken(image, "Pachyderm cannot start it")
        assert image.where == "registry.example.invalid/no-such-image:1.0.0"
        assert findings(known, "versions", names)[names.train_pipeline].state == "warning"
    finally:
        lab.create_pipelines()


# determined


def test_determined_elsewhere_and_a_password_that_is_refused(core: Any, known: Settings) -> None:
    nowhere = replace(known, mlde_port=NOBODY, mlde_url="")
    broken(findings(nowhere, "determined")["reach"], "Nobody answers")
    with service(core, "default", "determined-master-service-pachyderm", "203.0.113.8", 8080, "master-port"):
        fix = findings(nowhere, "determined")["reach"].fix
        assert fix == "pdk-nb config init --apply --set mlde_host=203.0.113.8 --set mlde_port=8080"
    with small_server(Answers(routes={"/info": (200, {}, {"name": "something else"})})) as other:
        elsewhere = replace(known, mlde_port=other.port, mlde_url="")
        broken(findings(elsewhere, "determined")["reach"], "not Determined")
    refused = findings(replace(known, det_password=Secret("wrong-Passw0rd")), "determined")
    assert refused["reach"].state == "ok"
    broken(refused["login"], "refuses the log-in of 'admin'")
    assert "wrong-Passw0rd" not in str(refused)


def test_a_pool_that_does_not_exist_and_pools_without_slots(known: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(replace(known, resource_pool="gpu-pool"), "determined")["pool"]
    broken(found, "no resource pool 'gpu-pool'")
    assert found.fix == "pdk-nb config init --apply --set resource_pool=default"
    monkeypatch.setattr(mlde, "pools", lambda client: [])
    broken(findings(known, "determined")["pool"], "no resource pool")
    monkeypatch.setattr(mlde, "pools", lambda client: [mlde.Pool("gpu-pool", 0, True)])
    broken(findings(known, "determined")["slots"], "has no slots")
    monkeypatch.setattr(mlde, "pools", lambda client: [mlde.Pool("gpu-pool", 0, True, on_demand=True)])
    assert findings(known, "determined")["slots"].state == "warning"


# kserve


@pytest.fixture
def bare(tmp_path: Path, known: Settings) -> Iterator[tuple[Settings, Any]]:
    """Another Kubernetes, of its own, that may be taken apart."""
    secrets = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    process = ServiceProcess("kubernetes", tmp_path, secrets).start()
    client = kubernetes.config.new_client_from_config(config_file=process.ready["kubeconfig"])
    yield replace(known, kubeconfig=process.ready["kubeconfig"]), client
    process.stop()


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


@pytest.mark.parametrize(
    ("release", "trapped"), [("v0.11.2", False), ("v0.12.0", True), ("v0.14.1", True), ("v0.15.0", False)]
)
def test_the_storage_traps_of_a_release(core: Any, known: Settings, release: str, trapped: bool) -> None:
    names = "trap-dog-cat"
    served = serving.Deployment(name=names, storage_uri="s3://bucket/dogs-and-cats", model="m", version="v1")
    serving.apply(known, served)
    try:
        with kserve_release(core, f"kserve/storage-initializer:{release}"):
            found = findings(known, "kserve")
            assert found["version"].what == f"KServe {release[1:]}."
            assert ("storage" in found) is trapped
            if trapped:
                broken(found["storage"], names)
                serving.apply(known, replace(served, storage_uri="s3://bucket/dogs-and-cats/v1/"))
                assert findings(known, "kserve")["storage"].state == "ok"
        with kserve_release(core, "registry.example.com/initializer:latest"):
            assert findings(known, "kserve")["version"].state == "unknown"
    finally:
        serving.delete(known, names)


def test_an_ingress_that_does_not_answer(known: Settings) -> None:
    found = findings(replace(known, kserve_ingress_port=NOBODY), "kserve")["ingress"]
    broken(found, "Nobody answers")
    # The gateway's own Service says where it is.
    right = (
        f"--set kserve_ingress_host={known.kserve_ingress_host} --set kserve_ingress_port={known.kserve_ingress_port}"
    )
    assert found.fix == f"pdk-nb config init --apply {right}"
    mute = replace(known, kserve_ingress_port=known.mldm_port)
    broken(findings(mute, "kserve")["ingress"], "does not speak HTTP")


# rights


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


def test_a_person_without_rights(worker: Settings) -> None:
    found = findings(worker, "rights")
    broken(found["person"], "may not")
    # Who may not ask about others is told so.
    assert found["worker"].state == "unknown"


# storage


def test_who_may_see_little_is_told_what_cannot_be_seen(worker: Settings) -> None:
    assert findings(worker, "cluster")["namespace"].state == "unknown"
    # Definitions are the administrators'; the services themselves can be listed.
    seen = findings(worker, "kserve")
    assert (seen["crd"].state, seen["version"].state) == ("ok", "unknown")
    elsewhere = replace(worker, kserve_model_namespace="kube-system")
    assert findings(elsewhere, "kserve")["crd"].state == "unknown"
    assert findings(elsewhere, "storage")["account"].state == "unknown"
    broken(findings(replace(worker, mldm_namespace="kube-system"), "cluster")["secret"], "cannot be read (403")
    nothing_there = doctor.Context(worker.kubeconfig or "", "kube-system")
    (config_map,) = [each for each in doctor.examine(nothing_there, ["cluster"]) if each.id == "cluster.config"]
    broken(config_map, "refuses to show pdk-config (403")


def test_the_gateway_and_the_account_that_reads_it(core: Any, known: Settings, lab: pdk.Lab) -> None:
    assert findings(known, "storage")["gateway"].state == "ok"
    broken(findings(replace(known, mldm_s3_endpoint=f"127.0.0.1:{NOBODY}"), "storage")["gateway"], "Nobody answers")
    broken(findings(replace(known, pac_token=Secret("wrong")), "storage")["gateway"], "refuses the token")
    inside = findings(replace(known, mldm_s3_endpoint="pachd.nowhere.invalid:30600"), "storage")
    assert inside["gateway"].state == "unknown"
    broken(inside["account"], "leads to")
    core.patch_namespaced_secret("pach-kserve-creds", "models", {"data": {"AWS_ACCESS_KEY_ID": ""}})
    broken(findings(known, "storage")["account"], "keys are empty")
    core.delete_namespaced_service_account("pach-deploy", "models")
    assert findings(known, "storage")["account"].state == "warning"
    core.create_namespaced_service_account("models", {"metadata": {"name": "pach-deploy"}})
    broken(findings(known, "storage")["account"], "does not use the secret")
    serving.ensure_service_account(known)
    assert findings(known, "storage")["account"].state == "ok"


def test_a_bucket_of_models(known: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        cloud = replace(known, kserve_model_bucket_name="lab-models", minio_url=f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        assert findings(cloud, "storage")["models"].state == "unknown"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        broken(findings(cloud, "storage")["models"], "NoSuchBucket")
        client = boto3.client("s3", endpoint_url=cloud.minio_url, region_name="us-east-1")
        client.create_bucket(Bucket="lab-models")
        found = findings(cloud, "storage")
        assert found["models"].state == "ok"
        # MinIO's keys are not there: the predictors' secret leads elsewhere, or is not there at all.
        assert found["account"].state in ("broken", "warning")
        assert "Contents" not in client.list_objects_v2(Bucket="lab-models")
    finally:
        server.stop()
    inside = replace(cloud, minio_url="http://minio.nowhere.invalid:9000")
    assert findings(inside, "storage")["models"].state == "unknown"


def test_a_bucket_of_googles_without_credentials(
    known: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    cloud = replace(known, kserve_model_bucket_name="lab-models", cloud_model_host="gcp")
    found = findings(cloud, "storage")["models"]
    assert found.state == "unknown"
    assert found.fix.startswith("gsutil ls gs://lab-models")


# code, route, clock, versions


def test_the_experiments_code(known: Settings, tmp_path: Path) -> None:
    assert findings(known, "code")["repository"].state == "ok"
    broken(findings(replace(known, git_url="", git_ref=""), "code")["repository"], "placeholder")
    broken(findings(replace(known, git_ref="no-such-branch"), "code")["repository"], "does not exist")
    broken(findings(replace(known, git_url=f"{tmp_path.as_uri()}/gone"), "code")["repository"], "does not exist")
    offline = replace(known, git_url="https://git.nowhere.invalid/lab.git")
    assert findings(offline, "code")["repository"].state == "unknown"
    assert findings(replace(known, git_url=tmp_path.as_uri()), "code")["repository"].state == "ok"


def test_the_way_back_to_pachyderm(core: Any, known: Settings) -> None:
    assert findings(known, "route")["trials"].state == "ok"
    unset = findings(replace(known, pachd_lb_service_host=""), "route")["trials"]
    broken(unset, "is not set")
    assert "kubectl -n default patch secret pipeline-secret" in unset.fix
    # The trap of the old examples: without an address, clients ask their own machine.
    far = replace(known, mlde_host="determined.example.com")
    broken(findings(far, "route")["trials"], "their own machine")
    broken(findings(replace(known, pachd_lb_service_port=NOBODY), "route")["trials"], "Nobody answers")
    with service(core, "default", "pachyderm-proxy", "203.0.113.7", 80, "http-port"):
        inside = replace(known, mlde_host="10.1.2.3", pachd_lb_service_host="203.0.113.7", pachd_lb_service_port=80)
        assert findings(inside, "route")["trials"].state == "unknown"
    assert [route.is_loopback(each) for each in ("127.0.0.1", "localhost", "::1", "10.0.0.1", "pachd")] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_clocks_that_go_wrong(known: Settings) -> None:
    with small_server(Answers(routes={"/info": (200, {}, {"version": "0.38.1"})})) as other:
        elsewhere = replace(known, mlde_port=other.port, mlde_url="")
        assert findings(elsewhere, "clock")["determined"].state == "unknown"
        other.date = formatdate(time.time() - 3600, usegmt=True)
        found = findings(elsewhere, "clock")["determined"]
        broken(found, "behind this machine's")
        other.date = formatdate(time.time() + 120, usegmt=True)
        assert findings(elsewhere, "clock")["determined"].state == "warning"
        other.date = formatdate(time.time() + 7200, usegmt=True)
        broken(findings(replace(known, mldm_s3_endpoint=other.address), "clock")["storage"], "ahead of this machine's")
    assert findings(replace(known, mlde_port=NOBODY, mlde_url=""), "clock")["determined"].state == "unknown"
    assert clock.judge("x", "no date at all", 0.0).state == "unknown"
    assert clock.judge("x", formatdate(1000.0, usegmt=True), 1000.9).state == "ok"


@pytest.mark.parametrize(
    ("server", "state"), [("2.4.6", "broken"), ("2.5.0", "ok"), ("2.11.1", "ok"), ("3.0.0", "broken"), ("", "unknown")]
)
def test_servers_of_other_releases(server: str, state: str) -> None:
    found = versions.judge_minimum("pachyderm", "7.6.0", server, versions.MIN_PACHYDERM)
    assert found.state == state


@pytest.mark.parametrize(("server", "state"), [("v1.18.20", "broken"), ("v1.19.0", "ok"), ("v1.33.1-gke.7", "ok")])
def test_kubernetes_of_other_releases(server: str, state: str) -> None:
    assert versions.judge_minimum("kubernetes", "36.0.3", server, versions.MIN_KUBERNETES).state == state


@pytest.mark.parametrize(
    ("master", "state"), [("0.38.1", "ok"), ("0.38.0", "ok"), ("0.28.1", "warning"), ("", "unknown")]
)
def test_masters_of_other_releases(known: Settings, master: str, state: str) -> None:
    with small_server(Answers(routes={"/info": (200, {}, {"version": master})})) as other:
        found = findings(replace(known, mlde_port=other.port, mlde_url=""), "versions")["determined"]
    assert found.state == state
    assert ("pip install determined==0.28.1" in found.fix) is (state == "warning")


def test_versions_that_nobody_tells(known: Settings) -> None:
    nowhere = replace(known, mldm_port=NOBODY, mlde_port=NOBODY, mlde_url="")
    found = findings(nowhere, "versions")
    assert (found["pachyderm"].state, found["determined"].state) == ("unknown", "unknown")
    assert kserve.TRAPS[0].first < kserve.TRAPS[0].last
