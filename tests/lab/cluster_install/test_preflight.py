"""What is checked on an existing cluster before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdk_nb.cluster_install.tools import parse_version
from tests.lab.cluster_install.conftest import Machine
from tests.lab.cluster_install.fake_api import MIB


def refused(machine: Machine, *arguments: str) -> str:
    """What a refusal says; nothing was changed."""
    code, shown = machine.install(*arguments)
    assert code == 1, shown
    assert machine.api.writes == [] and machine.calls("helm") == []
    return shown


def test_rights(machine: Machine) -> None:
    machine.api.admin = False
    assert "This user isn't the cluster's administrator" in refused(machine)


def test_an_old_kubernetes(machine: Machine) -> None:
    machine.api.version = "v1.24.3"
    assert "Kubernetes v1.24.3; KServe needs 1.27 or newer." in refused(machine)


def test_a_new_kubernetes_is_a_warning(machine: Machine) -> None:
    machine.api.version = "v1.35.0+k3s1"
    code, shown = machine.install()
    assert code == 0 and "warning  Kubernetes v1.35.0+k3s1: newer than the tested versions" in shown


def test_no_default_storage_class(machine: Machine) -> None:
    machine.api.put({"kind": "StorageClass", "metadata": {"name": "standard"}})
    shown = refused(machine)
    assert "No StorageClass is the default one" in shown and "kubectl patch storageclass standard" in shown


def test_no_storage_class(machine: Machine) -> None:
    del machine.api.objects["StorageClass", "", "standard"]
    assert "local-path-provisioner" in refused(machine)


def test_two_nodes_need_common_storage(machine: Machine, tmp_path: Path) -> None:
    machine.api.node("node2", 8 * 1024 * MIB)
    shown = refused(machine)
    assert "2 nodes, but our values keep data of pachyderm and determined in a folder of one node" in shown
    pachyderm, determined = tmp_path / "p.yaml", tmp_path / "d.yaml"
    pachyderm.write_text("deployTarget: AMAZON\n")
    determined.write_text("checkpointStorage: {type: s3, bucket: b}\n")
    code, shown = machine.install("--values", f"pachyderm={pachyderm}", "--values", f"determined={determined}")
    assert code == 0, shown


def test_little_memory(machine: Machine) -> None:
    machine.api.node("node1", 4 * 1024 * MIB)
    assert "4 GiB of memory on 1 node(s); 6 GiB is the least." in refused(machine)


def test_an_old_helm(machine: Machine) -> None:
    helm = machine.bin / "helm"
    helm.write_text("#!/bin/sh\necho v3.2.1+gfe51cd1\n")
    code, shown = machine.install()
    assert code == 1 and "helm is 3.2.1; 3.8.0 or newer is needed." in shown and "https://helm.sh" in shown


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("kind v0.31.0 go1.25.5 linux/amd64", (0, 31, 0)),
        ("v3.20.2+g8fb76d6", (3, 20, 2)),
        ("v3.20", (3, 20, 0)),
        ("k3d version v5.8.3\nk3s version v1.31.5-k3s1", (5, 8, 3)),
        ("who knows", (0, 0, 0)),
    ],
)
def test_versions(text: str, version: tuple[int, int, int]) -> None:
    assert parse_version(text) == version
