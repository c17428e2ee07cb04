"""Content that changed on the disk: not served as good data, named with a way out, found by fsck, healed by upload."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.service import Service

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import repos
from pdk_stack.pachyderm.core.pfs.files import FileRef, one_file
from pdk_stack.pachyderm.core.pfs.types import Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import DataLoss
from pdk_stack.pachyderm.store import blobs, garbage
from pdk_stack.pachyderm.store.blobs import READ_CHUNK, new_hash
from tests.stack.pachyderm.server import Server
from tests.stack.pachyderm.steps import Client

REPO = RepoKey("default", "data")
SMALL, LARGE = b"some content", b"0123456789abcdef" * (READ_CHUNK // 8)
Damage = Callable[[Path], None]


def flip(pack: Path, at: int = 5) -> None:
    data = bytearray(pack.read_bytes())
    data[at] ^= 1
    pack.write_bytes(data)


def cut(pack: Path) -> None:
    pack.write_bytes(pack.read_bytes()[:-1])


def remove(pack: Path) -> None:
    pack.unlink()


DAMAGES = [pytest.param(each, id=each.__name__) for each in (flip, cut, remove)]


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = Engine(tmp_path)
    with found.change() as change:
        repos.create_repo(change.connection, REPO, "", False)
    return found


def write(engine: Engine, **files: bytes) -> Commit:
    with engine.upload() as upload:
        for path, content in files.items():
            upload.delete(f"/{path}")
            upload.add(f"/{path}", content)
        return engine.modify(CommitRef(REPO, branch="master"), upload)


def packs(engine: Engine) -> list[Path]:
    return [engine.blobs.path(each) for each in engine.blobs.packs()]


def read(engine: Engine, commit: Commit, path: str, offset: int = 0, limit: int = -1) -> tuple[bytes, str]:
    """Return what a reader gets, and the words that end it."""
    found = b""
    with engine.read() as connection, engine.blobs.reader(connection) as content:
        entry = one_file(connection, FileRef(commit, path)).entry
        try:
            for chunk in content.read(entry.blobs, offset, limit, path):
                found += chunk
        except DataLoss as error:
            return found, error.message
    return found, ""


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("content", "offset", "limit"), [(SMALL, 0, -1), (SMALL, 2, 4), (LARGE, 0, -1), (LARGE, 100, 1000), (LARGE, 3, -1)]
)
def test_damaged_content_is_never_read_whole(
    engine: Engine, damage: Damage, content: bytes, offset: int, limit: int
) -> None:
    commit = write(engine, a=content)
    (pack,) = packs(engine)
    damage(pack)
    found, words = read(engine, commit, "/a", offset, limit)
    # Of much content, a reader gets a part before it is known; of a part of content, nothing.
    assert len(found) < (len(content) if limit < 0 else 1)
    assert words.startswith("/a: chunk ") and "is damaged in storage" in words
    assert "upload it again, or restore " in words and str(pack) in words


def test_intact_content_is_checked_once_for_many_ranges(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = write(engine, a=LARGE)
    hashed: list[int] = []

    def counted() -> object:
        hashed.append(1)
        return new_hash()

    monkeypatch.setattr(blobs, "new_hash", counted)
    for start in range(0, len(LARGE), len(LARGE) // 5):
        assert read(engine, commit, "/a", start, 10) == (LARGE[start : start + 10], "")
    assert len(hashed) == 1


@pytest.mark.parametrize("damage", DAMAGES)
def test_uploading_it_again_heals_every_commit(engine: Engine, damage: Damage) -> None:
    first = write(engine, a=SMALL)
    second = write(engine, a=SMALL, b=b"other")
    pack = next(each for each in packs(engine) if each.stat().st_size == len(SMALL))
    damage(pack)
    assert read(engine, first, "/a")[1]
    write(engine, elsewhere=SMALL)
    for commit in (first, second):
        assert read(engine, commit, "/a") == (SMALL, "")
    # Content that is intact again is stored once, as before.
    before = len(packs(engine))
    write(engine, once_more=SMALL)
    assert len(packs(engine)) == before


def test_garbage_collection_keeps_a_damaged_pack(engine: Engine) -> None:
    commit = write(engine, kept=b"k" * 100, gone=b"g" * 5000)
    (pack,) = packs(engine)
    write(engine, gone=b"")
    with engine.change() as change:
        change.connection.execute("UPDATE commits SET parent = NULL")
        change.connection.execute("DELETE FROM commits WHERE pk = ?", (commit.pk,))
    flip(pack, pack.read_bytes().index(b"k"))
    assert garbage.collect(engine.database, engine.blobs, 1.0) is not None
    assert packs(engine) == [pack]
    with engine.read() as connection:
        assert connection.execute("SELECT COUNT(*) FROM blobs").fetchone()[0] == 1


def test_every_call_and_fsck_name_it(own_server: Callable[..., Server]) -> None:
    server = own_server()
    client: Client = server.client()
    client.create_repo("data")
    commit = ("data", "master")
    with client.modify_file_client(commit) as modify:
        modify.put_file_from_bytes("/deep/bad", SMALL)
        modify.put_file_from_bytes("/good", b"other content")

    def fsck() -> list[str]:
        return [each.error for each in client._req(Service.PFS, "Fsck", req=pfs_pb2.FsckRequest())]

    assert fsck() == []
    (pack,) = [each for each in (server.state / "blobs").glob("*/*") if each.is_file()]
    flip(pack, pack.read_bytes().index(SMALL))
    for name in ("GetFile", "GetFileTAR"):
        file = pfs_pb2.File(commit=pfs_pb2.Commit(branch=pfs_pb2.Branch(name="master")), path="/deep/bad")
        file.commit.branch.repo.name, file.commit.branch.repo.type = "data", "user"
        with pytest.raises(grpc.RpcError) as caught:
            list(client._req(Service.PFS, name, req=pfs_pb2.GetFileRequest(file=file)))
        assert caught.value.code() == grpc.StatusCode.DATA_LOSS
        assert caught.value.details().startswith("/deep/bad: chunk ") and str(pack) in caught.value.details()
    id = next(client.inspect_commit(commit)).commit.id
    (problem,) = fsck()
    assert problem.startswith(f"commit default/data@{id}: /deep/bad: chunk ") and "upload it again" in problem
    assert client.get_file(commit, "/good").read() == b"other content"
    client.put_file_bytes(commit, "/deep/bad", SMALL)
    assert fsck() == []
