"""Starting and stopping the embedded stack without its services: ports, locks, folders."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

from pdk_nb.settings import from_maps
from pdk_shared.errors import StackError
from pdk_shared.settings_keys import KEYS, SECRET_KEYS
from pdk_stack import service_process, stack
from pdk_stack.common.logs import rotate
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


def test_a_service_that_dies_comes_back_on_its_ports_until_it_dies_too_often(
    paths: StatePaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stands for the service: writes its ready file with the port that it was given, or one of its own, and dies.
    code = """
import json, pathlib, sys
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
port = int(given["--master-port"]) or 4711
pathlib.Path(given["--ready-file"]).write_text(json.dumps({"pid": 1, "determined": f"http://127.0.0.1:{port}"}))
print("x" * 300)
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
    never = threading.Event()
    service.start()
    assert service.wait_ready(never)["determined"] == "http://127.0.0.1:4711"
    with pytest.raises(StackError, match=r"determined died 5 times in a minute \(exit code 7\):\nx+"):
        while True:
            service.look_after(never)
            assert json.loads(paths.ready("determined").read_text())["determined"] == "http://127.0.0.1:4711"
    assert paths.log("determined").stat().st_size < 1500
    assert paths.log("determined").with_name("determined.log.1").exists()
