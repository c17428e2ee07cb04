"""The doctor on a running stack: all well first, then what is wrong with the cluster's own objects.

Each test names the codes that it provokes; ``tests/lab/test_doctor_codes.py`` says when one of the source is missing.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pdk_nb import doctor
from pdk_nb import lab as pdk
from pdk_nb.cli import main
from pdk_nb.names import Names
from pdk_nb.settings import Settings
from pdk_shared.errors import UsageError
from tests.support.doctor_codes import provokes
from tests.support.doctor_proxies import Wrong, before
from tests.support.doctor_services import NOBODY
from tests.support.doctor_tools import Stack, broken, findings, kubeconfig_with, states


def test_a_stack_on_which_the_lab_is_set_up_is_well(
    lab: pdk.Lab, shared_stack: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--kubeconfig", shared_stack["kubeconfig"], "--participant", "doc"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert report["broken"] is False
    assert report["counts"]["warning"] == 0
    assert {each["group"] for each in report["findings"]} == set(doctor.GROUPS)
    assert report["counts"]["unknown"] == 0
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


def test_what_notebook_01_creates_is_no_warning(known: Settings) -> None:
    names = Names.for_participant("newcomer")
    for group, ids in (("pachyderm", ("project", "train", "deploy")), ("determined", ("workspace",))):
        found = findings(known, group, names)
        for id in ids:
            assert found[id].state == "ok"
            assert "newcomer" in found[id].what
            assert found[id].what.endswith("yet; notebook 01 creates it.")


def test_a_new_cluster_is_healthy(known: Settings) -> None:
    context = doctor.Context(known.kubeconfig or "", known.namespace, Names.for_participant("newcomer"), known)
    report = doctor.examine(context)
    assert report.summary() == f"{len(report)} ok", str(report)
    assert "there is no image to pull" in str(report)


def test_no_kubeconfig_no_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--kubeconfig", str(tmp_path / "nope")]) == 1
    said = capsys.readouterr().out
    assert "broken   cluster.api          The kubeconfig doesn't exist." in said
    # What needs the settings is not judged.
    assert "unknown  determined.all" in said


@provokes("cluster.api:broken")
def test_a_cluster_that_does_not_answer_or_does_not_know_us(tmp_path: Path, known: Settings) -> None:
    elsewhere = kubeconfig_with(tmp_path, str(known.kubeconfig), server=f"https://127.0.0.1:{NOBODY}")
    broken(findings(replace(known, kubeconfig=elsewhere), "cluster")["api"], "doesn't answer")
    stranger = kubeconfig_with(tmp_path, str(known.kubeconfig), token="nobody's")
    broken(findings(replace(known, kubeconfig=stranger), "cluster")["api"], "refuses this user (401")


@provokes("cluster.config:broken", "*.all:unknown")
def test_a_config_map_that_is_absent_or_lacks_values(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    context = doctor.Context(stack.kubeconfig, "kube-system")
    (missing,) = [each for each in doctor.examine(context, ["cluster"]) if each.id == "cluster.config"]
    broken(missing, "no ConfigMap pdk-config")
    with stack.told(kserve_ingress_host=None, mlde_port="", mlde_url="", mlde_host="N/A") as known:
        found = findings(known, "cluster")["config"]
        broken(found, "3 values missing: mlde_host, mlde_port, kserve_ingress_host")
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
    assert "isn't a TCP port" in capsys.readouterr().out


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
