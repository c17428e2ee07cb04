"""The Pachyderm helpers against the embedded Pachyderm, through the official client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from pdk_nb.example import find
from pdk_nb.lessons import n02_data
from pdk_nb.names import Names
from pdk_nb.platforms import mldm
from pdk_nb.platforms.waiting import wait
from pdk_nb.settings import Secret, Settings
from pdk_shared.errors import DataError, NoAnswer, ServiceUnreachable, SpecError, TrainingError
from tests.support.processes import ServiceProcess
from tests.support.refusals import Refusal

PROJECT, REPO = "lab", "pictures"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    service = ServiceProcess("pachyderm", tmp_path_factory.mktemp("pachyderm"), {"root_token": "token-for-tests"})
    address = urlsplit(service.start().ready["pachd"])
    yield Settings(
        kubeconfig=None,
        namespace="default",
        mldm_host=str(address.hostname),
        mldm_port=int(address.port or 0),
        pac_token=Secret("token-for-tests"),
    )
    service.stop()


@pytest.fixture(scope="module")
def client(settings: Settings) -> Any:
    client = mldm.connect(settings)
    assert mldm.ensure_project(client, PROJECT) == "created"
    assert mldm.ensure_repo(client, PROJECT, REPO) == "created"
    return client


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    # Lines matter to clients that read files by lines; bytes are what counts here.
    contents = {"cat.1.jpg": b"\xff\n" * 1000, "dog.1.jpg": b"", "more/dog.2.jpg": bytes(range(256))}
    for name, content in contents.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return {name: tmp_path / name for name in contents}


def pipeline(name: str, command: str) -> dict[str, Any]:
    return {
        "pipeline": {"name": name, "project": {"name": PROJECT}},
        "input": {"pfs": {"name": "data", "repo": REPO, "project": PROJECT, "glob": "/"}},
        "transform": {"cmd": ["/bin/sh"], "stdin": [command], "image": "alpine:3"},
        "datum_tries": 1,
    }


def test_a_wrong_token_and_a_wrong_port_are_said_apart(settings: Settings) -> None:
    from dataclasses import replace

    with pytest.raises(ServiceUnreachable, match="token"):
        mldm.connect(replace(settings, pac_token=Secret("wrong")))
    with pytest.raises(ServiceUnreachable):
        mldm.connect(replace(settings, mldm_port=1))


def test_ensuring_again_changes_nothing(client: Any) -> None:
    assert mldm.ensure_project(client, PROJECT) == "unchanged"
    assert mldm.ensure_repo(client, PROJECT, REPO) == "unchanged"
    assert mldm.repos(client, PROJECT) == [REPO]


def test_a_commit_holds_the_bytes_and_the_same_bytes_are_found(client: Any, pictures: dict[str, Path]) -> None:
    assert mldm.next_folder(client, PROJECT, REPO) == "data1"
    assert mldm.find_same(client, PROJECT, REPO, pictures) == ""
    id = mldm.commit_files(client, PROJECT, REPO, "data1", pictures)
    assert id == mldm.head(client, PROJECT, REPO)
    commit = mldm.commit_of(PROJECT, REPO, id=id)
    assert mldm.files(client, commit) == {
        "/data1/cat.1.jpg": 2000,
        "/data1/dog.1.jpg": 0,
        "/data1/more/dog.2.jpg": 256,
    }
    assert mldm.read_file(client, commit, "/data1/cat.1.jpg") == b"\xff\n" * 1000
    assert mldm.find_same(client, PROJECT, REPO, pictures) == "data1"
    assert mldm.next_folder(client, PROJECT, REPO) == "data2"
    pictures["cat.1.jpg"].write_bytes(b"x" * 2000)
    assert mldm.find_same(client, PROJECT, REPO, pictures) == ""


def test_each_glob_makes_its_own_datums(client: Any) -> None:
    repo = "globs"
    mldm.ensure_repo(client, PROJECT, repo)
    with client.modify_file_client({"project": PROJECT, "repo": repo, "branch": "master"}) as commit:
        for path in ("/data1/cat.1.jpg", "/data1/cat.2.jpg", "/data1/dog.1.jpg", "/data2/cat.3.jpg"):
            commit.put_file_from_bytes(path, b"a picture")
    session: Any = SimpleNamespace(pachyderm=client, names=SimpleNamespace(project=PROJECT, data_repo=repo))
    table = n02_data.datums(session, ("/", "/*", "/*/cat*", "/*/*", "/*.jpg"))
    assert table.rows == [
        ["/", "1", "/"],
        ["/*", "2", "/data1/, /data2/"],
        ["/*/cat*", "3", "/data1/cat.1.jpg, /data1/cat.2.jpg, /data2/cat.3.jpg"],
        ["/*/*", "4", "/data1/cat.1.jpg, /data1/cat.2.jpg, …, /data2/cat.3.jpg"],
        ["/*.jpg", "0", "nothing matches"],
    ]
    with pytest.raises(DataError, match="refuses the glob"):
        n02_data.datums(session, ("[",))


def test_names_that_pachyderm_refuses_are_refused_before_anything_is_sent(client: Any, tmp_path: Path) -> None:
    before = mldm.head(client, PROJECT, REPO)
    picture = tmp_path / "x.jpg"
    picture.write_bytes(b"x")
    for name in ("cat (1).jpg", "kätzchen.jpg", "a[1].jpg"):
        with pytest.raises(DataError, match="refuses"):
            mldm.commit_files(client, PROJECT, REPO, "bad", {name: picture})
    with pytest.raises(DataError, match="nothing to commit"):
        mldm.commit_files(client, PROJECT, REPO, "bad", {})
    assert mldm.head(client, PROJECT, REPO) == before


def test_pipelines_are_created_once_and_updated_when_they_change(client: Any) -> None:
    spec = pipeline("count", "ls -R /pfs/data | wc -l > /pfs/out/count; echo counted")
    assert mldm.ensure_pipeline(client, spec) == "created"
    assert mldm.ensure_pipeline(client, spec) == "unchanged"
    changed = {**spec, "description": "counts files"}
    assert mldm.ensure_pipeline(client, changed) == "updated"
    assert mldm.ensure_pipeline(client, changed) == "unchanged"
    assert mldm.pipelines(client, PROJECT)["count"][0] in ("RUNNING", "STARTING", "STANDBY")
    with pytest.raises(SpecError, match="not found"):
        broken = pipeline("broken", "true")
        broken["input"]["pfs"]["repo"] = "nowhere"
        mldm.ensure_pipeline(client, broken)


def test_a_commit_starts_a_job_of_its_own_id(client: Any, pictures: dict[str, Path]) -> None:
    mldm.ensure_pipeline(client, pipeline("second", "cp -r /pfs/data/. /pfs/out; echo copied; ls /pfs/data"))
    id = mldm.commit_files(client, PROJECT, REPO, "data9", pictures)
    seen = []
    job = mldm.wait_job(client, PROJECT, "second", id, timeout=60, progress=lambda each: seen.append(each))
    assert (job.id, job.state, job.ended) == (id, "SUCCESS", True)
    assert seen
    assert "copied" in mldm.job_log(client, PROJECT, "second", id).lines
    assert "/data9/cat.1.jpg" in mldm.files(client, mldm.commit_of(PROJECT, "second", id=id))
    assert id in mldm.jobs(client, PROJECT, "second")


def test_a_job_that_fails_says_why(client: Any, pictures: dict[str, Path]) -> None:
    mldm.ensure_pipeline(client, pipeline("fails", "echo the disk is made of cheese; exit 3"))
    id = mldm.commit_files(client, PROJECT, REPO, "data10", pictures)
    with pytest.raises(TrainingError, match="made of cheese") as caught:
        mldm.wait_job(client, PROJECT, "fails", id, timeout=60)
    assert "FAILURE" in caught.value.what


def test_a_job_that_does_not_come_is_not_waited_for_forever(client: Any) -> None:
    with pytest.raises(TrainingError, match="not created"):
        mldm.wait_job(client, PROJECT, "count", "0" * 12 + "4" + "0" * 19, timeout=0.5)


def test_a_commit_without_files_is_no_newest_commit(client: Any, tmp_path: Path) -> None:
    mldm.ensure_repo(client, PROJECT, "empty")
    assert mldm.newest(client, PROJECT, "empty") == ""
    with client.commit("empty", "master", project_name=PROJECT):
        pass
    assert mldm.head(client, PROJECT, "empty") and mldm.newest(client, PROJECT, "empty") == ""
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    id = mldm.commit_files(client, PROJECT, "empty", "data1", {"cat.jpg": tmp_path / "cat.jpg"})
    assert mldm.newest(client, PROJECT, "empty") == id


def test_a_database_that_starts_again_does_not_end_a_wait() -> None:
    # What pachd 2.8.10 answered while its connection pool was restarted.
    lost = Refusal("read tcp 10.42.0.19:56788->10.96.164.213:5432: read: connection reset by peer")
    for kind in (None, DataError):
        with pytest.raises(NoAnswer) as raised, mldm.api_errors("lab/pictures", "refused", kind):
            raise lost
        assert "database" in str(raised.value.fix)
    with pytest.raises(DataError), mldm.api_errors("lab/pictures", "refused", DataError):
        raise Refusal("branch head is open")
    looks = iter((lost, "SUCCESS"))

    def look() -> str:
        with mldm.api_errors("lab/pictures"):
            found = next(looks)
            if isinstance(found, Refusal):
                raise found
            return str(found)

    assert wait(look, bool, timeout=5.0, interval=0.0, reason=lambda _: DataError("late")) == "SUCCESS"


@pytest.mark.parametrize(
    ("state", "tried"), [("FAILURE", True), ("KILLED", True), ("SUCCESS", False), ("RUNNING", False), (None, False)]
)
def test_the_same_pictures_are_committed_again_only_if_their_job_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str | None, tried: bool
) -> None:
    names = Names(project="lab")
    session: Any = SimpleNamespace(names=names, example=find(), pachyderm=None)
    arrival: Any = SimpleNamespace(files=lambda: {"cat.1.jpg": Path("cat.1.jpg")})
    monkeypatch.setattr(mldm, "find_same", lambda *given: "data1")
    monkeypatch.setattr(n02_data, "latest_commit", lambda session: "before")
    monkeypatch.setattr(mldm, "job", lambda *given: state and mldm.Job("before", "train", state, "", 1.0))
    monkeypatch.setattr(mldm, "commit_again", lambda *given: "again")
    assert n02_data.commit(session, arrival) == ("again" if tried else "before")
    assert ("starts it again" in capsys.readouterr().out) is tried


def test_one_file_is_replaced_and_all_files_are_read_at_once(client: Any) -> None:
    repo = "single"
    mldm.ensure_repo(client, PROJECT, repo)
    assert mldm.read_files(client, mldm.commit_of(PROJECT, "absent", branch="master")) == {}
    mldm.commit_file(client, PROJECT, repo, "a.yaml", b"old")
    mldm.commit_file(client, PROJECT, repo, "folder/b.txt", b"two")
    id = mldm.commit_file(client, PROJECT, repo, "a.yaml", b"new")
    found = mldm.read_files(client, mldm.commit_of(PROJECT, repo, id=id))
    assert found == {"/a.yaml": b"new", "/folder/b.txt": b"two"}


def test_the_datums_of_a_job_say_what_became_of_each_file(client: Any) -> None:
    repo, name = "batches", "classify"
    mldm.ensure_repo(client, PROJECT, repo)
    spec = pipeline(name, 'test -z "$(grep -l broken /pfs/data/*)"')
    spec["input"]["pfs"] |= {"repo": repo, "glob": "/*"}
    spec["transform"] |= {"err_cmd": ["true"]}
    mldm.ensure_pipeline(client, spec)
    with client.modify_file_client({"project": PROJECT, "repo": repo, "branch": "master"}) as commit:
        for path in ("/good", "/broken"):
            commit.put_file_from_bytes(path, path.encode())
    id = mldm.head(client, PROJECT, repo)
    assert mldm.wait_job(client, PROJECT, name, id, timeout=60).state == "SUCCESS"
    found = {each.paths: each.state for each in mldm.job_datums(client, PROJECT, name, id)}
    assert found == {("/good",): "SUCCESS", ("/broken",): "RECOVERED"}
    assert mldm.job_datums(client, PROJECT, name, "f" * 32) == []
