"""KServe's serverless mode: Knative and Kourier come as manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.lab.cluster_install.conftest import Machine

CHARTS = ("cert-manager", "kserve-crd", "kserve", "pachyderm", "determined")


def config(name: str, data: dict[str, str]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "knative-serving"},
            "data": data}  # fmt: skip


def deployment(name: str, namespace: str) -> dict[str, object]:
    container = {"name": name, "image": "i", "resources": {"requests": {"cpu": "300m"}, "limits": {"memory": "600Mi"}}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": {"spec": {"containers": [container]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
            "spec": spec}  # fmt: skip


@pytest.fixture
def charts(tmp_path: Path) -> Path:
    """A folder with all charts and Knative's manifests, as small as the installer's rules allow."""
    folder = tmp_path / "charts"
    for name in CHARTS:
        (folder / name).mkdir(parents=True)
        (folder / name / "Chart.yaml").write_text(f"name: {name}\nversion: 1.0.0\n")
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "services.serving.knative.dev"}, "spec": {}}  # fmt: skip
    space = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
             for name in ("knative-serving", "kourier-system")]  # fmt: skip
    core = [
        config("config-network", {"_example": "text", "domain-template": "x"}),
        config("config-domain", {}),
        deployment("activator", "knative-serving"),
        space[0],
        crd,
    ]
    kourier = [space[1], deployment("3scale-kourier-gateway", "kourier-system")]
    for name, things in (("serving-crds", [crd]), ("serving-core", core), ("kourier", kourier)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(things))
    return folder


def test_knative_with_our_settings(machine: Machine, charts: Path) -> None:
    code, shown = machine.install("--serving", "serverless", "--charts", str(charts))
    assert code == 0, shown
    network = machine.api.objects["ConfigMap", "knative-serving", "config-network"]["data"]
    assert network["ingress-class"] == "kourier.ingress.networking.knative.dev"
    assert network["domain-template"] == "x"  # what the manifest says otherwise stays
    assert "example.com" in machine.api.objects["ConfigMap", "knative-serving", "config-domain"]["data"]
    spec = machine.api.objects["Deployment", "knative-serving", "activator"]["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "20m", "memory": "48Mi"},
                                                  "limits": {"memory": "600Mi"}}  # fmt: skip
    gateway = machine.values("kserve/kserve")["kserve"]["controller"]
    assert gateway["deploymentMode"] == "Serverless" and gateway["gateway"]["disableIstioVirtualHost"] is True
    assert "traefik" not in [each[2] for each in machine.calls("helm", "upgrade")]


def test_namespaces_and_kinds_come_first(machine: Machine, charts: Path) -> None:
    machine.install("--serving", "serverless", "--charts", str(charts))
    made = [each.partition(" ")[2] for each in machine.api.writes if "knative" in each or "kourier" in each]
    first = next(number for number, each in enumerate(made) if "configmaps" in each)
    assert any("customresourcedefinitions" in each for each in made[:first])
    assert not any("customresourcedefinitions" in each or each.count("/") == 4 for each in made[first:])


def test_a_second_run_changes_nothing(machine: Machine, charts: Path) -> None:
    machine.install("--serving", "serverless", "--charts", str(charts))
    machine.forget_calls()
    # The mode of the first installation is the default.
    code, shown = machine.install("--charts", str(charts))
    assert code == 0 and "Nothing was changed." in shown and "KServe (serverless)" in shown
    assert machine.calls("helm") == []


def test_down_removes_the_manifests_objects(machine: Machine, charts: Path) -> None:
    before = sorted(machine.api.objects)
    machine.install("--serving", "serverless", "--charts", str(charts))
    code, shown = machine.run("down", "--kubeconfig", str(machine.kubeconfig), "--yes")
    assert code == 0, shown
    assert sorted(machine.api.objects) == before


def test_knative_that_is_there_stays(machine: Machine, charts: Path) -> None:
    machine.api.put(deployment("activator", "knative-serving"))
    _, shown = machine.install("--serving", "serverless", "--charts", str(charts))
    assert "found Deployment knative-serving/activator; it stays as it is" in shown
    assert ("ConfigMap", "knative-serving", "config-network") not in machine.api.objects


def test_a_manifest_that_cannot_be_downloaded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def refuse(*arguments: object, **options: object) -> None:
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", refuse)
    code, shown = machine.install("--serving", "serverless")
    assert code == 1
    assert "Step 2 of 6 failed: Ingress: Knative with Kourier. Can't download a manifest" in shown
    assert "--charts DIR" in shown
