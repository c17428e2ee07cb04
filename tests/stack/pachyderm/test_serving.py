"""Code that does not end by itself, and code that asks for its datums: services, spouts, batches, restarts."""

from __future__ import annotations

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.proto.v2.worker import worker_pb2, worker_pb2_grpc

from pdk_stack.common import peers
from pdk_stack.common.service import free_port
from pdk_stack.pachyderm.api.grpc.worker import serve_datums
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, Name, create, files, log_line, pfs, put, wait

DEADLINE_S = 30.0


def until(ready: Callable[[], object], what: str) -> object:
    """Wait for a condition; what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := ready()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def page(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def test_a_service_shows_the_newest_commit(client: Client, name: Name) -> None:
    repo, pipeline, inside, port = name("data"), name("web"), free_port(), free_port()
    client.create_repo(repo)
    put(client, repo, index="one")
    create(
        client,
        pipeline,
        pfs(repo, "/"),
        "",
        transform={
            "cmd": [sys.executable, "-m", "http.server", str(inside), "--bind", "127.0.0.1", "-d", "/pfs/data"],
            "stdin": [],
        },
        service={"internal_port": inside, "external_port": port},
    )
    until(lambda: page(port, "index") == "one", "the service answers")
    (info,) = client.inspect_pipeline(pipeline, details=True)
    assert info.type == pps_pb2.PipelineInfo.PIPELINE_TYPE_SERVICE
    assert (info.details.service.type, info.details.service.ip) == ("NodePort", "127.0.0.1")
    assert f"{pipeline}.meta" not in [f"{each.repo.name}.{each.repo.type}" for each in client.list_repo(type="")]
    second = put(client, repo, index="two")
    until(lambda: page(port, "index") == "two", "the service shows the new commit")
    # The job of the older commit is over, that of the newer one goes on.
    assert next(client.inspect_job(second, pipeline)).state == pps_pb2.JOB_RUNNING
    ended = [each.state for each in client.list_job(pipeline) if each.job.id != second]
    assert ended and set(ended) == {pps_pb2.JOB_SUCCESS}
    client.delete_pipeline(pipeline)
    until(lambda: _is_closed(port) and _is_closed(inside), "a deleted service ends")


def _is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


SPOUT = """
import os, python_pachyderm
client = python_pachyderm.Client.new_in_cluster(auth_token=os.environ.get("PACH_TOKEN"))
name = os.environ["PPS_PIPELINE_NAME"]
client.put_file_bytes((name, "master"), "/message", b"from the spout")
try:
    client.create_repo("elsewhere")
except Exception as error:
    print("refused:", error.details())
import time
time.sleep(600)
"""


def test_a_spout_brings_data_in(own_server: Callable[..., Server]) -> None:
    server = own_server(token="sesame")
    client = server.client()
    create(client, "spout", {}, "", transform={"cmd": [sys.executable, "-c", SPOUT], "stdin": []}, spout={})
    create(client, "reader", pfs("spout", "/"), "cp /pfs/data/* /pfs/out/")

    def arrived() -> list[str]:
        return [each.file.path for each in client.list_file(("spout", "master"), "/")]

    until(lambda: arrived() == ["/message"], "the spout's file arrives")
    head = next(client.inspect_commit(("spout", "master")))
    assert wait(client, "reader", head.commit.id).state == pps_pb2.JOB_SUCCESS
    assert files(client, "reader", head.commit.id) == {"/message": "from the spout"}
    (info,) = client.inspect_pipeline("spout", details=True)
    assert info.type == pps_pb2.PipelineInfo.PIPELINE_TYPE_SPOUT and not list(client.list_job("spout"))
    # Its token is its own: it may write its output, and nothing else.
    refused = until(
        lambda: [each.message for each in client.get_pipeline_logs("spout") if "refused:" in each.message],
        "the spout was refused",
    )
    assert "pipeline:default/spout is not authorized to perform this operation" in refused[0]  # type: ignore[index]
    client.stop_pipeline("spout")
    client.delete_pipeline("reader")
    client.delete_pipeline("spout")
    # The daemon takes the spout's process along.
    assert server.stop() == 0
    assert not [
        each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == [sys.executable, "-c", SPOUT]
    ]


BATCH = """
import os, pathlib, python_pachyderm
print("loading the model")
worker = python_pachyderm.Client("127.0.0.1", 1).worker
while True:
    with worker.batch_datum():
        source = pathlib.Path(os.environ["data"])
        if source.read_text() == "bad" and not pathlib.Path("SEEN").exists():
            pathlib.Path("SEEN").touch()
            raise ValueError("this one is bad")
        pathlib.Path("/pfs/out", source.name).write_text(source.read_text().upper())
"""


def test_one_process_handles_a_batch_of_datums(client: Client, name: Name, tmp_path: Path) -> None:
    repo, pipeline = name("data"), name("batch")
    client.create_repo(repo)
    seen = tmp_path / "seen"
    create(
        client,
        pipeline,
        pfs(repo),
        "",
        transform={
            "cmd": [sys.executable, "-c", BATCH.replace("SEEN", str(seen))],
            "stdin": [],
            "datum_batching": True,
        },
    )
    commit = put(client, repo, a="one", b="bad", c="three")
    job = wait(client, pipeline, commit)
    assert (job.state, job.data_processed) == (pps_pb2.JOB_SUCCESS, 3)
    assert files(client, pipeline, commit) == {"/a": "ONE", "/b": "BAD", "/c": "THREE"}
    lines = [each.message for each in client.get_job_logs(pipeline, commit)]
    # Once at the start, and once more after the error: as on a cluster, the code is then started anew.
    assert lines.count("loading the model") == 2
    assert any("this one is bad" in line for line in lines)


def test_only_the_user_of_the_worker_gets_datums(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(error: str, active: Callable[[], bool]) -> dict[str, str]:
        asked.append(error)
        return {"PACH_DATUM_ID": "1"}

    with serve_datums(answer) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        worker = worker_pb2_grpc.WorkerStub(channel)
        assert list(worker.NextDatum(worker_pb2.NextDatumRequest(error="mine")).env) == ["PACH_DATUM_ID=1"]
        monkeypatch.setattr(peers, "user_of", lambda near, far: os.geteuid() + 1)
        with pytest.raises(grpc.RpcError) as refused:
            worker.NextDatum(worker_pb2.NextDatumRequest(error="another user's"))
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert asked == ["mine"]


def test_code_that_leaves_its_batch_fails(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("leaver")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "exit 0", datum_tries=1, transform={"datum_batching": True})
    commit = put(client, repo, a="1")
    assert wait(client, pipeline, commit).state == pps_pb2.JOB_FAILURE
    assert any("user code exited prematurely" in each.message for each in client.get_job_logs(pipeline, commit))


def test_a_running_datum_is_started_again(client: Client, name: Name, tmp_path: Path) -> None:
    repo, pipeline = name("data"), name("stuck")
    client.create_repo(repo)
    mark = tmp_path / "mark"
    script = f"echo here; test -e {mark} && cp /pfs/data/* /pfs/out/ && exit 0; touch {mark}; sleep 600"
    create(client, pipeline, pfs(repo), script, datum_tries=2)
    commit = put(client, repo, a="1")
    log_line(client, pipeline, commit, "here")
    running = next(client.inspect_job(commit, pipeline, details=True))
    (status,) = running.details.worker_status
    assert [each.path for each in status.datum_status.data] == ["/a"]
    with pytest.raises(grpc.RpcError, match=r"datum matching filter \[/none\] could not be found for job ID"):
        client.restart_datum(pipeline, commit, ["/none"])
    until(mark.exists, "the code has begun")
    client.restart_datum(pipeline, commit, ["/a"])
    job = wait(client, pipeline, commit)
    assert (job.state, job.data_processed) == (pps_pb2.JOB_SUCCESS, 1)
    with pytest.raises(grpc.RpcError, match="could not be found"):
        client.restart_datum(pipeline, commit)
