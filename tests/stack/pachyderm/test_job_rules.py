"""Rules for jobs and datums: failures, what lists show, log lines, and errors that nothing foresaw."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock

import grpc
import pytest
import python_pachyderm
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2
from python_pachyderm.service import Service

from pdk_stack.pachyderm.core.pfs import commits
from pdk_stack.pachyderm.core.pps import jobs, process, scheduler
from pdk_stack.pachyderm.core.pps.batch import Batch
from pdk_stack.pachyderm.core.pps.logs import LogFilter, LogStore
from pdk_stack.pachyderm.core.pps.process import Outcome
from pdk_stack.pachyderm.core.pps.worker import Worker
from pdk_stack.pachyderm.service import Config, Daemon
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client, Name, create, files, log_line, pfs, put, wait

Json = dict[str, object]

A_PICKY = "echo seen; [ -e /pfs/data/a ] && exit 3; cp /pfs/data/* /pfs/out/"


def job_of(pipeline: str, job: str) -> pps_pb2.Job:
    return pps_pb2.Job(pipeline=pps_pb2.Pipeline(name=pipeline, project=pfs_pb2.Project(name="default")), id=job)


def datums(client: Client, pipeline: str, job: str) -> list[pps_pb2.DatumInfo]:
    return list(client._req(Service.PPS, "ListDatum", req=pps_pb2.ListDatumRequest(job=job_of(pipeline, job))))


def logs(client: Client, **request: object) -> list[pps_pb2.LogMessage]:
    return list(client._req(Service.PPS, "GetLogs", req=pps_pb2.GetLogsRequest(**request)))


def test_a_failed_datum_leaves_the_others_to_be_processed(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("picky")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), A_PICKY, datum_tries=1)
    commit = put(client, repo, a="1", b="2", c="3")
    job = wait(client, pipeline, commit)
    assert job.state == pps_pb2.JOB_FAILURE and job.reason.startswith("datum ")
    assert (job.data_processed, job.data_failed, job.data_total) == (2, 1, 3)
    found = {each.data[0].file.path: each for each in datums(client, pipeline, commit)}
    states = {path: each.state for path, each in found.items()}
    assert states == {"/a": pps_pb2.FAILED, "/b": pps_pb2.SUCCESS, "/c": pps_pb2.SUCCESS}
    assert found["/b"].stats.HasField("upload_time") and not found["/a"].stats.HasField("upload_time")
    assert {each.image_id.split("@")[0] for each in found.values()} == {"docker.io/library/ubuntu"}
    # What the others wrote can be read, and no later job builds on it.
    assert files(client, pipeline, commit) == {"/b": "2", "/c": "3"}
    again = put(client, repo, a="good")
    assert wait(client, pipeline, again).data_processed == 2


def test_the_meta_repo_keeps_what_a_datum_saw_and_wrote(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("kept")
    client.create_repo(repo)
    script = "[ -e /pfs/data/bad ] && exit 3; mkdir /pfs/out/upper; cat /pfs/data/*/* | tr a-z A-Z > /pfs/out/upper/x"
    create(client, pipeline, pfs(repo), script, datum_tries=1)
    commit = put(client, repo, **{"dir/one": "one", "dir/two": "two", "bad": "no"})
    wait(client, pipeline, commit)

    def state(job: str) -> dict[str, dict[str, str]]:
        found = {}
        for each in datums(client, pipeline, job):
            request = pps_pb2.InspectDatumRequest(datum=pps_pb2.Datum(job=job_of(pipeline, job), id=each.datum.id))
            folder = client._req(Service.PPS, "InspectDatum", req=request).pfs_state
            meta = pfs_pb2.GlobFileRequest(commit=folder.commit, pattern=f"{folder.path}/**")
            texts = {}
            for file in client._req(Service.PFS, "GlobFile", req=meta):
                if file.file_type == pfs_pb2.FILE and not file.file.path.endswith("/.env"):
                    content = client._req(Service.PFS, "GetFile", req=pfs_pb2.GetFileRequest(file=file.file))
                    text = b"".join(part.value for part in content).decode()
                    texts[file.file.path.removeprefix(folder.path)] = text
            found[each.data[0].file.path] = texts
        return found

    # Also what a failed datum saw.
    kept = {"/data/dir/one": "one", "/data/dir/two": "two", "/out/upper/x": "ONETWO"}
    assert state(commit) == {"/bad": {"/data/bad": "no"}, "/dir/": kept}
    with client.modify_file_client((repo, "master")) as modify:
        modify.delete_file("/bad")
        modify.put_file_from_bytes("/dir/two", b"2", append=False)
    again = next(client.inspect_commit((repo, "master"))).commit.id
    wait(client, pipeline, again)
    assert state(again) == {"/dir/": {"/data/dir/one": "one", "/data/dir/two": "2", "/out/upper/x": "ONE2"}}


def test_datums_that_an_earlier_job_had_come_last(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("order")
    client.create_repo(repo)
    script = "grep -q bad /pfs/data/* && exit 3; cp /pfs/data/* /pfs/out/"
    create(client, pipeline, pfs(repo), script, datum_tries=1)
    wait(client, pipeline, put(client, repo, a="1"))
    # The changed datum waits for the new one, which fails.
    with client.modify_file_client((repo, "master")) as modify:
        modify.put_file_from_bytes("/a", b"2", append=False)
        modify.put_file_from_bytes("/b", b"bad")
    commit = next(client.inspect_commit((repo, "master"))).commit.id
    job = wait(client, pipeline, commit)
    assert (job.data_processed, job.data_failed, job.data_total) == (0, 1, 2)
    assert [each.data[0].file.path for each in datums(client, pipeline, commit)] == ["/b"]


def test_a_skipped_datum_is_that_of_the_job_that_processed_it(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("skips")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "cp /pfs/data/* /pfs/out/")
    first = put(client, repo, a="1")
    second = put(client, repo, b="2")
    wait(client, pipeline, first), wait(client, pipeline, second)
    found = {each.data[0].file.path: each for each in datums(client, pipeline, second)}
    for path, state, job in (("/a", pps_pb2.SKIPPED, first), ("/b", pps_pb2.SUCCESS, second)):
        each = found[path]
        assert (each.state, each.datum.job.id, each.data[0].file.commit.id) == (state, job, job)
    assert list(found) == [each.data[0].file.path for each in sorted(found.values(), key=lambda each: each.datum.id)]


def test_a_running_job_lists_no_datum_that_is_not_done(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("slow")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "echo waiting; sleep 60")
    commit = put(client, repo, a="1")
    log_line(client, pipeline, commit, "waiting")
    assert not datums(client, pipeline, commit)
    client.stop_job(commit, pipeline)
    job = wait(client, pipeline, commit)
    assert job.state == pps_pb2.JOB_KILLED and job.data_total == 1 and job.stats.HasField("process_time")


def test_a_reported_state_replaces_what_the_job_counted(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("reported")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "echo waiting; sleep 60")
    commit = put(client, repo, a="1")
    log_line(client, pipeline, commit, "waiting")
    stats = pps_pb2.ProcessStats(download_bytes=5, upload_bytes=7)
    stats.process_time.FromMilliseconds(1500)
    report = pps_pb2.UpdateJobStateRequest(
        job=job_of(pipeline, commit), state=pps_pb2.JOB_FAILURE, reason="enough", restart=2, data_processed=3,
        data_skipped=4, data_failed=5, data_recovered=6, data_total=18, stats=stats,
    )  # fmt: skip
    client._req(Service.PPS, "UpdateJobState", req=report)
    job = wait(client, pipeline, commit)
    assert (job.state, job.reason, job.restart) == (pps_pb2.JOB_FAILURE, "enough", 2)
    counted = (job.data_processed, job.data_skipped, job.data_failed, job.data_recovered, job.data_total)
    assert counted == (3, 4, 5, 6, 18)
    assert (job.stats.download_bytes, job.stats.process_time.ToMilliseconds()) == (5, 1500)
    with pytest.raises(grpc.RpcError, match="has already finished"):
        client._req(Service.PPS, "UpdateJobState", req=report)


def test_a_job_that_never_ran_has_a_start_and_no_stats(client: Client, name: Name) -> None:
    repo, upper, lower = name("data"), name("upper"), name("lower")
    client.create_repo(repo)
    create(client, upper, pfs(repo), "false", datum_tries=1)
    create(client, lower, pfs(upper), "true")
    job = wait(client, lower, put(client, repo, a="1"))
    assert job.state == pps_pb2.JOB_UNRUNNABLE
    assert job.reason == "unrunnable because the following upstream pipelines failed: data"
    assert job.started.seconds and job.finished.seconds and job.stats == pps_pb2.ProcessStats()


def test_pages_and_filters_of_datums(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("paged")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), A_PICKY, datum_tries=1)
    commit = put(client, repo, a="1", b="2", c="3", d="4")
    wait(client, pipeline, commit)
    whole = [each.datum.id for each in datums(client, pipeline, commit)]

    def page(**request: object) -> list[str]:
        message = pps_pb2.ListDatumRequest(job=job_of(pipeline, commit), **request)
        return [each.datum.id for each in client._req(Service.PPS, "ListDatum", req=message)]

    assert whole == sorted(whole)
    assert page(number=2) == whole[:2] and page(number=9, paginationMarker=whole[1]) == whole[2:]
    assert page(number=2, reverse=True) == whole[:1:-1]
    assert page(number=9, reverse=True, paginationMarker=whole[1]) == whole[:1]
    failed = pps_pb2.ListDatumRequest.Filter(state=[pps_pb2.FAILED])
    assert len(page(filter=failed)) == 1


def test_jobs_of_one_set_stay_together_and_inputs_select_by_id(client: Client, name: Name) -> None:
    repo, upper, lower = name("data"), name("upper"), name("lower")
    client.create_repo(repo)
    create(client, upper, pfs(repo), "cp /pfs/data/* /pfs/out/")
    create(client, lower, pfs(upper), "true")
    ids = [put(client, repo, a="1"), put(client, repo, b="2")]
    for each in ids:
        wait(client, lower, each)

    def listed(**request: object) -> list[tuple[str, str]]:
        found = client._req(Service.PPS, "ListJob", req=pps_pb2.ListJobRequest(**request))
        return [(each.job.pipeline.name, each.job.id) for each in found if each.job.id in ids]

    newest = [(upper, ids[1]), (lower, ids[1])]
    assert listed() == [*newest, (upper, ids[0]), (lower, ids[0])]
    commit = pfs_pb2.Commit(repo=pfs_pb2.Repo(name=repo, type="user", project={"name": "default"}), id=ids[1])
    assert listed(input_commit=[commit]) == newest
    commit.id = "f" * 12 + "4" + "f" * 19
    assert listed(input_commit=[commit]) == []


def test_a_subscription_brings_each_unfinished_job_once(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("watched")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "true")
    wait(client, pipeline, next(client.list_job(pipeline)).job.id)
    request = pps_pb2.SubscribeJobRequest(pipeline=job_of(pipeline, "").pipeline)
    stream = client._req(Service.PPS, "SubscribeJob", req=request)
    found: list[str] = []

    def read() -> None:
        with pytest.raises(grpc.RpcError):
            for each in stream:
                found.append(each.job.id)

    reader = threading.Thread(target=read)
    reader.start()
    made = [put(client, repo, a="1"), put(client, repo, b="2")]
    for each in made:
        wait(client, pipeline, each)
    while len(found) < 2 and reader.is_alive():
        reader.join(0.05)
    stream.cancel()
    reader.join(30)
    assert found == made


@pytest.mark.parametrize(
    ("request_fields", "code", "words"),
    [
        ({"datum": {"id": "1"}}, "UNKNOWN", "must specify the Job or Pipeline that the datum is from"),
        ({"data_filters": ["/a"]}, "UNKNOWN", "must specify the Job or Pipeline that the datum is from"),
        ({"pipeline": {"name": "none"}}, "NOT_FOUND", "could not get pipeline information for default/none: "),
        ({"job": {"id": "1"}}, "UNKNOWN", "pipeline must be specified for the given job"),
        ({"job": {"id": "1", "pipeline": {"name": "x"}}, "pipeline": {"name": "y"}}, "UNKNOWN", "wrong pipeline"),
        ({"job": {"id": "1", "pipeline": {"name": "x"}}}, "NOT_FOUND", 'could not get job information for "1": jobs '),
        ({"since": {"nanos": 1000}}, "UNKNOWN", "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ({"since": {"seconds": -5}}, "UNKNOWN", "sinceSeconds: Invalid value: -5: must be greater than 0"),
        ({"use_loki_backend": True}, "UNIMPLEMENTED", "has no Loki"),
    ],
)
def test_refused_requests_for_log_lines(
    client: Client, request_fields: dict[str, object], code: str, words: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        logs(client, **request_fields)
    assert caught.value.code().name == code and words in caught.value.details()


def test_lines_of_a_job(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("talks")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo, "/"), "echo one; no-such-program; echo two")
    commit = put(client, repo, a="1")
    wait(client, pipeline, commit)
    lines = logs(client, job=job_of(pipeline, commit))
    user = [each.message for each in lines if each.user]
    assert [user[0], user[-1]] == ["one", "two"]
    # The worker speaks too: about the datum, and before and after about none.
    assert {bool(each.datum_id) for each in lines if not each.user} == {True, False}
    (file,) = next(each for each in lines if each.user).data
    assert file.path == "/" and len(file.hash) == 32
    whole = len(lines)
    assert [len(logs(client, job=job_of(pipeline, commit), tail=tail)) for tail in (-1, 0, 2)] == [whole, whole, 2]
    by_hash = logs(client, job=job_of(pipeline, commit), data_filters=[file.hash.hex()])
    assert [each.message for each in by_hash if each.user] == user
    assert not logs(client, job=job_of(pipeline, commit), data_filters=["/none"])


def test_a_program_that_cannot_start_is_the_workers_message(client: Client, name: Name) -> None:
    repo, pipeline = name("data"), name("lost")
    client.create_repo(repo)
    create(client, pipeline, pfs(repo), "", datum_tries=1, transform={"cmd": ["/no/such"]})
    commit = put(client, repo, a="1")
    assert wait(client, pipeline, commit).state == pps_pb2.JOB_FAILURE
    lines = logs(client, job=job_of(pipeline, commit))
    assert any("/no/such" in each.message for each in lines) and not any(each.user for each in lines)


def test_lines_of_an_older_release_can_be_read(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    (tmp_path / "1.jsonl").write_text('{"ts": 1, "message": "old", "data": ["/a"]}\n')
    store.write(1, "new", data=(("/a", "ff"),))
    found = list(store.read(1, LogFilter(data=("/a",))))
    assert [(each.message, each.data) for each in found] == [("old", (("/a", ""),)), ("new", (("/a", "ff"),))]


# Errors that nothing foresaw


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[python_pachyderm.Client]:
    """A client of a daemon inside this process, so that its parts can be broken."""
    daemon = Daemon(Config(tmp_path / "state"))
    address = daemon.start()["pachd"].removeprefix("grpc://")
    host, port = address.split(":")
    yield python_pachyderm.Client(host, int(port))
    daemon.stop()


def broken(*arguments: object, **options: object) -> None:
    raise ValueError("nothing foresaw this")


WORDS = "ValueError: nothing foresaw this"


@pytest.mark.parametrize(
    ("part", "attribute"),
    [
        (Worker, "process"),
        (Worker, "_variables"),
        (Worker, "run"),
        # Finishing the commits fails, too.
        (commits, "finish_for_test"),
        (scheduler, "JobRun"),
    ],
)
def test_a_job_ends_with_a_reason_whatever_breaks(
    inside: Client, monkeypatch: pytest.MonkeyPatch, part: object, attribute: str
) -> None:
    inside.create_repo("data")
    commit = put(inside, "data", a="1", b="2")
    if attribute == "finish_for_test":
        monkeypatch.setattr(Worker, "process", broken)
        monkeypatch.setattr(jobs, "end", broken)
    else:
        monkeypatch.setattr(part, attribute, broken)
    create(inside, "p", pfs("data"), "true")
    job = wait(inside, "p", next(inside.list_job("p")).job.id)
    assert (job.state, job.reason) == (pps_pb2.JOB_FAILURE, WORDS)
    # Nobody who waits for its output waits forever.
    (output,) = inside.inspect_commit(("p", job.job.id), commit_state=pfs_pb2.FINISHED)
    assert output.error == WORDS and output.commit.id == job.job.id
    monkeypatch.undo()
    create(inside, "p", pfs("data"), "true", update=True)
    newest = next(inside.list_job("p")).job.id
    assert wait(inside, "p", newest).state == pps_pb2.JOB_SUCCESS and commit


def test_a_batch_that_cannot_run_says_so() -> None:
    serve = MagicMock()
    batch = Batch(serve, broken)  # type: ignore[arg-type]
    assert batch.next({}, lambda: False, 0.0) == Outcome(1, problem=WORDS)
    batch.close()


def test_a_line_that_cannot_be_kept_does_not_stop_the_code() -> None:
    group = MagicMock(stdout=io.BytesIO(b"one\ntwo\n"))
    seen: list[str] = []

    def keep(line: str) -> None:
        seen.append(line)
        broken()

    process._drain(group, keep)
    assert seen == ["one", "two"]


def test_the_daemon_with_its_own_state(own_server: Callable[..., Server]) -> None:
    """A restart doesn't lose what a failed job wrote."""
    server = own_server()
    client = server.client()
    client.create_repo("data")
    create(client, "picky", pfs("data"), A_PICKY, datum_tries=1)
    commit = put(client, "data", a="1", b="2")
    wait(client, "picky", commit)
    server.kill()
    client = server.start().client()
    assert files(client, "picky", commit) == {"/b": "2"}
    assert [each.state for each in datums(client, "picky", commit)].count(pps_pb2.FAILED) == 1
