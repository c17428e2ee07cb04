"""``pdk-nb cluster up`` and ``down`` with kind and k3d, as far as a machine without Docker can tell."""

from __future__ import annotations

import socket
import stat
from types import SimpleNamespace

import pytest
import yaml

from pdk_nb.cluster_install import local, preflight
from tests.lab.cluster_install.conftest import Machine


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's other programs and its disk don't matter here; two tests ask for them."""
    monkeypatch.setattr(preflight, "ports", lambda wanted: [])
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda folder: free(100))


def free(gib: float) -> SimpleNamespace:
    """What the system says of a disk with so much room."""
    return SimpleNamespace(free=gib * preflight.GIB)


def up(machine: Machine, *arguments: str) -> tuple[int, str]:
    return machine.run("up", "--without", "doctor", *arguments)


def test_kind_gets_ports_and_a_registry(machine: Machine) -> None:
    code, shown = up(machine, "--with", "kind", "--port", "determined=40080")
    assert code == 0, shown
    (node,) = yaml.safe_load(machine.tools["config"])["nodes"]
    assert "@sha256:" in node["image"]
    mappings = {each["containerPort"]: each["hostPort"] for each in node["extraPortMappings"]}
    assert mappings == {31650: 31650, 31080: 40080, 31081: 31081}
    assert {each["listenAddress"] for each in node["extraPortMappings"]} == {"127.0.0.1"}
    registry = machine.tools["containers"]["pdk-registry"]
    assert registry == {"running": "true", "label": "pdk", "networks": ["bridge", "kind"]}
    (publish,) = [each for each in machine.calls("docker", "run")[0] if each.startswith("127.0.0.1:")]
    assert publish == "127.0.0.1:5001:5000"
    told = machine.calls("docker", "exec", "-i", "pdk-control-plane")[0]
    assert told[-1] == "/etc/containerd/certs.d/localhost:5001/hosts.toml"


def test_the_lab_gets_loopback_addresses_and_images(machine: Machine) -> None:
    up(machine)
    config = machine.api.objects["ConfigMap", "default", "pdk-config"]["data"]
    assert (config["mldm_host"], config["mldm_port"]) == ("127.0.0.1", "31650")
    assert config["registry_uri"] == "localhost:5001/pdk"
    ports = {
        name: machine.api.objects["Service", place, name]["spec"]["ports"][0]["nodePort"]
        for place, name in (("default", "pdk-loopback-pachyderm"), ("traefik", "pdk-loopback-ingress"))
    }
    assert ports == {"pdk-loopback-pachyderm": 31650, "pdk-loopback-ingress": 31081}
    pushed = machine.tools["pushed"]
    assert [each.rpartition(":")[0].rpartition("/")[2] for each in pushed] == [
        "pdk-lab-trial", "pdk-lab-train", "pdk-lab-deploy"]  # fmt: skip
    assert machine.values("default/determined")["taskContainerDefaults"]["cpuImage"] == pushed[0]


def test_a_full_disk_is_said_before_anything_is_changed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda folder: free(19))
    code, shown = up(machine, "--with", "kind")
    assert code == 1 and "19 GiB of disk free" in shown and "Nothing was changed" in shown
    assert not machine.tools.get("containers")


def test_a_second_up_changes_nothing(machine: Machine) -> None:
    up(machine)
    machine.forget_calls()
    code, shown = up(machine)
    assert code == 0, shown
    assert "Nothing was changed." in shown
    assert machine.calls("kind") == [] and machine.calls("helm") == []
    assert [each[0] for each in machine.calls("docker")] == ["buildx", "exec", "exec"]  # asks, and writes the same file


def test_a_stopped_node_is_started(machine: Machine) -> None:
    up(machine)
    containers = machine.tools["containers"]
    containers["pdk-control-plane"]["running"] = "false"
    machine.change(containers=containers)
    _, shown = up(machine)
    assert "Changed: Cluster pdk with kind." in shown
    assert ["start", "pdk-control-plane"] in machine.calls("docker")


def test_k3d_has_neither_its_own_ingress_nor_load_balancer(machine: Machine) -> None:
    code, shown = up(machine, "--with", "k3d")
    assert code == 0, shown
    (create,) = machine.calls("k3d", "cluster", "create")
    assert "127.0.0.1:31650:31650@server:0:direct" in create
    assert create[create.index("--api-port") + 1] == "127.0.0.1:random"
    assert "--disable=traefik@server:0" in create and "--disable=servicelb@server:0" in create
    mirrors = yaml.safe_load((machine.state / "pdk" / "registries.yaml").read_text())["mirrors"]
    assert mirrors == {"localhost:5001": {"endpoint": ["http://pdk-registry:5000"]}}
    assert machine.tools["containers"]["pdk-registry"]["networks"] == ["bridge", "k3d-pdk"]


def test_the_kubeconfig_is_private(machine: Machine) -> None:
    _, shown = up(machine)
    kubeconfig = machine.state / "pdk" / "kubeconfig"
    assert stat.S_IMODE(kubeconfig.stat().st_mode) == 0o600
    assert f"export KUBECONFIG={kubeconfig}" in shown


def test_a_cluster_of_somebody_else_is_left_alone(machine: Machine) -> None:
    machine.change(clusters=["pdk"])
    code, shown = up(machine)
    assert code == 2
    assert "a cluster pdk that this command didn't make" in shown
    assert machine.calls("kind") == [] and machine.calls("docker", "run") == []
    code, shown = machine.run("down", "--yes")
    assert code == 2 and "made no cluster pdk" in shown
    assert machine.calls("kind", "delete") == []


def test_a_registry_of_somebody_else_is_left_alone(machine: Machine) -> None:
    machine.change(containers={"pdk-registry": {"running": "true", "label": "", "networks": []}})
    code, shown = up(machine)
    assert code == 1
    assert "Step 2 of 10 failed: Registry localhost:5001/pdk. A container pdk-registry exists" in shown
    machine.run("down", "--yes")
    assert "pdk-registry" in machine.tools["containers"]


def test_down_removes_cluster_and_registry(machine: Machine) -> None:
    up(machine)
    machine.change(clusters=["pdk", "other"])
    code, shown = machine.run("down", "--dry-run")
    assert code == 0 and "remove  kind cluster pdk" in shown
    assert machine.tools["clusters"] == ["pdk", "other"]
    machine.run("down", "--yes")
    assert machine.tools["clusters"] == ["other"]
    assert "pdk-registry" not in machine.tools["containers"]
    assert not (machine.state / "pdk" / "kubeconfig").exists()
    assert local.read("pdk") is None


def test_an_interrupted_up_can_be_removed(machine: Machine) -> None:
    machine.fail("kind create cluster", "ERROR: failed to create cluster: could not find a log line")
    code, shown = up(machine)
    assert code == 1
    assert "Step 1 of 10 failed: Cluster pdk with kind." in shown and "could not find a log line" in shown
    assert "pdk-nb cluster down --name pdk --yes" in shown
    assert machine.run("down", "--yes")[0] == 0


@pytest.mark.parametrize("missing", ["docker", "helm"])
def test_a_missing_tool(machine: Machine, missing: str) -> None:
    machine.remove(missing)
    code, shown = up(machine)
    assert code == 1
    assert f"{missing} isn't on the PATH." in shown and "https://" in shown
    assert machine.calls("kind") == []


def test_neither_kind_nor_k3d(machine: Machine) -> None:
    machine.remove("kind", "k3d")
    code, shown = up(machine)
    assert code == 1
    assert "kind isn't on the PATH." in shown and "k3d isn't on the PATH." in shown
    assert "https://kind.sigs.k8s.io" in shown


def test_k3d_is_taken_when_there_is_no_kind(machine: Machine) -> None:
    machine.remove("kind")
    up(machine)
    assert machine.calls("k3d", "cluster", "create")


def test_too_little_memory(machine: Machine) -> None:
    machine.change(memory=4 << 30)
    code, shown = up(machine)
    assert code == 1
    assert "4 GiB of memory of Docker's machine; 7 GiB is the least." in shown
    assert machine.calls("kind", "create") == []
    assert up(machine, "--force")[0] == 0


def test_the_daemon_does_not_answer(machine: Machine) -> None:
    machine.fail("docker info", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    code, shown = up(machine)
    assert code == 1
    assert "Docker's daemon doesn't answer: Cannot connect" in shown and "systemctl start docker" in shown


def test_ports_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (check,) = preflight.ports({"ingress": port})
    assert check.state == "broken" and f"Port {port} (ingress) can't be used" in check.what
    assert "--port ingress=PORT" in check.fix
    (check,) = preflight.ports({"ingress": port})
    assert check.state == "ok"


@pytest.mark.parametrize("flag", ["web=80", "ingress=x", "ingress=70000"])
def test_wrong_ports(machine: Machine, flag: str) -> None:
    code, shown = up(machine, "--port", flag)
    assert code == 2 and "isn't a port of this cluster" in shown
