"""The real charts with our values, rendered by the real Helm, where both are on this machine.

``PDK_HELM``: the program (default: ``helm`` on the PATH). ``PDK_CHARTS``: a folder with the charts or with the
projects' sources. Without them, the tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from pdk_nb.cluster_install.helm import Charts, Release
from pdk_nb.cluster_install.platforms import ORDER, PASSWORDS, computed, merged, releases
from pdk_nb.cluster_install.versions import read_versions

ROOT = Path(__file__).resolve().parents[3]
HELM = shutil.which(os.environ.get("PDK_HELM", "helm"))
CHARTS = os.environ.get("PDK_CHARTS", "")
VERSIONS = read_versions(ROOT)
SECRET = {name: f"Secret1{name}" for name in PASSWORDS}
RELEASES = {
    (mode, each.name): each for mode in ("raw", "serverless") for name in ORDER for each in releases(name, mode)
}


def render(release: Release, tmp_path: Path) -> list[dict[str, Any]]:
    """The objects of a release with our values."""
    if HELM is None or not CHARTS:
        pytest.skip("needs Helm (PDK_HELM) and the charts (PDK_CHARTS)")
    source = Charts(VERSIONS.charts, Path(CHARTS))
    if VERSIONS.charts[release.chart].name not in source.names:
        pytest.skip(f"PDK_CHARTS has no chart {release.chart}")
    secret = tmp_path / "secret.yaml"
    secret.write_text(yaml.safe_dump(computed(release, SECRET, "r.example.com/trial:1", "")))
    command = [HELM, "template", release.name, *source.arguments(release.chart), "--namespace", release.namespace]
    command += ["--kube-version", "1.31.14", *(["--skip-crds"] if release.skip_crds else [])]
    for path in (*VERSIONS.values(*release.values), secret):
        command += ["--values", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def unknown_keys(ours: Any, known: Any, place: str = "") -> list[str]:
    """Keys of ours that a chart's own values don't have; where it has an empty mapping, anything goes."""
    if not isinstance(ours, dict) or not isinstance(known, dict) or not known:
        return []
    lost = [f"{place}{key}" for key in ours if key not in known]
    return lost + [
        each for key in ours if key in known for each in unknown_keys(ours[key], known[key], f"{place}{key}.")
    ]


@pytest.mark.parametrize(("mode", "name"), RELEASES)
def test_our_values_render(mode: str, name: str, tmp_path: Path) -> None:
    release = RELEASES[mode, name]
    found = render(release, tmp_path)
    kinds = Counter(each["kind"] for each in found)
    assert kinds["CustomResourceDefinition" if name == "kserve-crd" else "Deployment"]
    asked = 0.0
    for each in found:
        if each["kind"] not in ("Deployment", "StatefulSet"):
            continue
        for container in each["spec"]["template"]["spec"]["containers"]:
            if container["name"] == "kube-rbac-proxy":  # the chart has no values for it, and no requests
                continue
            request = container["resources"]["requests"]["cpu"]
            asked += float(request[:-1]) / 1000 if str(request).endswith("m") else float(request)
    assert asked <= 0.5, f"{name} asks for {asked} CPUs"


@pytest.mark.parametrize("name", ["pachyderm", "determined", "kserve", "traefik", "cert-manager"])
def test_the_charts_know_all_our_keys(name: str, tmp_path: Path) -> None:
    release = RELEASES["raw", name]
    render(release, tmp_path)
    path = Path(Charts(VERSIONS.charts, Path(CHARTS)).arguments(release.chart)[0])
    known = merged([path / "values.yaml"])
    # In comments of the chart's values, and in its templates.
    optional = {"determined": ("detVersion", "slotType", "slotResourceRequests", "defaultAuxResourcePool",
                               "defaultComputeResourcePool"), "pachyderm": ("postgresql.resources", "pachw.minReplicas",
                               "pachw.resources"), "traefik": ("ports.web.transport",)}.get(name, ())  # fmt: skip
    lost = unknown_keys(merged(VERSIONS.values(*release.values)), known)
    assert [each for each in lost if not each.startswith(optional)] == []


def test_pachyderm_is_what_the_lab_needs(tmp_path: Path) -> None:
    found = render(RELEASES["raw", "pachyderm"], tmp_path)
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in found}
    pachd = by_name["Deployment", "pachd"]["spec"]["template"]["spec"]
    main = next(each for each in pachd["containers"] if each["name"] == "pachd")
    assert main["image"].endswith(f":{VERSIONS.charts['pachyderm'].version}")
    env = {each["name"]: each.get("value") for each in main["env"]}
    assert env["STORAGE_HOST_PATH"] == "/var/lib/pdk-lab/pachyderm/pachd"
    assert env["WORKER_IMAGE"].endswith(f":{VERSIONS.charts['pachyderm'].version}")
    assert by_name["Service", "pachyderm-proxy"]["spec"]["ports"][0]["port"] == 80
    assert ("Deployment", "console") not in by_name and ("Deployment", "pachyderm-kube-event-tail") not in by_name


def test_determined_is_what_the_lab_needs(tmp_path: Path) -> None:
    found = render(RELEASES["raw", "determined"], tmp_path)
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in found}
    pod = by_name["Deployment", "determined-master-deployment-determined"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == f"determinedai/determined-master:{VERSIONS.charts['determined'].version}"
    master = yaml.safe_load(by_name["Secret", "determined-master-config-determined"]["stringData"]["master.yaml"])
    assert master["task_container_defaults"]["image"]["cpu"] == "r.example.com/trial:1"
    assert master["resource_manager"]["slot_resource_requests"] == {"cpu": 1}
    # An unknown key ends the master of 0.38 at its start.
    assert master["resource_pools"] == [{"pool_name": "default"}]
    assert by_name["Service", "determined-master-service-determined"]["spec"]["ports"][0]["port"] == 8080


@pytest.mark.parametrize("mode", ["raw", "serverless"])
def test_kserve_is_in_its_mode(mode: str, tmp_path: Path) -> None:
    import json

    found = render(RELEASES[mode, "kserve"], tmp_path)
    (config,) = [each for each in found if each["metadata"]["name"] == "inferenceservice-config"]
    wanted = {"raw": "RawDeployment", "serverless": "Serverless"}[mode]
    assert json.loads(config["data"]["deploy"])["defaultDeploymentMode"] == wanted
    ingress = json.loads(config["data"]["ingress"])
    assert ingress["disableIstioVirtualHost"] is (mode == "serverless")
    assert mode == "serverless" or ingress["ingressClassName"] == "traefik"
    images = [each["image"] for one in found if one["kind"] == "Deployment"
              for each in one["spec"]["template"]["spec"]["containers"]]  # fmt: skip
    assert not [each for each in images if each.startswith("gcr.io/kubebuilder")]


def test_versions_are_equal_wherever_they_stand() -> None:
    determined, pachyderm = merged(VERSIONS.values("determined")), merged(VERSIONS.values("pachyderm"))
    assert determined["detVersion"] == VERSIONS.charts["determined"].version
    assert pachyderm["pachd"]["image"]["tag"] == VERSIONS.charts["pachyderm"].version
    assert f'"determined=={determined["detVersion"]}"' in (ROOT / "pyproject.toml").read_text()
