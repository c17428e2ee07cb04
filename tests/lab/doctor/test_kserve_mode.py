"""What the doctor says of KServe's mode, with the configuration of KServe and Knative as installations leave it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from pdk_nb import lab as pdk
from pdk_nb import specs
from pdk_nb.platforms import mldm, serving
from pdk_nb.settings import Settings
from tests.support.doctor_codes import provokes
from tests.support.doctor_services import service
from tests.support.doctor_tools import broken, findings
from tests.support.processes import ServiceProcess

CONFIG = "inferenceservice-config"
RAW = {"deploy": {"defaultDeploymentMode": "RawDeployment"}, "ingress": {"ingressClassName": "traefik"}}


@contextlib.contextmanager
def config_map(core: Any, namespace: str, name: str, **data: Any) -> Iterator[None]:
    """A ConfigMap with other values, as text or JSON; a key without a value is not there."""
    before = dict(core.read_namespaced_config_map(name, namespace).data or {})
    told = {key: value if value is None or isinstance(value, str) else json.dumps(value) for key, value in data.items()}
    core.patch_namespaced_config_map(name, namespace, {"data": told})
    try:
        yield
    finally:
        core.patch_namespaced_config_map(name, namespace, {"data": {**{key: before.get(key) for key in told}}})


def test_serverless_behind_istio(known: Settings) -> None:
    found = findings(known, "kserve")
    assert (found["mode"].state, found["domain"].state) == ("ok", "ok")
    assert "Serverless: Knative makes revisions and routes with istio." in found["mode"].what
    assert "example.com" in found["domain"].what


def test_serverless_behind_kourier(core: Any, known: Settings) -> None:
    with config_map(
        core, "knative-serving", "config-network", **{"ingress-class": "kourier.ingress.networking.knative.dev"}
    ):
        with config_map(core, "kserve", CONFIG, ingress={"disableIstioVirtualHost": True}):
            assert "kourier" in findings(known, "kserve")["mode"].what
            assert findings(known, "kserve")["mode"].state == "ok"
        vice = findings(known, "kserve")["mode"]
    assert (vice.state, "disableIstioVirtualHost" in vice.fix) == ("broken", True)


@provokes("kserve.mode:broken")
def test_serverless_without_what_it_needs(core: Any, known: Settings, tmp_path: Path) -> None:
    with config_map(
        core, "knative-serving", "config-network", **{"ingress-class": "kourier.ingress.networking.knative.dev"}
    ):
        broken(findings(known, "kserve")["mode"], "Istio's VirtualServices")
    secrets = {"admin_token": "admin-token-for-tests", "worker_token": "worker-token-for-tests"}
    process = ServiceProcess("kubernetes", tmp_path, secrets).start()
    try:
        client = kubernetes.config.new_client_from_config(config_file=process.ready["kubeconfig"])
        bare = kubernetes.client.CoreV1Api(client)
        bare.create_namespace({"metadata": {"name": "kserve"}})
        data = {"deploy": json.dumps({"defaultDeploymentMode": "Serverless"})}
        bare.create_namespaced_config_map("kserve", {"metadata": {"name": CONFIG}, "data": data})
        elsewhere = replace(known, kubeconfig=process.ready["kubeconfig"])
        broken(findings(elsewhere, "kserve")["mode"], "Knative Serving isn't installed")
    finally:
        process.stop()


@provokes("kserve.mode:unknown")
def test_a_mode_that_nobody_knows(core: Any, known: Settings) -> None:
    with config_map(core, "kserve", CONFIG, deploy={"defaultDeploymentMode": "ModelMesh"}):
        found = findings(known, "kserve")["mode"]
    assert (found.state, "jsonpath" in found.fix) == ("unknown", True)


@provokes("kserve.domain:broken")
def test_domains_that_lead_nowhere(core: Any, known: Settings) -> None:
    with config_map(core, "knative-serving", "config-domain", **{"example.com": None}):
        found = findings(known, "kserve")["domain"]
        broken(found, "answers 404")
        assert "config-domain" in found.fix
        with config_map(core, "knative-serving", "config-domain", **{"svc.cluster.local": ""}):
            broken(findings(known, "kserve")["domain"], "answers 404")
    with config_map(core, "kserve", CONFIG, **{**RAW, "ingress": {"ingressDomain": "svc.cluster.local"}}):
        broken(findings(known, "kserve")["domain"], "makes no Ingress")


def test_raw_names_its_ingress_class_and_finds_its_controller(core: Any, known: Settings) -> None:
    wrong = replace(known, kserve_ingress_port=9)
    with config_map(core, "kserve", CONFIG, **RAW):
        found = findings(wrong, "kserve")
        assert "ingress class traefik" in found["mode"].what
        assert "domain" not in found
        # Istio's gateway is there, and doesn't know raw services.
        assert "istio-ingressgateway|kourier|traefik" in found["ingress"].fix
        with service(core, "kube-system", "traefik", "203.0.113.9", 8000, "web"):
            fix = findings(wrong, "kserve")["ingress"].fix
    assert fix == ("pdk-nb config init --apply --set kserve_ingress_host=203.0.113.9 --set kserve_ingress_port=8000")


@provokes("kserve.ingress:broken")
def test_an_ingress_of_the_other_mode(core: Any, known: Settings) -> None:
    # Istio's gateway answers, but not for raw services.
    with (
        config_map(core, "kserve", CONFIG, **RAW),
        service(core, "kube-system", "traefik", "203.0.113.9", 8000, "web"),
    ):
        found = findings(known, "kserve")["ingress"]
    broken(found, "Service kube-system/traefik")
    assert "istio-ingressgateway" in found.what


@provokes("kserve.fields:broken")
def test_tolerations_that_knative_refuses(core: Any, known: Settings, lab: pdk.Lab) -> None:
    _, deploy = specs.render_for(known, lab.names, deploy_args=("--tolerations", "nvidia.com/gpu=present"))
    mldm.ensure_pipeline(lab.pachyderm, deploy)
    try:
        assert "fields" not in findings(known, "kserve", lab.names)
        with config_map(core, "knative-serving", "config-features", **{"kubernetes.podspec-tolerations": "disabled"}):
            found = findings(known, "kserve", lab.names)["fields"]
            broken(found, "tolerations")
            assert "kubernetes.podspec-tolerations" in found.fix
    finally:
        lab.create_pipelines()


@provokes("kserve.switched:warning")
def test_services_that_stay_in_the_mode_they_were_made_in(core: Any, known: Settings) -> None:
    name = "switched-dog-cat"
    serving.apply(known, serving.Deployment(name=name, storage_uri="s3://b/m/v1/", model="m", version="v1"))
    try:
        with config_map(core, "kserve", CONFIG, **RAW):
            found = findings(known, "kserve")["switched"]
        assert (found.state, name in found.what, f"delete inferenceservice {name}" in found.fix) == (
            "warning",
            True,
            True,
        )
        assert "switched" not in findings(known, "kserve")
    finally:
        serving.delete(known, name)


@pytest.mark.parametrize("data", [{"deploy": "not JSON"}, {"deploy": None}])
def test_a_configuration_that_cannot_be_read(core: Any, known: Settings, data: dict[str, Any]) -> None:
    with config_map(core, "kserve", CONFIG, **data):
        assert findings(known, "kserve")["mode"].state == "unknown"
