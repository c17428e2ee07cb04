"""Settings from the maps of all three platforms' guides, with the dirt that their commands leave."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pdk_nb.lessons.n00_environment import settings_table
from pdk_nb.settings import KEYS, Secret, from_maps, kubeconfig_path
from pdk_shared.errors import SettingsError

AWS = {
    "region": "us-east-2",
    "mldm_bucket_name": "me-repo-mldm",
    "mldm_host": "mldm.elb.amazonaws.com",
    "mldm_port": "80",
    "mldm_url": "http://mldm.elb.amazonaws.com:80",
    "mlde_bucket_name": "me-repo-mlde",
    "mlde_host": "mlde.elb.amazonaws.com",
    "mlde_port": "80",
    "mlde_url": "http://mlde.elb.amazonaws.com:80",
    "model_assets_bucket_name": "me-repo-models",
    "kserve_model_namespace": "models",
    "kserve_ingress_host": "ingress.elb.amazonaws.com",
    "kserve_ingress_port": "80",
    "db_connection_string": "rds",
    "registry_uri": "1.dkr.ecr.us-east-2.amazonaws.com/me",
    "pdk_name": "me",
    "efs_id": "fs-1",
}
GCP = {
    **AWS,
    # The guide's commands pipe jq without -r, so the quotes stay.
    "mldm_host": '"35.1.1.1"',
    "mlde_host": "35.1.1.2:8080",
    "mlde_port": "",
    "mlde_url": "",
    "mldm_pipeline_secret": "pipeline-secret",
}
ON_PREM = {
    **{key: value for key, value in AWS.items() if key != "model_assets_bucket_name"},
    "region": "US",
    "mldm_bucket_name": "/mnt/efs/shared_fs/pachyderm",
    "mldm_namespace": "pachyderm",
    "kserve_model_bucket_name": "N/A",
    "registry_uri": "",
    "minio_url": "http://minio.default.svc.cluster.local:9000",
}
SECRET = {"det_master": "d:80", "det_user": "admin", "det_password": "hunter2-is-secret", "pac_token": ""}


def test_the_aws_map_with_its_own_name_for_the_bucket() -> None:
    known = from_maps(AWS, SECRET)
    assert known.kserve_model_bucket_name == "me-repo-models"
    source = next(entry.source for entry in known.entries if entry.key == "kserve_model_bucket_name")
    assert source == "pdk-config (model_assets_bucket_name)"
    assert (known.mldm_namespace, known.mldm_pipeline_secret) == ("default", "pipeline-secret")
    assert (known.mldm_port, known.ingress) == (80, "ingress.elb.amazonaws.com:80")
    assert known.missing == ()


def test_quotes_go_and_ports_are_found_inside_hosts() -> None:
    known = from_maps(GCP, SECRET)
    assert known.mldm_host == "35.1.1.1"
    assert (known.mlde_host, known.mlde_port, known.master_url) == ("35.1.1.2", 8080, "http://35.1.1.2:8080")


def test_not_applicable_is_empty_and_paths_stay() -> None:
    known = from_maps(ON_PREM, SECRET)
    assert (known.kserve_model_bucket_name, known.registry_uri) == ("", "")
    assert known.mldm_bucket_name == "/mnt/efs/shared_fs/pachyderm"
    assert known.mldm_s3_endpoint == "pachd.pachyderm:30600"


def test_an_address_can_come_from_the_url_alone() -> None:
    known = from_maps({**AWS, "mlde_host": "", "mlde_port": "", "mlde_url": "https://det.example.com"}, SECRET)
    assert (known.mlde_host, known.mlde_port) == ("det.example.com", 443)


def test_missing_keys_are_named_together_with_the_command_that_mends_them() -> None:
    known = from_maps({**AWS, "kserve_ingress_host": "N/A", "kserve_ingress_port": ""}, SECRET)
    assert known.missing == ("kserve_ingress_host", "kserve_ingress_port")
    with pytest.raises(SettingsError, match="kserve_ingress_host, kserve_ingress_port") as caught:
        known.require()
    assert "kubectl -n default patch configmap pdk-config" in caught.value.fix


@pytest.mark.parametrize("port", ["eighty", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(SettingsError, match="isn't a TCP port"):
        from_maps({**AWS, "mldm_port": port}, SECRET)


def test_secrets_show_themselves_nowhere() -> None:
    known = from_maps(AWS, {**SECRET, "pac_token": "token-is-secret"})
    shown = f"{known!r} {known.entries!r} {known.det_password} {[str(known.pac_token)]}"
    assert "hunter2-is-secret" not in shown
    assert "token-is-secret" not in shown
    assert known.det_password.reveal() == "hunter2-is-secret"
    assert not Secret("")


def test_a_missing_pipeline_secret_is_reported_and_an_empty_token_is_not() -> None:
    assert "pac_token" not in from_maps(AWS, SECRET).missing
    assert {"det_master", "det_user", "det_password"} <= set(from_maps(AWS, None).missing)


def test_the_guides_variables_are_all_there() -> None:
    variables = set(from_maps(AWS, SECRET).environment())
    guide = {"AZ_REGION", "NAME", "DB_CONNECTION_URL", "REGISTRY_URI", "INGRESS_HOST", "INGRESS_PORT"}
    guide |= {f"MLDM_{name}" for name in ("NAMESPACE", "BUCKET_NAME", "HOST", "PORT", "URL", "PIPELINE_SECRET")}
    guide |= {f"MLDE_{name}" for name in ("BUCKET_NAME", "HOST", "PORT", "URL")}
    guide |= {"MODEL_ASSETS_BUCKET_NAME", "KSERVE_MODELS_NAMESPACE"}
    assert guide <= variables
    assert len([key for key in KEYS if key.variable]) == 20


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="doesn't exist"):
        kubeconfig_path(tmp_path / "nope")
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PDK_STATE_DIR", str(tmp_path / "state"))
    with pytest.raises(SettingsError, match="No kubeconfig is set") as caught:
        kubeconfig_path()
    assert "pdk-nb up" in caught.value.fix


def test_the_table_shows_what_matters_and_what_is_missing_before_the_rest() -> None:
    known = from_maps({**AWS, "kserve_ingress_host": ""})
    table = settings_table(SimpleNamespace(settings=known))  # type: ignore[arg-type]
    first, _, others = str(table).partition("other settings")
    rows = first.splitlines()[1:]
    assert len([row for row in rows if "pdk-config" in row or "missing" in row]) >= 8
    assert "mldm.elb.amazonaws.com" in first and "missing" in first
    assert "me-repo-mlde" in others and "me-repo-mlde" not in first
    assert "<details><summary>" in table._repr_html_()
