"""What the doctor says of the experiment's code, the route to Pachyderm, clocks, and versions.

Each test names the codes that it provokes; ``tests/lab/test_doctor_codes.py`` says when one of the source is missing.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace
from pathlib import Path

from pdk_nb import lab as pdk
from pdk_nb.doctor import kserve, route
from tests.support.doctor_codes import provokes
from tests.support.doctor_proxies import Wrong, before, kubernetes_before, pachyderm_of_release
from tests.support.doctor_services import NOBODY, service
from tests.support.doctor_tools import Stack, broken, findings, states


@provokes("code.repository:broken", "code.repository:unknown")
def test_the_experiments_code(stack: Stack, tmp_path: Path) -> None:
    assert stack.found("code.repository").state == "ok"
    broken(stack.found("code.repository", git_url="", git_ref=""), "placeholder")
    broken(stack.found("code.repository", git_ref="no-such-branch"), "doesn't exist")
    broken(stack.found("code.repository", git_url=f"{tmp_path.as_uri()}/gone"), "doesn't exist")
    assert stack.found("code.repository", git_url="https://git.nowhere.invalid/lab.git").state == "unknown"
    assert stack.found("code.repository", git_url=tmp_path.as_uri()).state == "ok"


@provokes("route.trials:broken", "route.trials:unknown")
def test_the_way_back_to_pachyderm(stack: Stack) -> None:
    assert stack.found("route.trials").state == "ok"
    unset = stack.found("route.trials", pachd_lb_service_host="")
    broken(unset, "isn't set")
    assert "kubectl -n default patch secret pipeline-secret" in unset.fix
    # The trap of the old examples: without an address, clients ask their own machine.
    broken(stack.found("route.trials", mlde_host="determined.example.invalid"), "their own machine")
    broken(stack.found("route.trials", pachd_lb_service_port=NOBODY), "No connection")
    with service(stack.core, "default", "pachyderm-proxy", "203.0.113.7", 80, "http-port"):
        inside = {"mlde_host": "10.1.2.3", "pachd_lb_service_host": "203.0.113.7", "pachd_lb_service_port": 80}
        assert stack.found("route.trials", **inside).state == "unknown"
    assert [route.is_loopback(each) for each in ("127.0.0.1", "localhost", "::1", "10.0.0.1", "pachd")] == [
        True,
        True,
        True,
        False,
        False,
    ]


# Half an hour behind, two minutes ahead, and answers without a time.
# A Date is cut to the second, and the answer takes its time.
SKEWS = (
    (-1800.0, "broken", r"(1799|180\d) s behind"),
    (120.0, "warning", r"1(1\d|2\d) s ahead"),
    (None, "unknown", "no Date header"),
)


@provokes("clock.kubernetes:broken", "clock.kubernetes:warning", "clock.kubernetes:unknown")
@provokes("clock.determined:broken", "clock.determined:warning", "clock.determined:unknown")
@provokes("clock.storage:broken", "clock.storage:warning", "clock.storage:unknown")
def test_clocks_that_go_wrong(stack: Stack, tmp_path: Path) -> None:
    known, wrong = stack.settings, Wrong()
    with contextlib.ExitStack() as proxies:
        kubeconfig = proxies.enter_context(kubernetes_before(stack.kubeconfig, wrong, tmp_path))
        master = proxies.enter_context(before(known.master_url, wrong))
        gateway = proxies.enter_context(before(f"http://{known.mldm_s3_endpoint}", wrong))
        told = {"mlde_port": master, "mlde_url": "", "mldm_s3_endpoint": f"127.0.0.1:{gateway}"}
        with stack.told(**told) as through:
            through = replace(through, kubeconfig=kubeconfig)
            assert set(states(through, "clock").values()) == {"ok"}
            for wrong.skew, state, words in SKEWS:
                found = findings(through, "clock")
                assert set(found) == {"kubernetes", "determined", "storage"}
                for each in found.values():
                    assert (each.state, bool(re.search(words, each.what))) == (state, True), each
                    if state == "broken":
                        broken(each, "behind this machine's")
    # Those who do not answer have no time either.
    with stack.told(mlde_port=NOBODY, mlde_url="", mldm_s3_endpoint=f"127.0.0.1:{NOBODY}") as gone:
        assert states(replace(gone, kubeconfig=kubeconfig), "clock") == dict.fromkeys(found, "unknown")


@provokes("versions.kubernetes:broken", "versions.kubernetes:unknown")
def test_a_kubernetes_of_another_release(stack: Stack, tmp_path: Path) -> None:
    wrong = Wrong()
    with kubernetes_before(stack.kubeconfig, wrong, tmp_path) as kubeconfig:
        through = replace(stack.settings, kubeconfig=kubeconfig)
        for version, state in (("v1.18.20", "broken"), ("v1.33.1-gke.7", "ok"), ("", "unknown")):
            wrong.answers = {"/version/": lambda told, version=version: {**told, "gitVersion": version}}
            found = findings(through, "versions")["kubernetes"]
            assert found.state == state, found
            assert version in found.what
    assert states(through, "versions")["kubernetes"] == "unknown"


@provokes("versions.pachyderm:broken", "versions.pachyderm:unknown")
def test_a_pachyderm_of_another_release(stack: Stack, lab: pdk.Lab) -> None:
    known = stack.settings
    older = type(lab.pachyderm.get_remote_version())(major=2, minor=4, micro=6)
    with pachyderm_of_release(f"{known.mldm_host}:{known.mldm_port}", older.SerializeToString()) as port:
        broken(stack.found("versions.pachyderm", mldm_port=port), "server 2.4.6")
    assert stack.found("versions.pachyderm", mldm_port=NOBODY).state == "unknown"


@provokes("versions.determined:warning", "versions.determined:unknown")
def test_a_determined_of_another_release(stack: Stack) -> None:
    wrong = Wrong()
    with before(stack.settings.master_url, wrong) as port:
        for version, state in (("0.28.1", "warning"), ("0.38.0", "ok"), ("", "unknown")):
            wrong.answers = {"/info": lambda info, version=version: {**info, "version": version}}
            found = stack.found("versions.determined", mlde_port=port, mlde_url="")
            assert found.state == state, found
            assert ("pip install determined==0.28.1" in found.fix) is (state == "warning")
    assert stack.found("versions.determined", mlde_port=NOBODY, mlde_url="").state == "unknown"
    assert kserve.TRAPS[0].first < kserve.TRAPS[0].last
