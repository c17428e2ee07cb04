"""``pdk-nb cluster status`` and ``down`` on an existing cluster."""

from __future__ import annotations

import json

import pytest

from tests.lab.cluster_install.conftest import Machine


def down(machine: Machine, *arguments: str) -> tuple[int, str]:
    return machine.run("down", "--kubeconfig", str(machine.kubeconfig), *arguments)


def test_down_removes_what_was_made_and_nothing_else(machine: Machine) -> None:
    machine.api.put({"kind": "Service", "metadata": {"name": "pachd", "namespace": "data"},
                     "spec": {"ports": [{"port": 30600}]}})  # fmt: skip
    machine.api.put({"kind": "Namespace", "metadata": {"name": "traefik"}})
    machine.api.put({"kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "traefik"}, "data": {}})
    before = sorted(machine.api.objects)
    machine.install()
    assert machine.tools["releases"]
    code, shown = down(machine, "--yes")
    assert code == 0, shown
    assert machine.tools["releases"] == {}
    assert sorted(machine.api.objects) == before
    assert "stays   Pachyderm: it was there before (Service data/pachd)" in shown


def test_data_stays_unless_asked_for(machine: Machine) -> None:
    machine.install()
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "data-postgres-0", "labels": {"suite": "pachyderm"}}}
    machine.api.put(claim)
    _, shown = down(machine, "--yes")
    assert "stays   PersistentVolumeClaim default/data-postgres-0: data; --data removes it" in shown
    # The database on that volume knows its password.
    assert machine.api.names("Secret") == ["pdk-cluster"]
    before = machine.api.objects["Secret", "default", "pdk-cluster"]["data"]
    machine.install()
    assert machine.api.objects["Secret", "default", "pdk-cluster"]["data"] == before
    down(machine, "--yes", "--data")
    assert machine.api.names("PersistentVolumeClaim") == [] and machine.api.names("Secret") == []


def test_a_configuration_of_before_stays(machine: Machine) -> None:
    machine.api.put(
        {"kind": "ConfigMap", "metadata": {"name": "pdk-config"}, "data": {"registry_uri": "r.example.com/a"}}
    )
    machine.install()
    assert machine.api.objects["ConfigMap", "default", "pdk-config"]["data"]["registry_uri"] == "r.example.com/a"
    down(machine, "--yes")
    assert "pdk-config" in machine.api.names("ConfigMap")


def test_a_dry_run_changes_nothing(machine: Machine) -> None:
    machine.install()
    machine.forget_calls()
    code, shown = down(machine, "--dry-run")
    assert code == 0 and "remove  Helm release default/determined (Determined with its database)" in shown
    assert machine.api.writes == [] and machine.calls("helm") == []


def test_down_asks_first(machine: Machine) -> None:
    machine.install()
    machine.forget_calls()
    code, shown = down(machine)
    assert code == 2 and "needs your confirmation" in shown
    assert machine.calls("helm") == []


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ({"kind": "InferenceService", "metadata": {"name": "dog-cat", "namespace": "models"}}, "Still in use: 1 Inf"),
        (
            {"kind": "ReplicationController", "metadata": {"name": "w", "labels": {
                "suite": "pachyderm", "component": "worker"}}},
            "Still in use: 1 pipeline.",
        ),
    ],
)  # fmt: skip
def test_work_that_still_runs_is_not_cut_off(machine: Machine, thing: dict[str, object], words: str) -> None:
    machine.install()
    machine.api.put(thing)
    machine.forget_calls()
    code, shown = down(machine, "--yes")
    assert code == 1 and words in shown and "pdk-nb reset --yes" in shown
    assert machine.calls("helm") == []


def test_down_without_an_installation(machine: Machine) -> None:
    code, shown = down(machine, "--yes")
    assert code == 0 and "installed nothing" in shown


def test_status(machine: Machine) -> None:
    where = ("status", "--kubeconfig", str(machine.kubeconfig))
    assert machine.run(*where)[0] == 3
    machine.install("--without", "pachyderm")
    machine.api.sick["determined-master-deployment-determined"] = ("ErrImagePull", "no such image")
    code, shown = machine.run(*where, "--json")
    assert code == 3
    rows = {each["name"]: each for each in json.loads(shown)["platforms"]}
    assert rows["Pachyderm"]["state"] == "absent"
    assert (rows["Determined"]["state"], rows["Determined"]["ready"]) == ("installed", "0/1")
    assert (rows["KServe"]["version"], rows["KServe"]["ready"]) == ("v0.13.1", "1/1")
    code, shown = machine.run(*where)
    assert "KServe's mode: raw" in shown and "cert-manager  installed  v1.16.5" in shown
