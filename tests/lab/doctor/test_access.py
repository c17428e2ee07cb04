"""What the doctor says of rights, storage, and credentials.

Each test names the codes that it provokes; ``tests/lab/test_doctor_codes.py`` says when one of the source is missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from pdk_nb import doctor
from pdk_nb import lab as pdk
from pdk_nb.platforms import serving, storage
from pdk_nb.settings import Settings
from tests.support.doctor_codes import provokes
from tests.support.doctor_services import ACCOUNT, NOBODY
from tests.support.doctor_tools import Stack, broken, findings, kubeconfig_with, states
from tests.support.object_stores import BUCKET, signed_s3


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


@provokes("storage.gateway:broken", "storage.gateway:unknown", "storage.account:broken")
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
    assert states(known, "storage")["account"] == "ok"
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
