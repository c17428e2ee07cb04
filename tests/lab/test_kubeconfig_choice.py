"""Which kubeconfig the lab uses: what a person named, then the cluster that runs on this machine, then kubectl's."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from pdk_nb.lab import connect
from pdk_nb.settings import ANNOUNCED, Settings, choose_kubeconfig, from_maps
from pdk_shared.announcement import ANNOUNCEMENT, LOCK, announced_kubeconfig, is_held, state_folder
from pdk_shared.errors import SettingsError


class Machine:
    """A home folder with kubectl's kubeconfig, and a state folder in which a cluster may run."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        self.usual = root / "home" / ".kube" / "config"
        self.own = root / "own"
        self.running = self.state / "kubernetes" / "kubeconfig"
        for path in (self.usual, self.own, self.running, self.state / ANNOUNCEMENT):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
        self.lock: IO[str] | None = None

    def start(self) -> None:
        """Announce the cluster, and hold its lock."""
        (self.state / ANNOUNCEMENT).write_text(json.dumps({"kubeconfig": str(self.running)}))
        self.lock = (self.state / LOCK).open("a")
        fcntl.flock(self.lock, fcntl.LOCK_EX)

    def die(self) -> None:
        """Let the cluster go as it does when it is killed: the announcement stays."""
        assert self.lock
        self.lock.close()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PDK_STATE_DIR", str(made.state))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    yield made
    if made.lock:
        made.lock.close()


def test_a_running_stack_never_wins_over_what_a_person_set(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.start()
    monkeypatch.setenv("KUBECONFIG", str(machine.own))
    assert choose_kubeconfig().path == str(machine.own)
    assert choose_kubeconfig(machine.usual).path == str(machine.usual)
    assert choose_kubeconfig().reason == "from KUBECONFIG"
    monkeypatch.setenv("KUBECONFIG", str(machine.own.with_name("nope")))
    with pytest.raises(SettingsError, match="doesn't exist"):
        choose_kubeconfig()


def test_a_running_stack_comes_before_kubectls_default_and_says_so(machine: Machine) -> None:
    assert choose_kubeconfig().path == str(machine.usual)
    machine.start()
    choice = choose_kubeconfig()
    assert (choice.path, choice.reason) == (str(machine.running), ANNOUNCED)


def test_a_stack_that_was_killed_counts_no_more(machine: Machine) -> None:
    machine.start()
    assert is_held(machine.state / LOCK)
    machine.die()
    assert not is_held(machine.state / LOCK)
    assert choose_kubeconfig().path == str(machine.usual)


@pytest.mark.parametrize("said", ["", "[]", "{", '{"kubeconfig": "/nowhere"}'])
def test_a_damaged_announcement_is_none(machine: Machine, said: str) -> None:
    machine.start()
    (machine.state / ANNOUNCEMENT).write_text(said)
    assert announced_kubeconfig() == ""


def test_looking_does_not_disturb_others_that_look(machine: Machine) -> None:
    machine.start()
    machine.die()
    with (machine.state / LOCK).open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_held(machine.state / LOCK)


def test_the_state_folder_is_the_one_named(machine: Machine, tmp_path: Path) -> None:
    assert state_folder() == machine.state
    assert state_folder(tmp_path / "other") == tmp_path / "other"


def test_the_lab_says_so_when_nobody_named_the_cluster(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"mldm_host": "h", "mldm_port": "1"}

    def load(kubeconfig: str | None, namespace: str) -> Settings:
        choice = choose_kubeconfig(kubeconfig)
        return from_maps(values, {}, kubeconfig=choice.path, kubeconfig_reason=choice.reason)

    monkeypatch.setattr("pdk_nb.settings.load", load)
    machine.start()
    assert repr(connect()).startswith(f"Lab on {machine.running} ({ANNOUNCED}): project")
    assert capsys.readouterr().out == f"KUBECONFIG isn't set, so the lab uses {ANNOUNCED}.\n"
    assert "(named here)" in repr(connect(str(machine.own)))
    monkeypatch.setenv("KUBECONFIG", str(machine.own))
    assert "(from KUBECONFIG)" in repr(connect())
    assert capsys.readouterr().out == ""
