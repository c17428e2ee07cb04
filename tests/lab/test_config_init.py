"""``config init``: what a cluster tells about itself, what it does not, and that no secret comes into a text."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml

from pdk_nb import configure
from pdk_nb.cli import main
from pdk_nb.configure import manifests
from pdk_nb.platforms import serving
from pdk_nb.settings import KEYS, load
from pdk_shared.errors import UsageError
from tests.support.doctor_tools import broken, findings
from tests.support.processes import ServiceProcess

TEMPLATES = Path(__file__).resolve().parents[2] / "docs" / "cluster"
PASSWORD, TOKEN, MINIO_SECRET = "Determined-Passw0rd", "pachyderm-robot-token", "minio-secret-key"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A Kubernetes with KServe, without anything of the lab: kubeconfig and client."""
    secrets = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    process = ServiceProcess("kubernetes", tmp_path, secrets).start()
    client = kubernetes.config.new_client_from_config(config_file=process.ready["kubeconfig"])
    yield process.ready["kubeconfig"], client
    process.stop()


def install(client: Any, *, proxy: str, bucket_key: str, bucket: str, master: str = "", **storage: str) -> None:
    """What the platforms' own installations leave, as far as it tells addresses.

    Args:
        client: API client.
        proxy: Address of the load balancer before Pachyderm.
        bucket_key: Key of the bucket in Pachyderm's storage secret.
        bucket: The bucket.
        master: Address of the load balancer before Determined; none when empty.
        storage: Further keys of the storage secret.
    """
    core = kubernetes.client.CoreV1Api(client)
    for name, port, port_name, address in (
        ("pachyderm-proxy", 80, "http-port", proxy),
        ("pachd", 30650, "api-grpc-port", ""),
        ("determined-master-service-pachyderm", 8080, "master-port", master),
    ):
        spec = {"type": "LoadBalancer" if address else "ClusterIP", "ports": [{"name": port_name, "port": port}]}
        core.create_namespaced_service("default", {"metadata": {"name": name}, "spec": spec})
        if address:
            entry = {"hostname" if address[0].isalpha() else "ip": address}
            status = {"status": {"loadBalancer": {"ingress": [entry]}}}
            core.patch_namespaced_service_status(name, "default", status)
    body = {"metadata": {"name": "pachyderm-storage-secret"}, "stringData": {bucket_key: bucket, **storage}}
    core.create_namespaced_secret("default", body)


def test_a_cloud_tells_nearly_everything(cluster: tuple[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig, client = cluster
    core = kubernetes.client.CoreV1Api(client)
    install(
        client,
        proxy="mldm.elb.example.com",
        master="mlde.elb.example.com",
        bucket_key="AMAZON_BUCKET",
        bucket="me-repo-mldm",
    )
    core.patch_node("embedded", {"metadata": {"labels": {"topology.kubernetes.io/region": "us-east-2"}}})
    assert main(["config", "init", "--kubeconfig", kubeconfig]) == 0
    said = capsys.readouterr()
    objects = {each["kind"]: each for each in yaml.safe_load_all(said.out)}
    data = objects["ConfigMap"]["data"]
    assert set(data) == {key.name for key in KEYS}
    told = {key: data[key] for key in ("region", "mldm_host", "mldm_port", "mlde_host", "mlde_port", "pdk_name")}
    assert told == {
        "region": "us-east-2",
        "mldm_host": "mldm.elb.example.com",
        "mldm_port": "80",
        "mlde_host": "mlde.elb.example.com",
        "mlde_port": "8080",
        "pdk_name": "me",
    }
    assert data["kserve_ingress_host"] == "127.0.0.1"
    # The guides' third bucket is a guess, and is marked as one.
    assert 'kserve_model_bucket_name: "me-repo-models"  # GUESSED' in said.out
    assert data["registry_uri"] == "N/A"
    # With a bucket of a cloud, no account for the S3 gateway is needed.
    assert [each["kind"] for each in yaml.safe_load_all(said.out)] == [
        "Namespace",
        "ConfigMap",
        "Secret",
        "Role",
        "RoleBinding",
    ]
    assert "det_password: FILL IN" in said.out
    with pytest.raises(kubernetes.client.ApiException):
        core.read_namespaced_config_map("pdk-config", "default")


def test_it_is_applied_kept_and_applied_again(
    cluster: tuple[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig, client = cluster
    core = kubernetes.client.CoreV1Api(client)
    install(client, proxy="203.0.113.7", bucket_key="LOCAL", bucket="none")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "token").write_text(TOKEN + "\n")
    flags = ["--kubeconfig", kubeconfig, "--det-password-file", str(tmp_path / "password")]
    flags += ["--pac-token-file", str(tmp_path / "token")]
    assert main(["config", "init", *flags]) == 0
    assert main(["config", "init", "--apply", "--set", "git_url=https://git.example.com/lab.git", *flags]) == 0
    said = capsys.readouterr()
    for secret in (PASSWORD, TOKEN):
        assert secret not in said.out + said.err
        assert base64.b64encode(secret.encode()).decode() not in said.out + said.err
    known = load(kubeconfig)
    assert known.missing == ()
    assert (known.mldm_host, known.mlde_host) == (
        "203.0.113.7",
        "determined-master-service-pachyderm.default.svc.cluster.local",
    )
    assert (known.det_password.reveal(), known.pac_token.reveal()) == (PASSWORD, TOKEN)
    assert (known.pachd_lb_service_host, known.pachd_lb_service_port) == ("203.0.113.7", 80)
    assert known.git_url == "https://git.example.com/lab.git"
    gateway = core.read_namespaced_secret("pach-kserve-creds", "models")
    assert gateway.metadata.annotations["serving.kserve.io/s3-endpoint"] == "pachd.default:30600"
    assert base64.b64decode(gateway.data["AWS_ACCESS_KEY_ID"]).decode() == TOKEN
    # What people wrote stays, and keys that the lab does not know stay, too.
    core.patch_namespaced_config_map(
        "pdk-config", "default", {"data": {"mldm_host": "mine.example.com", "efs_id": "fs-1"}}
    )
    capsys.readouterr()
    assert main(["config", "init", "--apply", "--kubeconfig", kubeconfig]) == 0
    assert "ConfigMap default/pdk-config: unchanged" in capsys.readouterr().out
    data = core.read_namespaced_config_map("pdk-config", "default").data
    assert (data["mldm_host"], data["efs_id"]) == ("mine.example.com", "fs-1")
    assert load(kubeconfig).det_password.reveal() == PASSWORD
    # An address for trials alone, as the doctor's command sets it, outlives other changes; the rest follows pdk-config.
    data = {"pachd_lb_service_host": base64.b64encode(b"pachd.default").decode()}
    core.patch_namespaced_secret("pipeline-secret", "default", {"data": data})
    changes = ["--set", "resource_pool=gpu", "--set", "mlde_host=mlde.example.com", "--set", "mlde_port=81"]
    assert main(["config", "init", "--apply", "--kubeconfig", kubeconfig, *changes]) == 0
    known = load(kubeconfig)
    assert (known.pachd_lb_service_host, known.resource_pool) == ("pachd.default", "gpu")
    assert known.det_master == "mlde.example.com:81"
    assert main(["config", "init", "--apply", "--overwrite", "--kubeconfig", kubeconfig]) == 0
    known = load(kubeconfig)
    assert known.mldm_host == known.pachd_lb_service_host == "203.0.113.7"
    capsys.readouterr()
    assert main(["config", "env", "--kubeconfig", kubeconfig]) == 0
    said = capsys.readouterr().out
    assert "export MLDM_HOST=203.0.113.7\n" in said
    assert PASSWORD not in said and TOKEN not in said


def test_on_prem_with_minio(cluster: tuple[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig, client = cluster
    install(
        client,
        proxy="192.0.2.4",
        bucket_key="MINIO_BUCKET",
        bucket="mldm-bucket",
        MINIO_ID="minio",
        MINIO_SECRET=MINIO_SECRET,
    )
    minio = [
        "--set",
        "minio_url=http://minio.default.svc.cluster.local:9000",
        "--set",
        "kserve_model_bucket_name=kserve-bucket",
    ]
    assert main(["config", "init", "--apply", "--kubeconfig", kubeconfig, *minio]) == 0
    said = capsys.readouterr()
    assert MINIO_SECRET not in said.out + said.err
    assert "det_password is unknown" in said.err
    secret = kubernetes.client.CoreV1Api(client).read_namespaced_secret("pach-kserve-creds", "models")
    assert secret.metadata.annotations["serving.kserve.io/s3-endpoint"] == "minio.default.svc.cluster.local:9000"
    assert base64.b64decode(secret.data["AWS_SECRET_ACCESS_KEY"]).decode() == MINIO_SECRET
    pipelines = kubernetes.client.CoreV1Api(client).read_namespaced_secret("pipeline-secret", "default")
    assert base64.b64decode(pipelines.data["minio_secret_key"]).decode() == MINIO_SECRET
    assert main(["config", "init", "--kubeconfig", kubeconfig]) == 0
    assert "# minio_secret_key: not shown" in (text := capsys.readouterr().out)
    assert MINIO_SECRET not in text
    # The notebooks' own step finds everything as it should be.
    assert serving.ensure_service_account(load(kubeconfig)) is False


def test_a_minio_of_its_own_for_the_models(
    cluster: tuple[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pachyderm keeps its data elsewhere, so that nobody on the cluster tells MinIO's keys."""
    kubeconfig, client = cluster
    core = kubernetes.client.CoreV1Api(client)
    install(client, proxy="192.0.2.4", bucket_key="LOCAL", bucket="none")
    (tmp_path / "password").write_text(PASSWORD)
    where = ["--kubeconfig", kubeconfig, "--det-password-file", str(tmp_path / "password")]
    minio = ["--set", "minio_url=https://minio.example.com", "--set", "kserve_model_bucket_name=models"]
    assert main(["config", "init", *where, *minio]) == 0
    assert "minio_access_key, minio_secret_key: FILL IN" in capsys.readouterr().out
    assert main(["config", "init", "--apply", *where, *minio]) == 0
    assert "MinIO's keys are unknown" in capsys.readouterr().err
    # Without keys there is the account, and no secret with keys of nobody.
    assert core.read_namespaced_service_account("pach-deploy", "models").secrets[0].name == "pach-kserve-creds"
    with pytest.raises(kubernetes.client.ApiException):
        core.read_namespaced_secret("pach-kserve-creds", "models")
    found = findings(load(kubeconfig), "cluster")["secret"]
    broken(found, "no key minio_access_key, minio_secret_key")
    for name, text in (("access", "lab"), ("secret", MINIO_SECRET)):
        (tmp_path / name).write_text(text + "\n")
    keys = ["--minio-access-key-file", str(tmp_path / "access"), "--minio-secret-key-file", str(tmp_path / "secret")]
    assert main(["config", "init", "--apply", *where, *keys[:2]]) == 2
    assert "MinIO needs both keys" in capsys.readouterr().err
    assert main(found.fix.replace("FILE", "{}").format(keys[1], keys[3]).split()[1:] + where) == 0
    said = capsys.readouterr()
    assert MINIO_SECRET not in said.out + said.err
    known = load(kubeconfig)
    assert findings(known, "cluster")["secret"].state == "ok"
    assert MINIO_SECRET not in f"{known} {known.entries}"
    secret = core.read_namespaced_secret("pach-kserve-creds", "models")
    assert secret.metadata.annotations["serving.kserve.io/s3-usehttps"] == "1"
    assert findings(known, "storage")["account"].state == "ok"
    # New keys reach the predictors with notebook 01.
    data = {"minio_secret_key": base64.b64encode(b"changed").decode()}
    core.patch_namespaced_secret("pipeline-secret", "default", {"data": data})
    assert serving.ensure_service_account(load(kubeconfig)) is True
    keys_now = core.read_namespaced_secret("pach-kserve-creds", "models").data
    assert base64.b64decode(keys_now["AWS_SECRET_ACCESS_KEY"]) == b"changed"
    assert base64.b64decode(keys_now["AWS_ACCESS_KEY_ID"]) == b"lab"


def test_what_nobody_tells_is_marked_and_not_applied(
    cluster: tuple[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig, client = cluster
    assert main(["config", "init", "--kubeconfig", kubeconfig]) == 0
    said = capsys.readouterr().out
    assert "mldm_host: ''  # FILL IN: repos, commits, pipelines, jobs" in said
    assert "det_master: ''" in said
    assert main(["config", "init", "--apply", "--kubeconfig", kubeconfig]) == 2
    assert "mldm_host" in capsys.readouterr().err
    with pytest.raises(kubernetes.client.ApiException):
        kubernetes.client.CoreV1Api(client).read_namespaced_config_map("pdk-config", "default")


def test_mistakes_on_the_command_line(cluster: tuple[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig, _ = cluster
    assert main(["config", "init", "--kubeconfig", kubeconfig, "--set", "mldm_hots=x"]) == 2
    assert "no key 'mldm_hots'" in capsys.readouterr().err
    assert main(["config", "init", "--kubeconfig", kubeconfig, "--set", "mldm_port=eighty"]) == 1
    assert "isn't a TCP port" in capsys.readouterr().err
    assert main(["config", "init", "--kubeconfig", kubeconfig, "--det-password-file", "/no/such/file"]) == 2
    with pytest.raises(UsageError):
        configure.check_names({"": "x"})


def test_the_files_are_as_rendered_and_the_api_takes_them_strictly(cluster: tuple[str, Any]) -> None:
    _, client = cluster
    kubernetes.client.CoreV1Api(client).create_namespace({"metadata": {"name": "models"}})
    for name, content in manifests.templates().items():
        assert (TEMPLATES / name).read_text() == content, f"{name}: python -m pdk_nb.configure.manifests docs/cluster"
        for each in yaml.safe_load_all(content):
            if each["kind"] == "Deployment":
                check_deployment(client, each)
            else:
                assert configure.put(client, each) == "created", name
    for each in yaml.safe_load_all((TEMPLATES / "worker-rbac.yaml").read_text()):
        each["metadata"]["labels"] = {"a": "b"}
        assert configure.put(client, each) == "updated"
        with pytest.raises(Exception, match="400|422"):
            configure.put(client, {**each, "metadata": {**each["metadata"], "name": "other"}, "colour": "red"})


def check_deployment(client: Any, given: dict[str, Any]) -> None:
    """The API, which runs no containers, refuses only to run a Deployment; one that is wrong, it names."""
    apps = kubernetes.client.AppsV1Api(client)

    def refusal(body: dict[str, Any]) -> str:
        with pytest.raises(kubernetes.client.ApiException) as caught:
            apps.create_namespaced_deployment(body["metadata"]["namespace"], body, field_validation="Strict")
        return f"{caught.value.status} {json.loads(caught.value.body)['message']}"

    assert refusal(given).startswith("501")
    wrong = copy.deepcopy(given)
    wrong["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = "nowhere"
    assert refusal(wrong).startswith("422") and "nowhere" in refusal(wrong)
    assert refusal({**given, "spec": {**given["spec"], "colour": "red"}}).startswith("400")
    # The client's own models know every field, too.
    kubernetes.client.ApiClient().sanitize_for_serialization(
        client._ApiClient__deserialize(given, "V1Deployment")  # the client offers no other way from a document
    )


def test_the_workers_role_is_enough_to_deploy_and_for_nothing_else(cluster: tuple[str, Any], tmp_path: Path) -> None:
    from pdk_nb.platforms import serving
    from pdk_shared.errors import ServiceUnreachable

    kubeconfig, client = cluster
    core, rbac = kubernetes.client.CoreV1Api(client), kubernetes.client.RbacAuthorizationV1Api(client)
    core.create_namespace({"metadata": {"name": "models"}})
    for namespace in ("models", "default"):
        # The embedded cluster's own grant; the file has to do without it.
        rbac.delete_namespaced_role_binding("pachyderm-worker", namespace)
    (worker,) = (path for path in tmp_path.rglob("*worker*kubeconfig*") if path.is_file())
    where = serving.connect(kubeconfig=worker, namespace="models")
    deployment = serving.Deployment(name="role-test", storage_uri="s3://b/m/v1/", model="m", version="v1")
    with pytest.raises(ServiceUnreachable, match="doesn't allow it"):
        serving.apply(where, deployment)
    for each in manifests.worker_rbac():
        configure.put(client, each)
    assert serving.apply(where, deployment).action == "created"
    assert serving.service_status(where, "role-test").name == "role-test"
    for forbidden in (
        lambda: serving.delete(where, "role-test"),
        lambda: serving.status_table(serving.connect(kubeconfig=worker, namespace="default")),
    ):
        with pytest.raises(ServiceUnreachable, match="doesn't allow it"):
            forbidden()
