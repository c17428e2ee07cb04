"""Starting and stopping the embedded stack without its services: ports, locks, folders."""

from __future__ import annotations

import argparse
import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from pdk_nb.cli import main
from pdk_nb.settings import from_maps
from pdk_shared.errors import StackError
from pdk_shared.settings_keys import KEYS, SECRET_KEYS
from pdk_stack import commands, service_process, stack
from pdk_stack.common.logs import rotate
from pdk_stack.common.polling import poll
from pdk_stack.common.processes import OWNER_VARIABLE, ProcessGroup
from pdk_stack.common.service import read_credentials
from pdk_stack.credentials import ensure_credentials
from pdk_stack.paths import StatePaths
from pdk_stack.ports import choose_ports
from pdk_stack.seed import config_values, secret_values
from pdk_stack.service_process import ServiceProcess, service_environment
from pdk_stack.state_lock import hold_lock, is_running
from pdk_stack.supervisor import Supervisor


@pytest.fixture
def paths(tmp_path: Path) -> StatePaths:
    return StatePaths(tmp_path / "state")


def test_ports_stay_the_same_and_a_taken_one_is_replaced(paths: StatePaths) -> None:
    first = choose_ports(paths, {})
    assert len(set(first.values())) == 5
    assert choose_ports(paths, {}) == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["pachyderm.s3"]))
        other.listen()
        second = choose_ports(paths, {})
    assert second["pachyderm.s3"] != first["pachyderm.s3"]
    assert second["pachyderm.grpc"] == first["pachyderm.grpc"]


def test_a_wanted_port_that_is_taken_is_refused_by_number(paths: StatePaths) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StackError, match=f"Port {port} for kubernetes.ingress is in use"):
            choose_ports(paths, {"kubernetes.ingress": port})


def test_an_unknown_listener_is_refused(paths: StatePaths) -> None:
    with pytest.raises(StackError, match="no listener 'web'") as caught:
        choose_ports(paths, {"web": 1})
    assert "pachyderm.grpc" in caught.value.fix


def test_one_state_folder_has_one_stack(paths: StatePaths) -> None:
    assert not is_running(paths)
    with hold_lock(paths):
        assert is_running(paths)
        with pytest.raises(StackError, match="already running"):
            hold_lock(paths)
    assert not is_running(paths)


def test_credentials_are_random_private_and_stay(paths: StatePaths, tmp_path: Path) -> None:
    first, other = ensure_credentials(paths), ensure_credentials(StatePaths(tmp_path / "other"))
    assert not set(first.values()) & set(other.values())
    assert ensure_credentials(paths) == first
    assert paths.credentials.stat().st_mode & 0o077 == 0
    assert set(read_credentials(paths.service_credentials("pachyderm"))) == {"root_token"}
    paths.credentials.chmod(0o644)
    with pytest.raises(StackError, match="other users"):
        read_credentials(paths.credentials)


def test_the_seeded_maps_have_no_missing_value(tmp_path: Path) -> None:
    addresses = {"pachd": "grpc://127.0.0.1:1", "s3": "http://127.0.0.1:2"}
    addresses |= {"determined": "http://127.0.0.1:3", "ingress": "http://127.0.0.1:4"}
    secret = secret_values(addresses, {"admin_password": "p", "root_token": "t"})
    config = config_values(addresses, tmp_path)
    assert set(config) <= {key.name for key in KEYS}
    assert set(secret) == set(SECRET_KEYS)
    known = from_maps(config, secret)
    assert known.missing == ()
    assert (known.mldm_port, known.mlde_port, known.kserve_ingress_port) == (1, 3, 4)
    assert known.mldm_s3_endpoint == "127.0.0.1:2"
    assert known.git_url == tmp_path.as_uri()


def test_the_users_own_clusters_do_not_reach_the_services(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "PACH_CONFIG", "PACHD_PEER_SERVICE_HOST", "DET_MASTER", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "mine")
    assert "mine" not in service_environment().values()


def test_only_a_stacks_own_folder_is_deleted(paths: StatePaths) -> None:
    paths.root.mkdir(parents=True)
    (paths.root / "thesis.tex").write_text("years of work")
    with pytest.raises(StackError, match="not made by the embedded stack"):
        stack.down(paths.root, purge=True)
    assert (paths.root / "thesis.tex").exists()
    choose_ports(paths, {})
    assert json.loads(paths.options.read_text())["ports"]
    stack.down(paths.root, purge=True)
    assert not paths.root.exists()


def test_people_can_say_what_stands_for_an_image(paths: StatePaths, tmp_path: Path) -> None:
    paths.root.mkdir(parents=True)
    own = {"pdk-lab-train": {"workdir": "", "path": ["/containers/train"]}, "mine": {"path": ["/mine"]}}
    paths.own_images.write_text(json.dumps(own))
    Supervisor(paths, tmp_path, {})
    known = json.loads((paths.root / "run" / "images.json").read_text())
    assert {name: known[name] for name in own} == own
    assert known["pdk-lab-deploy"]["workdir"] == str(tmp_path / "images" / "deploy")
    paths.own_images.write_text("{")
    with pytest.raises(StackError, match="not JSON"):
        Supervisor(paths, tmp_path, {})


@pytest.fixture
def dying(paths: StatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServiceProcess]:
    """A service that becomes ready on the given port, or its own, and dies at once, until a file `well` exists."""
    code = """
import json, pathlib, sys, time
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
port = int(given["--master-port"]) or 4711
ready = pathlib.Path(given["--ready-file"])
written = ready.with_suffix(".tmp")
written.write_text(json.dumps({"pid": 1, "determined": f"http://127.0.0.1:{port}"}))
written.replace(ready)
print("x" * 300)
while pathlib.Path("well").exists():
    time.sleep(0.02)
raise SystemExit(7)
"""
    program = tmp_path / "pdk_stack" / "determined.py"
    program.parent.mkdir()
    (program.parent / "__init__.py").touch()
    program.write_text(code)
    (paths.root / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(service_process, "rotate", lambda path: rotate(path, 1000))
    service = ServiceProcess("determined", paths, {}, [], {"PYTHONPATH": str(tmp_path)})
    yield service
    service.stop()


def has_died(service: ServiceProcess, paths: StatePaths) -> bool:
    service.look_after()
    return paths.death(service.name).exists()


def test_a_service_that_dies_comes_back_on_its_ports_after_longer_and_longer_pauses(
    dying: ServiceProcess, paths: StatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, pauses = [0.0], []
    monkeypatch.setattr(service_process, "time", SimpleNamespace(monotonic=lambda: clock[0], time=lambda: clock[0]))
    dying.start()
    assert dying.wait_ready(threading.Event())["determined"] == "http://127.0.0.1:4711"
    for _ in range(9):
        assert poll(lambda: has_died(dying, paths), 10)
        assert not paths.ready("determined").exists()
        death = json.loads(paths.death("determined").read_text())
        assert death["reason"] == "exit code 7"
        pauses.append(death["next_start"] - clock[0])
        clock[0] += pauses[-1] - 0.01
        dying.look_after()
        assert not paths.ready("determined").exists(), "not before its time"
        clock[0] += 0.02
        dying.look_after()
        assert poll(lambda: paths.ready("determined").exists(), 10)
        assert json.loads(paths.ready("determined").read_text())["determined"] == "http://127.0.0.1:4711"
        paths.death("determined").unlink()
    assert [round(each, 6) for each in pauses] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert paths.log("determined").stat().st_size < 1500
    assert paths.log("determined").with_name("determined.log.1").exists()
    (tmp_path / "well").touch()
    assert poll(lambda: has_died(dying, paths), 10)
    clock[0] += 61
    for _ in range(2):
        dying.look_after()
        assert poll(lambda: paths.ready("determined").exists(), 10)
    assert not paths.death("determined").exists()
    clock[0] += 61
    dying.look_after()
    (tmp_path / "well").unlink()
    assert poll(lambda: has_died(dying, paths), 10)
    assert json.loads(paths.death("determined").read_text())["next_start"] - clock[0] < 1.01, "it ran well for a minute"
    dying.stop()


def test_status_says_why_a_service_is_down_and_that_the_others_run(
    dying: ServiceProcess, paths: StatePaths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.ready("pachyderm").write_text(json.dumps({"pid": 5, "pachd": "grpc://127.0.0.1:9"}))
    with hold_lock(paths):
        dying.start()
        assert poll(lambda: has_died(dying, paths), 10)
        ready, rows = stack.status(paths.root)
        found = {row.name: row for row in rows}
        assert not ready
        assert (found["pachyderm"].state, found["determined"].state) == ("ready", "down")
        assert found["determined"].reason.startswith("exit code 7, starts again in 1 s (its log ends with: xxx")
        assert commands.command_status(argparse.Namespace(state_dir=str(paths.root), json=False)) == 3
        assert "exit code 7, starts again in" in capsys.readouterr().out


def test_a_service_that_cannot_be_started_is_tried_again(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    service = ServiceProcess("determined", paths, {}, [], {})
    (paths.root / "run").mkdir(parents=True)
    monkeypatch.setattr(service_process, "ProcessGroup", full)
    service._next_start = 0.0
    service.look_after()
    assert "No space left on device" in json.loads(paths.death("determined").read_text())["reason"]


@pytest.mark.parametrize("command", ["up", "down", "status", "env"])
def test_a_state_folder_that_is_a_file_is_told_in_a_sentence(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code = main([command, "--state-dir", str(folder)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out
        if command == "up":
            assert code == 1 and "The state folder cannot be used" in said.err and "--state-dir" in said.err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_read_only_state_folder_is_told_in_a_sentence(
    paths: StatePaths, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("pdk_stack.ports.write_private", refuse)
    with pytest.raises(StackError, match=f"The state folder cannot be used: {os.strerror(number).lower()}") as caught:
        stack.up(paths.root)
    assert caught.value.where == str(paths.options)


def test_only_what_the_stack_started_is_ended(paths: StatePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.root.mkdir(parents=True)
    script = paths.root / "mine.py"
    script.write_text("import time\nprint(1, flush=True)\ntime.sleep(60)")
    spawn = "import subprocess, sys; subprocess.Popen([sys.executable, sys.argv[1]], env={}).wait()"
    clean = {key: value for key, value in os.environ.items() if key != OWNER_VARIABLE}
    mine = ProcessGroup([sys.executable, str(script), str(paths.root), "pdk_stack.kubernetes"], clean)
    monkeypatch.setenv(OWNER_VARIABLE, str(paths.root.with_name("other")))
    others = ProcessGroup([sys.executable, str(script)], {})
    monkeypatch.setenv(OWNER_VARIABLE, str(paths.root))
    # Its environment is chosen by its starter, and its child has none at all.
    started = ProcessGroup([sys.executable, "-c", spawn, str(script)], {})
    try:
        for each in (mine, others, started):
            assert each.stdout is not None
            assert each.stdout.readline() == b"1\n"
        child = psutil.Process(started.pid).children()[0].pid
        assert set(stack.end_orphans(paths)) == {started.pid, child}
        assert mine.running and others.running and not started.running
    finally:
        for each in (mine, others, started):
            each.kill()
            if each.stdout:
                each.stdout.close()
