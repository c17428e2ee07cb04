"""Folders and zip files of pictures, as people have them."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pdk_nb import picture_sources
from pdk_nb.photos import scan
from pdk_shared.errors import DataError
from tests.support.odd_pictures import encoded

JPEG = encoded(Image.new("RGB", (40, 40), "red"), "JPEG")


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Unpack below a folder of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(target: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(target, "w") as bundle:
        for name in names:
            bundle.writestr(name, JPEG)
    return target


def spoiled(target: Path, *, method: int = 0, encrypted: bool = False, damage: int = 0) -> Path:
    """A zip file with one entry whose compression, flags, or contents are changed."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED if damage else zipfile.ZIP_STORED) as bundle:
        bundle.writestr("cat/1.jpg", random.Random(1).randbytes(4000) * 3)
    raw = bytearray(target.read_bytes())
    central = raw.find(b"PK\1\2")
    if method:
        raw[8], raw[central + 10] = method, method
    if encrypted:
        raw[6] |= 1
        raw[central + 8] |= 1
    raw[60 : 60 + damage] = b"\xaa" * damage
    target.write_bytes(raw)
    return target


def test_backslashes_between_folders_are_read(tmp_path: Path) -> None:
    names = [f"pets\\{kind}\\{number}.jpg" for kind in ("cat", "dog") for number in range(3)]
    archive = zipped(tmp_path / "windows.zip", names)
    found = scan(picture_sources.unpack(archive))
    wanted = [f"pets/{kind}/{number}.jpg" for kind in ("cat", "dog") for number in range(3)]
    assert [photo.name for photo in found.photos] == wanted
    assert not found.renames and found.counts() == {"dog": 3, "cat": 3}
    assert picture_sources.names_in(str(archive)) == wanted


def test_names_in_utf_8_without_the_flag_are_read(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "mac.zip", ["b\u00e4r/1.jpg"])
    raw = archive.read_bytes()
    # Clear the flag in both headers, as macOS does.
    archive.write_bytes(raw.replace(b"\x00\x08\x00\x00", b"\x00\x00\x00\x00"))
    assert picture_sources.names_in(str(archive)) == ["b\u00e4r/1.jpg"]


@pytest.mark.parametrize(
    "name", ["../cat.jpg", "..\\cat.jpg", "a\\..\\..\\cat.jpg", "/cat.jpg", "\\cat.jpg", "C:\\cat.jpg"]
)
def test_entries_outside_the_folder_are_refused(tmp_path: Path, temporary: Path, name: str) -> None:
    with pytest.raises(DataError, match="outside itself"):
        picture_sources.unpack(zipped(tmp_path / "evil.zip", [name]))
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encrypted": True}, "protected with a password"),
        ({"method": 9}, "compressed with Deflate64"),
        ({"method": 99, "encrypted": True}, "protected with a password"),
        ({"method": 98}, "compressed with PPMd"),
        ({"method": 77}, "compressed with method 77"),
        ({"damage": 140}, "can't be read"),
        ({"method": 14}, "can't be read"),
        ({"method": 12}, "can't be read"),
    ],
)
def test_zip_files_that_cannot_be_read_are_refused_and_leave_nothing(
    tmp_path: Path, temporary: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        picture_sources.unpack(spoiled(tmp_path / "pets.zip", **options))  # type: ignore[arg-type]
    assert caught.value.where and caught.value.fix
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\3\4" + b"\xff" * 40])
def test_other_files_are_refused_by_both_readers(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    for read in (lambda path: picture_sources.names_in(str(path)), picture_sources.unpack):
        with pytest.raises(DataError, match="can't be read"):
            read(tmp_path / "x.zip")


def test_unpacked_pictures_are_deleted_when_the_process_ends(tmp_path: Path) -> None:
    zipped(tmp_path / "pets.zip", ["cat/1.jpg"])
    code = (
        "import sys, tempfile; from pathlib import Path; from pdk_nb.picture_sources import unpack\n"
        "tempfile.tempdir = sys.argv[2]; print((unpack(Path(sys.argv[1])) / 'cat' / '1.jpg').is_file())"
    )
    (tmp_path / "own").mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "pets.zip"), str(tmp_path / "own")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"
    assert not list((tmp_path / "own").iterdir())


def test_linked_folders_count_for_classes(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "1.jpg").write_bytes(JPEG)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "disk")
    assert picture_sources.names_in(str(tmp_path / "set")) == ["cat/1.jpg"]
    assert [path.name for path in picture_sources.pictures_in(tmp_path / "set")] == ["1.jpg"]
