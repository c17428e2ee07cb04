"""Small parts by themselves: hand-written codecs, schedules, tar headers, image names."""

from __future__ import annotations

import io
import tarfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from google.protobuf import timestamp_pb2, wrappers_pb2
from hypothesis import example, given
from hypothesis import strategies as st
from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.api.grpc.codec import (
    AddBytes,
    DeletePath,
    FileInfoEncoder,
    decode_modify,
    encode_bytes_value,
)
from pdk_stack.pachyderm.core.cron import NEVER, parse_cron, parse_duration
from pdk_stack.pachyderm.core.pfs.tar import tar_stream
from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.images import Images, short_name
from pdk_stack.pachyderm.core.pps.workspace import Workspace
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.store.nodes import Entry, Part, file_entry
from pdk_stack.pachyderm.store.tree import FoundEntry

TEXT = st.text(max_size=200)


@given(path=TEXT, datum=TEXT, value=st.one_of(st.none(), st.binary(max_size=5000)))
def test_added_bytes_are_decoded_as_the_library_does(path: str, datum: str, value: bytes | None) -> None:
    raw = wrappers_pb2.BytesValue(value=value or b"")
    message = pfs_pb2.ModifyFileRequest(add_file=pfs_pb2.AddFile(path=path, datum=datum, raw=raw))
    found = decode_modify(message.SerializeToString())
    assert isinstance(found, AddBytes)
    assert (found.path, found.datum, bytes(found.data or b"")) == (path, datum, value or b"")


@given(path=TEXT, datum=TEXT)
def test_deletions_are_decoded_as_the_library_does(path: str, datum: str) -> None:
    message = pfs_pb2.ModifyFileRequest(delete_file=pfs_pb2.DeleteFile(path=path, datum=datum))
    found = decode_modify(message.SerializeToString())
    assert isinstance(found, DeletePath) and (found.path, found.datum) == (path, datum)


def test_other_modifications_are_left_to_the_library() -> None:
    for message in (
        pfs_pb2.ModifyFileRequest(set_commit=pfs_pb2.Commit(id="x")),
        pfs_pb2.ModifyFileRequest(copy_file=pfs_pb2.CopyFile(dst="/a")),
        pfs_pb2.ModifyFileRequest(add_file=pfs_pb2.AddFile(path="/a", url=pfs_pb2.AddFile.URLSource(URL="http://x"))),
    ):
        assert decode_modify(message.SerializeToString()) == message


@given(st.binary(max_size=70_000))
def test_bytes_values_are_encoded_as_the_library_does(content: bytes) -> None:
    assert wrappers_pb2.BytesValue.FromString(encode_bytes_value(content)).value == content


@given(
    path=TEXT,
    datum=TEXT,
    is_dir=st.booleans(),
    size=st.integers(0, 2**62),
    digest=st.binary(max_size=40),
    seconds=st.one_of(st.none(), st.integers(0, 2**33)),
)
def test_file_infos_are_encoded_as_the_library_does(
    path: str, datum: str, is_dir: bool, size: int, digest: bytes, seconds: int | None
) -> None:
    commit = pfs_pb2.Commit(id="c", repo=pfs_pb2.Repo(name="r"))
    committed = None if seconds is None else timestamp_pb2.Timestamp(seconds=seconds, nanos=7)
    expected = pfs_pb2.FileInfo(
        file=pfs_pb2.File(commit=commit, path=path, datum=datum),
        file_type=pfs_pb2.DIR if is_dir else pfs_pb2.FILE,
        committed=committed,
        size_bytes=size,
        hash=digest,
    )
    found = FileInfoEncoder(commit, committed)(path, datum, is_dir, size, digest)
    assert pfs_pb2.FileInfo.FromString(found) == expected


@pytest.mark.parametrize(
    ("spec", "after", "expected"),
    [
        ("@every 90s", "2024-02-28T23:59:00", "2024-02-29T00:00:30"),
        ("@daily", "2024-02-28T12:00:00", "2024-02-29T00:00:00"),
        ("@monthly", "2024-12-05T00:00:00", "2025-01-01T00:00:00"),
        ("*/15 * * * *", "2024-01-01T10:07:00", "2024-01-01T10:15:00"),
        ("0 9-17/4 * * mon-fri", "2024-01-06T10:00:00", "2024-01-08T09:00:00"),
        ("30 2 29 feb *", "2024-03-01T00:00:00", "2028-02-29T02:30:00"),
        ("0 0 13 * 5", "2024-01-01T00:00:00", "2024-01-05T00:00:00"),
        ("0 0 ? * 7", "2024-01-01T00:00:00", "2024-01-07T00:00:00"),
    ],
)
def test_schedules(spec: str, after: str, expected: str) -> None:
    def moment(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)

    assert parse_cron(spec).after(moment(after)) == moment(expected)


@pytest.mark.parametrize("spec", ["@never", " @never ", "@every 999999999h"])
def test_what_is_never_due(spec: str) -> None:
    assert parse_cron(spec).after(datetime(2026, 1, 1, tzinfo=timezone.utc)) == NEVER


@pytest.mark.parametrize(
    "spec", ["", "* * * *", "61 * * * *", "@every", "@every x", "a * * * *", "*/0 * * * *", "0 0 L * *", "0 0 * * 5#2"]
)
def test_schedules_that_cannot_be_read(spec: str) -> None:
    with pytest.raises(Fault):
        parse_cron(spec)


def test_durations() -> None:
    assert timedelta(seconds=parse_duration("1h30m2.5s")) == timedelta(hours=1, minutes=30, seconds=2.5)


@given(
    name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=120),
    content=st.binary(max_size=1200),
    modified=st.integers(0, 2**33 - 1),
)
@example(name="é" * 60, content=b"x", modified=0)  # the name's field has room for 100 bytes, not characters
def test_tar_streams_are_those_of_the_library(name: str, content: bytes, modified: int) -> None:
    folder = FoundEntry("/d/", Entry("d/", 3, b""))
    file = FoundEntry(f"/d/{name}", file_entry(name, [Part("default", len(content), (b"x" * 32,))]))
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for found, kind, size in ((folder, tarfile.DIRTYPE, 0), (file, tarfile.REGTYPE, len(content))):
            info = tarfile.TarInfo(found.path)
            info.size, info.mode, info.mtime, info.type = size, 0, modified, kind
            archive.addfile(info, io.BytesIO(content))
    for chunk_size in (100, 1 << 20):
        stream = b"".join(tar_stream([folder, file], lambda _: [content[:7], content[7:]], modified, chunk_size))
        assert stream.rstrip(b"\0") == expected.getvalue().rstrip(b"\0")
        assert len(stream) % 512 == 0 and stream.endswith(bytes(1024))


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("python", "python"),
        ("python:3.11-slim", "python"),
        ("registry:5000/team/pdk-lab-train:1.0", "pdk-lab-train"),
        ("registry/team/pdk-lab-train@sha256:" + "0" * 64, "pdk-lab-train"),
    ],
)
def test_image_names(image: str, name: str) -> None:
    assert short_name(image) == name
    assert Images().find("pachyderm/opencv:1.0") is None


@pytest.mark.parametrize("name", ["/abs", "..", ".", "../beside", "a/../../..", "a\0b", ""])
def test_an_input_that_leads_out_of_the_workspace_is_not_written(name: str, tmp_path: Path) -> None:
    if name == "/abs":
        name = str(tmp_path / "abs")
    engine, space = MagicMock(), Workspace(tmp_path / "work" / "0")
    datum = Datum((MagicMock(leaf=pps_pb2.PFSInput(name=name, s3=True)),), "1" * 64, "2" * 64)
    with pytest.raises(Fault, match="leads out of /pfs"):
        space.lay_out(engine, datum, {})
    assert sorted(each.name for each in tmp_path.rglob("*")) == [".env", "0", "out", "pfs", "work"]
