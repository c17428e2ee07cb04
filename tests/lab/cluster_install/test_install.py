"""``pdk-nb cluster install``: what it does to a cluster, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pdk_nb import doctor
from pdk_nb.container_images import RegistryAccess
from tests.lab.cluster_install.conftest import Machine

PLATFORMS = ["cert-manager", "ingress", "kserve", "pachyderm", "determined"]
RELEASES = [
    "cert-manager/cert-manager",
    "traefik/traefik",
    "kserve/kserve-crd",
    "kserve/kserve",
    "default/pachyderm",
    "default/determined",
]


def upgrades(machine: Machine) -> list[str]:
    return [each[2] for each in machine.calls("helm", "upgrade")]


def test_everything_is_installed_in_order(machine: Machine) -> None:
    code, shown = machine.install()
    assert code == 0, shown
    assert upgrades(machine) == [each.split("/")[1] for each in RELEASES]
    assert [each for entry in machine.record["platforms"].values() for each in entry["releases"]] == RELEASES
    assert "[1/6] cert-manager" in shown and "[6/6] Configuration of the lab" in shown
    config = machine.api.objects["ConfigMap", "default", "pdk-config"]["data"]
    assert config["mlde_bucket_name"] == "/var/lib/pdk-lab/checkpoints"
    assert config["predictor_requests"] == "cpu=300m,memory=1Gi"


def test_charts_come_in_pinned_versions(machine: Machine) -> None:
    machine.install()
    pinned = yaml.safe_load((machine.checkout / "cluster" / "versions.yaml").read_text())["charts"]
    for each in machine.calls("helm", "upgrade"):
        chart = pinned[each[2]]
        assert each[each.index("--version") + 1] == chart["version"]
        assert f"{chart['repo']}/{chart['chart']}" in each or ("--repo" in each and chart["repo"] in each)


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    machine.install()
    before = json.dumps(sorted(machine.api.objects.items()))
    machine.forget_calls()
    code, shown = machine.install()
    assert code == 0, shown
    assert machine.calls("helm") == []
    assert json.dumps(sorted(machine.api.objects.items())) == before
    assert "Nothing was changed." in shown and shown.count("as it was") == 6


def test_changed_values_update_their_release_only(machine: Machine) -> None:
    machine.install()
    machine.forget_calls()
    with (machine.checkout / "cluster" / "values" / "determined.yaml").open("a") as file:
        file.write("clusterName: mine\n")
    _, shown = machine.install()
    assert upgrades(machine) == ["determined"]
    assert "Changed: Determined." in shown


def test_own_values_take_precedence_over_passwords(machine: Machine, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("db: {password: theirs, hostAddress: db.example.com}\ninitialUserPassword: Theirs123\n")
    machine.install("--values", f"determined={own}")
    values = machine.values("default/determined")
    assert values["db"]["password"] == "theirs" and values["db"]["storageSize"] == "5Gi"
    secret = machine.api.objects["Secret", "default", "pipeline-secret"]["data"]
    assert secret["det_password"] == "VGhlaXJzMTIz"


def test_passwords_are_random_and_never_shown(machine: Machine) -> None:
    _, shown = machine.install()
    values = machine.values("default/determined")
    passwords = [values["initialUserPassword"], values["db"]["password"]]
    assert len(set(passwords)) == 2 and all(len(each) == 24 for each in passwords)
    logs = "".join(each.read_text() for each in machine.state.rglob("*.log"))
    arguments = (machine.folder / "calls.jsonl").read_text()
    assert not [each for each in passwords if each in shown + logs + arguments]
    assert not [each for each in passwords if each in json.dumps(machine.record)]


def test_pods_get_addresses_inside_the_cluster(machine: Machine) -> None:
    machine.install()
    import base64

    data = machine.api.objects["Secret", "default", "pipeline-secret"]["data"]
    secret = {key: base64.b64decode(text).decode() for key, text in data.items()}
    assert secret["det_master"] == "determined-master-service-determined.default:8080"
    assert (secret["pachd_lb_service_host"], secret["pachd_lb_service_port"]) == ("pachyderm-proxy.default", "80")


def test_a_platform_that_is_there_stays_as_it_is(machine: Machine) -> None:
    machine.api.put({"kind": "Service", "metadata": {"name": "pachd", "namespace": "data"},
                     "spec": {"ports": [{"port": 30600}]}})  # fmt: skip
    machine.api.put({"kind": "IngressClass", "metadata": {"name": "nginx"}})
    code, shown = machine.install()
    assert code == 0, shown
    assert "found Service data/pachd; it stays as it is" in shown
    assert not {"pachyderm", "traefik"} & set(upgrades(machine))
    gateway = machine.values("kserve/kserve")["kserve"]["controller"]["gateway"]
    assert gateway["ingressGateway"]["className"] == "nginx"


def test_platforms_can_be_left_out(machine: Machine) -> None:
    machine.install("--without", "pachyderm", "--without", "determined")
    assert upgrades(machine) == ["cert-manager", "traefik", "kserve-crd", "kserve"]
    assert list(machine.record["platforms"]) == ["cert-manager", "ingress", "kserve"]


def test_kserves_webhook_is_waited_for(machine: Machine) -> None:
    machine.fail("helm upgrade --install kserve oci", "Error: failed calling webhook: connection refused", times=2)
    code, shown = machine.install()
    assert code == 0, shown
    assert upgrades(machine).count("kserve") == 3
    assert shown.count("a webhook is still starting") == 1


def test_a_failing_step_says_its_name_its_log_and_what_to_do(machine: Machine) -> None:
    machine.fail("helm upgrade --install pachyderm", "Error: values don't meet the specifications of the schema")
    code, shown = machine.install()
    assert code == 1
    assert "Step 4 of 6 failed: Pachyderm." in shown and "the specifications of the schema" in shown
    log = machine.state / "logs" / "04-pachyderm.log"
    assert f"where: log: {log}" in shown and "specifications" in log.read_text()
    assert "what to do: helm -n default status pachyderm" in shown
    # What is done stays; the next run begins where this one ended.
    (machine.folder / "fail.json").unlink()
    machine.forget_calls()
    assert machine.install()[0] == 0
    assert upgrades(machine) == ["pachyderm", "determined"]


def test_an_image_that_cannot_be_pulled_ends_the_wait(machine: Machine) -> None:
    machine.api.sick["pachd"] = ("InvalidImageName", "couldn't parse image name")
    code, shown = machine.install()
    assert code == 1
    assert "Deployment default/pachd can't become ready." in shown
    assert "pod pachd-0, main: InvalidImageName: couldn't parse image name" in shown


def test_an_interrupted_helm_is_explained(machine: Machine) -> None:
    machine.install()
    releases = machine.tools["releases"]
    releases["default/determined"]["status"] = "pending-upgrade"
    machine.change(releases=releases)
    code, shown = machine.install()
    assert code == 1
    assert "helm -n default rollback determined" in shown


def test_the_mode_does_not_change_under_way(machine: Machine) -> None:
    machine.install()
    code, shown = machine.install("--serving", "serverless")
    assert code == 2
    assert "installed with --serving raw" in shown and "pdk-nb cluster down" in shown


def test_charts_from_a_folder(machine: Machine, tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    for place in ("cert-manager", "traefik", "kserve/kserve-crd", "kserve/kserve", "a/b/c/pachyderm", "determined"):
        folder = charts / place
        folder.mkdir(parents=True)
        (folder / "Chart.yaml").write_text(f"name: {folder.name}\nversion: 0.0.0\n")
    code, shown = machine.install("--charts", str(charts))
    assert code == 0, shown
    assert [each[3] for each in machine.calls("helm", "upgrade")][-2:] == [
        str(charts / "a/b/c/pachyderm"), str(charts / "determined")]  # fmt: skip
    assert machine.record["platforms"]["determined"]["version"] == "0.38.1 (folder, 0.0.0)"
    machine.forget_calls()
    assert "Nothing was changed." in machine.install("--charts", str(charts))[1]


def test_a_chart_that_the_folder_lacks(machine: Machine, tmp_path: Path) -> None:
    code, shown = machine.install("--charts", str(tmp_path))
    assert code == 2
    assert "There is no chart cert-manager in the folder." in shown and "helm pull cert-manager" in shown
    assert machine.calls("helm", "upgrade") == []


@pytest.mark.parametrize("flag", ["nothing=x", "pachyderm=/does/not/exist", "pachyderm"])
def test_wrong_values_flags(machine: Machine, flag: str) -> None:
    code, shown = machine.install("--values", flag)
    assert code == 2 and "--values" in shown
    assert machine.api.writes == []


@pytest.mark.parametrize("flag", ["--insecure-registry", "--registry-ca"])
def test_a_registry_of_ones_own_is_reached_as_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flag: str
) -> None:
    authority = tmp_path / "registry.pem"
    authority.write_text("certificates")
    asked = [flag, str(authority)] if flag == "--registry-ca" else [flag]
    seen: list[RegistryAccess] = []

    def examine(context: doctor.Context, progress: object) -> doctor.Report:
        seen.append(context.registries)
        return doctor.Report([])

    monkeypatch.setattr(doctor, "examine", examine)
    where = ("--kubeconfig", str(machine.kubeconfig), "--registry", "r.example.com/team", "--engine", "podman")
    code, shown = machine.run("install", *where, *asked)
    assert code == 0, shown
    pushes, builds = machine.calls("podman", "push"), machine.calls("podman", "build")
    assert len(pushes) == len(builds) == 3  # Determined's tasks, and two stages
    wanted = "--cert-dir=" if flag == "--registry-ca" else "--tls-verify=false"
    assert all(any(each.startswith(wanted) for each in call) for call in [*pushes, *builds])
    assert seen == [RegistryAccess(authority) if flag == "--registry-ca" else RegistryAccess(insecure=True)]


def test_docker_is_told_elsewhere_before_anything_is_installed(machine: Machine) -> None:
    code, shown = machine.install("--registry", "r.example.com/team", "--engine", "docker", "--insecure-registry")
    assert code == 2 and "insecure-registries of /etc/docker/daemon.json" in shown
    assert upgrades(machine) == [] and machine.calls("docker", "push") == []
