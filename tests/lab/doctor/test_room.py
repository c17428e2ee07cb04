"""What the doctor says of this machine's disk and memory, of the nodes, and when what it can't see counts.

Each test names the codes that it provokes; ``tests/lab/test_doctor_codes.py`` says when one of the source is missing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from pdk_nb import doctor
from pdk_nb import lab as pdk
from pdk_nb.doctor import machine, resources
from pdk_nb.doctor.finding import Report
from pdk_nb.doctor.resources import Machine
from pdk_nb.doctor.rights import persons_rights
from pdk_nb.settings import Settings
from tests.support.doctor_codes import code_of, provokes, said
from tests.support.doctor_proxies import Wrong, kubernetes_before
from tests.support.doctor_tools import Stack, broken, findings, kubeconfig_with

NODES = "/api/v1/nodes"
GIB = 1024**3
ROOMY = 64 * GIB


def on_machine(known: Settings, disk: float, memory: float = 64.0) -> dict[str, doctor.Finding]:
    """What the doctor says of a machine with this much disk and memory in GiB."""
    free = {Path("/state"): ROOMY, Path("/tmp/other"): int(disk * GIB)}
    context = doctor.Context(known.kubeconfig or "", settings=known, machine=Machine(free, int(memory * GIB)))
    report = doctor.examine(context, ["machine"])
    said.update(code_of(each) for each in report)
    return {each.id: each for each in report}


@provokes("machine.disk:warning", "machine.disk:broken")
def test_a_disk_that_is_nearly_full(known: Settings) -> None:
    assert on_machine(known, 64)["machine.disk"].state == "ok"
    short = on_machine(known, 0.9)["machine.disk"]
    assert (short.state, short.where) == ("warning", "/tmp/other")
    assert "Only 0.9 GiB of disk are free" in short.what
    broken(on_machine(known, 0.1)["machine.disk"], "Only 0.1 GiB")


@provokes("machine.memory:warning", "machine.memory:broken")
def test_memory_that_is_nearly_used_up(known: Settings) -> None:
    assert on_machine(known, 64, 8)["machine.memory"].state == "ok"
    assert on_machine(known, 64, 2)["machine.memory"].state == "warning"
    broken(on_machine(known, 64, 0.5)["machine.memory"], "Only 0.5 GiB")


def test_notebooks_alone_need_less_than_nodes_that_work_here(known: Settings, worker: Settings) -> None:
    assert "a walkthrough" in on_machine(known, 0.7)["machine.disk"].why.lower()
    # Who can't see the nodes, or has no cluster, is told what notebooks need.
    for settings in (worker, replace(known, kubeconfig="/nowhere/kubeconfig")):
        assert on_machine(settings, 0.7, 1.5)["machine.disk"].state == "ok"
        assert "The notebooks" in on_machine(settings, 0.3)["machine.disk"].why


def test_this_machine_is_looked_at(known: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = machine.folders_of(doctor.Context(known.kubeconfig or ""))
    # The embedded stack's kubeconfig lies in its state folder.
    assert folders[0] == Path(str(known.kubeconfig)).parent
    found = Machine.look([*folders, tmp_path / "not" / "yet"])
    # A folder that doesn't exist yet will be on the disk of its parent.
    assert all(free > 0 for free in found.disk.values())
    assert len(found.disk) == len({*folders, tmp_path / "not" / "yet"})
    assert found.memory > 0
    # A container may have less than its machine.
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(f"{3 * GIB}\n")
    (tmp_path / "memory.current").write_text(f"{3 * GIB - 1000}\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 234\n")
    assert Machine.look([tmp_path]).memory == 1234
    (tmp_path / "memory.max").write_text("max\n")
    assert Machine.look([tmp_path]).memory > 1234


@provokes("nodes.conditions:warning", "nodes.conditions:broken", "nodes.room:warning")
def test_nodes_that_take_no_pods(stack: Stack, tmp_path: Path) -> None:
    wrong = Wrong()
    with kubernetes_before(stack.kubeconfig, wrong, tmp_path) as kubeconfig:
        through = replace(stack.settings, kubeconfig=kubeconfig)

        def found(*nodes: dict[str, Any]) -> dict[str, doctor.Finding]:
            def change(listed: dict[str, Any]) -> dict[str, Any]:
                (real,) = listed["items"]
                return {**listed, "items": [changed(real, number, **each) for number, each in enumerate(nodes)]}

            wrong.answers = {NODES: change}
            return findings(through, "nodes")

        well = found({}, {})
        assert {name: each.state for name, each in well.items()} == {"conditions": "ok", "room": "ok"}
        assert "fits on 2 of 2 nodes" in well["room"].what
        full = found({}, {"DiskPressure": "True"})["conditions"]
        assert (full.state, full.what) == ("warning", "node-1 has DiskPressure.")
        broken(found({"Ready": "Unknown", "message": "kubelet stopped"})["conditions"], "isn't ready: kubelet stopped")
        broken(found({"cordoned": True}, {"MemoryPressure": "True"})["conditions"], "node-0 is cordoned; node-1 has")
        broken(found()["conditions"], "no node")
        small = found({"allocatable": {"cpu": "100m", "memory": "512Mi"}})["room"]
        assert small.state == "warning"
        assert "No node has room for another model server (0.25 CPU, 1.0 GiB)" in small.what
        assert "pdk-nb config init --apply --set predictor_requests=" in small.fix


def changed(node: dict[str, Any], number: int, **changes: Any) -> dict[str, Any]:
    """A node in another state: conditions by their type, ``cordoned``, or what it can give."""
    made = copy.deepcopy(node)
    made["metadata"]["name"] = f"node-{number}"
    made["status"]["allocatable"] = changes.pop("allocatable", {"cpu": "8", "memory": "32Gi"})
    made["spec"]["unschedulable"] = changes.pop("cordoned", False)
    message = changes.pop("message", "")
    told = {"Ready": "True", "DiskPressure": "False", **changes}
    made["status"]["conditions"] = [{"type": name, "status": each, "message": message} for name, each in told.items()]
    return made


@pytest.fixture
def plain(stack: Stack, lab: pdk.Lab, tmp_path: Path) -> Iterator[Settings]:
    """The same cluster, as a person sees it who has the rights that the lab needs, and no more."""
    core, known = stack.core, stack.settings
    rbac = kubernetes.client.RbacAuthorizationV1Api(core.api_client)
    core.create_namespaced_service_account("default", {"metadata": {"name": "plain"}})
    subject = {"kind": "ServiceAccount", "name": "plain", "namespace": "default"}
    rights = persons_rights(doctor.Context(stack.kubeconfig, settings=known))
    places = {each.namespace for each in rights}
    for place in places:
        rules = [
            {"apiGroups": [each.group], "resources": [each.resource], "verbs": [each.verb]}
            for each in rights
            if each.namespace == place
        ]
        rbac.create_namespaced_role(place, {"metadata": {"name": "plain"}, "rules": rules})
        role = {"kind": "Role", "name": "plain", "apiGroup": "rbac.authorization.k8s.io"}
        rbac.create_namespaced_role_binding(
            place, {"metadata": {"name": "plain"}, "roleRef": role, "subjects": [subject]}
        )
    token = core.create_namespaced_service_account_token("plain", "default", {"spec": {"expirationSeconds": 3600}})
    yield replace(known, kubeconfig=kubeconfig_with(tmp_path, stack.kubeconfig, token=token.status.token))
    for place in places:
        rbac.delete_namespaced_role_binding("plain", place)
        rbac.delete_namespaced_role("plain", place)
    core.delete_namespaced_service_account("plain", "default")


@provokes("nodes.list:unknown", "nodes.room:unknown", "cluster.namespace:unknown", "kserve.version:unknown")
@provokes("kserve.mode:unknown", "rights.worker:unknown")
def test_looks_that_need_an_administrator_do_not_count(plain: Settings, stack: Stack, lab: pdk.Lab) -> None:
    # Whether there is something to pull, the nodes tell.
    groups = [name for name in doctor.GROUPS if name not in ("images", "machine")]
    context = doctor.Context(plain.kubeconfig or "", plain.namespace, lab.names, plain)
    report = doctor.examine(context, groups)
    said.update(code_of(each) for each in report)
    unseen = {each.id for each in report if each.state == "unknown"}
    assert unseen == {"cluster.namespace", "nodes.list", "kserve.mode", "kserve.version", "rights.worker"}, str(report)
    assert all(each.optional and each.fix for each in report if each.state == "unknown")
    assert report.exit_code == 0
    assert "5 unknown (5 optional)" in report.summary()
    rbac = kubernetes.client.RbacAuthorizationV1Api(stack.core.api_client)
    rules = [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]
    rbac.create_cluster_role({"metadata": {"name": "sees-nodes"}, "rules": rules})
    role = {"kind": "ClusterRole", "name": "sees-nodes", "apiGroup": "rbac.authorization.k8s.io"}
    subject = {"kind": "ServiceAccount", "name": "plain", "namespace": "default"}
    rbac.create_cluster_role_binding({"metadata": {"name": "sees-nodes"}, "roleRef": role, "subjects": [subject]})
    try:
        found = findings(plain, "nodes")
        assert {name: each.state for name, each in found.items()} == {"conditions": "ok", "room": "unknown"}
        assert found["room"].optional
    finally:
        rbac.delete_cluster_role_binding("sees-nodes")
        rbac.delete_cluster_role("sees-nodes")


@pytest.mark.parametrize(
    ("findings", "code", "summary"),
    [
        ([("a.b", "ok", False)], 0, "1 ok"),
        ([("a.b", "warning", False)], 0, "1 warning"),
        ([("a.b", "broken", False)], 1, "1 broken"),
        ([("a.b", "unknown", False)], 1, "1 unknown"),
        ([("a.all", "unknown", False), ("a.b", "ok", False)], 1, "1 unknown, 1 ok"),
        ([("a.b", "unknown", True), ("a.c", "ok", False)], 0, "1 unknown (1 optional), 1 ok"),
        ([("a.b", "unknown", True), ("a.c", "unknown", False)], 1, "2 unknown (1 optional)"),
        ([("a.b", "unknown", True), ("a.c", "broken", False)], 1, "1 broken, 1 unknown (1 optional)"),
    ],
)
def test_what_could_not_be_looked_at_counts(findings: list[tuple[str, Any, bool]], code: int, summary: str) -> None:
    report = Report([doctor.Finding(id, state, "x", optional=optional) for id, state, optional in findings])
    assert (report.exit_code, report.summary()) == (code, summary)


def test_a_dead_api_is_told_once(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = kubeconfig_with(tmp_path, stack.kubeconfig, server="https://127.0.0.1:9")
    report = doctor.examine(doctor.Context(gone))
    assert report.exit_code == 1
    (told,) = [each for each in report if each.state == "broken"]
    assert told.id == "cluster.api", str(report)
    unchecked = [each for each in report if each.id.endswith(".all")]
    assert {each.group for each in unchecked} == set(doctor.GROUPS) - {"cluster", "machine"}
    assert {each.what for each in unchecked} == {"Can't check it: see cluster.api."}
