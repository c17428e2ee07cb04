"""Killed, crowded, and without rights: what was acknowledged stays, and everything goes on."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest
import python_pachyderm
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import pps_proto

from pdk_stack.pachyderm.core.pps import sandbox_child
from tests.stack.pachyderm.server import REPO, Server


def test_what_was_acknowledged_survives_kills(own_server: Callable[..., Server]) -> None:
    server = own_server()
    server.client().create_repo("data")
    acknowledged: dict[str, bytes] = {}
    for round_number in range(4):
        stop = threading.Event()

        def write(round_number: int = round_number, stop: threading.Event = stop) -> None:
            client = server.client()
            number = 0
            while not stop.is_set():
                path, content = f"/{round_number}-{number}", os.urandom(2000)
                try:
                    client.put_file_bytes(("data", "master"), path, content)
                except (grpc.RpcError, ConnectionError):
                    return
                acknowledged[path] = content
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.4 + 0.13 * round_number)
        server.kill()
        stop.set()
        writer.join(20)
        server.start()
    client = server.client()
    assert len(acknowledged) > 20
    found = {each.file.path for each in client.list_file(("data", "master"), "/")}
    assert set(acknowledged) <= found
    for path, content in acknowledged.items():
        assert client.get_file(("data", "master"), path).read() == content
    assert list(client.fsck()) == []
    # Packs of requests that never ended are gone.
    packs = [each for each in (server.state / "blobs").rglob("*") if each.is_file()]
    assert len(packs) <= len(found)


def test_the_processes_of_a_killed_daemon_do_not_go_on(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    client = server.client()
    client.create_repo("data")
    marker = tmp_path / "alive"
    # The first run would go on for long; the one after the restart ends at once.
    script = f"echo $$ >> {marker}; test $(wc -l < {marker}) -gt 1 || sleep 600"
    client.create_pipeline(
        "slow",
        transform=pps_proto.Transform(image="ubuntu", cmd=["sh"], stdin=[script]),
        input=pps_proto.Input(pfs=pps_proto.PFSInput(repo="data", glob="/")),
    )
    client.put_file_bytes(("data", "master"), "/x", b"1")
    deadline = time.monotonic() + 60
    while not (marker.exists() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    first = int(marker.read_text())
    server.kill()
    assert _is_alive(first)
    server.start()
    commit = next(server.client().inspect_commit(("data", "master"))).commit.id
    job = next(server.client().inspect_job(commit, "slow", wait=True))
    assert job.state == pps_pb2.JOB_SUCCESS
    assert len(marker.read_text().split()) == 2
    assert not _is_alive(first)


def _is_alive(pid: int) -> bool:
    # Where nobody asks after it, a dead process stays on as a zombie.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_many_clients_at_once(own_server: Callable[..., Server]) -> None:
    server = own_server()
    server.client().create_repo("data")
    errors: list[Exception] = []

    def work(number: int) -> None:
        client = server.client()
        try:
            for step in range(10):
                client.put_file_bytes(("data", f"branch-{number}"), f"/{step}", str(step).encode())
                list(client.list_commit("data"))
                assert client.get_file(("data", f"branch-{number}"), f"/{step}").read() == str(step).encode()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(list(server.client().list_commit("data"))) == 80


def test_waiting_calls_do_not_starve_others(own_server: Callable[..., Server]) -> None:
    server = own_server()
    client = server.client()
    client.create_repo("data")
    followers = [client.subscribe_commit("data", "master") for _ in range(60)]
    started = time.monotonic()
    client.put_file_bytes(("data", "master"), "/x", b"")
    assert time.monotonic() - started < 5
    for each in followers:
        assert next(each).commit.repo.name == "data"
        each.cancel()


def test_a_port_in_use_is_said(own_server: Callable[..., Server], tmp_path: Path) -> None:
    server = own_server()
    for flag, port in (("--grpc-port", server.ports["grpc"]), ("--s3-port", server.ports["s3"])):
        done = subprocess.run(
            [sys.executable, "-m", "pdk_stack.pachyderm", "--state-dir", str(tmp_path / flag), flag, str(port)]
            + ["--credentials-file", str(server.credentials)],
            capture_output=True,
            text=True,
            cwd=REPO,
            timeout=60,
        )
        assert done.returncode == 1
        assert str(port) in done.stderr and "Traceback" not in done.stderr


def test_without_roots_rights(tmp_path: Path) -> None:
    """As another user, in a namespace or by the variable: user code finds its data."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become somebody else")
    folder = tmp_path / "pachd"
    folder.mkdir()
    credentials = folder / "credentials.json"
    credentials.write_text(json.dumps({"root_token": ""}))
    credentials.chmod(0o600)
    for each in (folder, credentials):
        os.chown(each, 65534, 65534)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and parent.stat().st_mode & 0o011 != 0o011 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    ready = folder / "ready.json"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m"]
    command += ["pdk_stack.pachyderm", "--state-dir", str(folder / "state")]
    command += ["--credentials-file", str(credentials), "--ready-file", str(ready)]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(command, env=environment, cwd="/", stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert ready.exists(), (tmp_path / "log").read_text()
        address = json.loads(ready.read_text())["pachd"]
        client = python_pachyderm.Client.new_from_pachd_address(address)
        client.create_repo("data")
        client.create_pipeline(
            "who",
            transform=pps_proto.Transform(
                image="ubuntu", cmd=["sh"], stdin=["id -u > ${PDK_PFS_ROOT:-/pfs}/out/id; cat $data/x"]
            ),
            input=pps_proto.Input(pfs=pps_proto.PFSInput(repo="data", name="data", glob="/")),
        )
        client.put_file_bytes(("data", "master"), "/x", b"1")
        commit = next(client.inspect_commit(("data", "master"))).commit.id
        job = next(client.inspect_job(commit, "who", wait=True))
        lines = [line.message for line in client.get_job_logs("who", commit)]
        assert job.state == pps_pb2.JOB_SUCCESS, lines
        assert client.get_file(("who", commit), "/id").read() == b"65534\n"
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def test_the_namespace_of_an_ordinary_user(tmp_path: Path) -> None:
    """The helper itself, as somebody else, with the machine's own interpreter."""
    if os.getuid() != 0 or shutil.which("setpriv") is None or not Path("/usr/bin/python3").exists():
        pytest.skip("needs root, setpriv and /usr/bin/python3")
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        helper = shutil.copy(sandbox_child.__file__, scratch)
        root, data, more = (Path(scratch, each) for each in ("root", "data", "more"))
        for folder in (root, data, more):
            folder.mkdir()
            os.chown(folder, 65534, 65534)
        (data / "x").write_text("data")
        (more / "key").write_text("value")
        script = "id -u; cat /pfs/x /var/lab/secrets/key; pwd; echo out > /pfs/out"
        order = {"root": str(root), "pfs": str(data), "cwd": "/usr", "argv": ["sh", "-c", script]}
        order["binds"] = [[str(more), "/var/lab/secrets"]]
        somebody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        command = [*somebody, "/usr/bin/python3", "-I", "-S", helper, json.dumps(order)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if "unshare" in done.stderr:
            pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
        assert done.stdout == "65534\ndatavalue/usr\n", done.stderr
        assert (data / "out").read_text() == "out\n"
        assert not Path("/var/lab").exists() and not list(root.iterdir())


class Zeros(io.RawIOBase):
    """A large file that is nowhere."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        taken = min(size, self.left)
        self.left -= taken
        return bytes(taken)


def peak_of(server: Server, megabytes: int) -> int:
    """The server's largest memory in bytes while a file goes in and comes out."""
    client = server.client()
    client.create_repo("data")
    assert server.process
    memory = psutil.Process(server.process.pid).memory_info
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            peak[0] = max(peak[0], memory().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with client.modify_file_client(("data", "master")) as modify:
        modify.put_file_from_fileobj("/zeros", Zeros(megabytes << 20))
    with client.get_file(("data", "master"), "/zeros") as source:
        while source.read(1 << 20):
            pass
    stop.set()
    watcher.join()
    return peak[0]


def test_memory_does_not_grow_with_the_file(own_server: Callable[..., Server]) -> None:
    # How much the sender is ahead of the server is chance; what it costs when neither waits is the least of three.
    small, large = (min(peak_of(own_server(), megabytes) for _ in range(3)) for megabytes in (100, 400))
    # Four times the file, and not even one more message of 19 MiB times four.
    assert large - small < 76 << 20
