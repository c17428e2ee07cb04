import io
import json

import pytest
from PIL import Image

from pdk_nb import photos
from pdk_shared import pictures
from pdk_shared.errors import DataError
from tests.support.odd_pictures import damaged_exif


def picture(mode="RGB", size=(40, 20), color=None, fmt="JPEG", **save):
    image = Image.new(mode, size, color if color is not None else 0)
    buffer = io.BytesIO()
    image.save(buffer, format=fmt, **save)
    return buffer.getvalue()


def rotated():
    """Left half red, right half blue, with EXIF orientation 6: upright, red is on top."""
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", exif=exif, quality=95)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        picture("L", color=90),
        picture("CMYK", color=(0, 10, 20, 30)),
        picture("RGBA", color=(10, 20, 30, 128), fmt="PNG"),
        picture("LA", color=(10, 128), fmt="PNG"),
        picture("P", fmt="GIF"),
        picture("1", fmt="PNG"),
        picture("I;16", color=4000, fmt="PNG"),
    ],
    ids=["grey", "cmyk", "rgba", "grey-alpha", "palette", "bilevel", "16-bit"],
)
def test_every_mode_becomes_rgb(data):
    image = photos.load_image(data)
    assert (image.mode, image.size) == ("RGB", (40, 20))


def test_orientation_is_applied():
    image = photos.load_image(rotated())
    assert image.size == (20, 40)
    red, blue = image.getpixel((10, 5)), image.getpixel((10, 35))
    assert red[0] > 200 > 60 > red[2]
    assert blue[2] > 200 > 60 > blue[0]


def test_transparency_lies_on_white():
    assert photos.load_image(picture("RGBA", color=(0, 0, 0, 0), fmt="PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_16_bit_greys_keep_their_range():
    image = Image.new("I;16", (2, 1))
    image.putpixel((1, 0), 40000)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    loaded = photos.load_image(buffer.getvalue())
    assert loaded.getpixel((0, 0)) == (0, 0, 0)
    assert loaded.getpixel((1, 0)) == (156, 156, 156)  # 40000 / 257


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"this is text", "not a picture"),
        (picture(size=(200, 200))[:-200], "can't be decoded"),
    ],
)
def test_broken_files_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        photos.load_image(data)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="too many pixels: 40 x 20"):
        photos.load_image(picture())


def test_requests_have_the_guides_shape_and_keep_small_jpegs(tmp_path):
    data = picture()
    (tmp_path / "a.jpg").write_bytes(data)
    request = photos.to_request([data, tmp_path / "a.jpg"])
    assert list(request) == ["instances"]
    assert [set(instance) for instance in request["instances"]] == [{"data"}, {"data"}]
    assert photos.from_request(json.loads(json.dumps(request))) == [data, data]


def test_requests_are_upright_rgb_and_small():
    request = photos.to_request([rotated(), picture("RGBA", (3000, 1500), fmt="PNG")])
    first, second = (Image.open(io.BytesIO(raw)) for raw in photos.from_request(request))
    assert (first.format, first.mode, first.size) == ("JPEG", "RGB", (20, 40))
    assert (second.format, second.mode, second.size) == ("JPEG", "RGB", (1024, 512))


def test_requests_fit_the_limit_or_are_refused():
    noise = Image.effect_noise((1200, 900), 90).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, format="JPEG", quality=95)
    request = photos.to_request([buffer.getvalue()], max_bytes=60_000)
    assert len(json.dumps(request)) <= 60_000
    with pytest.raises(DataError, match="send fewer"):
        photos.to_request([buffer.getvalue()] * 40, max_bytes=20_000)
    with pytest.raises(DataError, match="at least one"):
        photos.to_request([])


@pytest.mark.parametrize("request_", [{}, {"instances": []}, {"instances": [{}]}, {"instances": [{"data": "%%"}]}])
def test_wrong_requests_are_refused(request_):
    with pytest.raises(DataError):
        photos.from_request(request_)


def test_scan_reports_what_it_leaves_out(tmp_path):
    folder = tmp_path / "dogs-from-cats"
    (folder / "data1" / ".hidden").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    good = picture(color=(1, 2, 3))
    files = {
        "data1/cat.1.jpg": good,
        "data1/dog.1.jpg": picture(color=(9, 2, 3)),
        "data1/Dog (2)[ü].jpg": picture(color=(9, 9, 3)),
        "data1/dog.3.jpg": b"text, not a picture",
        "data1/cat.4.jpg": good,
        "data1/holiday.jpg": good,
        "data1/notes.txt": b"hello",
        "data1/.DS_Store": b"x",
        "data1/.hidden/cat.9.jpg": good,
        "__MACOSX/cat.1.jpg": good,
        "data1/Thumbs.db": b"x",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    found = photos.scan(folder)
    assert [p.name for p in found.photos] == [
        "data1/Dog (2)[ü].jpg",
        "data1/cat.1.jpg",
        "data1/cat.4.jpg",
        "data1/dog.1.jpg",
    ]
    assert found.counts() == {"dog": 2, "cat": 2}
    reasons = {item.name: item.reason for item in found.skipped}
    assert set(reasons) == set(files) - {p.name for p in found.photos}
    assert "not a picture" in reasons["data1/dog.3.jpg"]
    assert "neither" in reasons["data1/holiday.jpg"]
    assert reasons["data1/.DS_Store"] == "hidden file"
    assert found.duplicates == (("data1/cat.1.jpg", "data1/cat.4.jpg"),)
    assert found.renames == {"data1/Dog (2)[ü].jpg": "data1/Dog _2_u.jpg"}
    found.check()


def test_renames_never_collide(tmp_path):
    for name in ("cat(1).jpg", "cat[1].jpg", "cat_1.jpg"):
        (tmp_path / name).write_bytes(picture())
    renames = photos.scan(tmp_path).renames
    assert len({*renames.values(), "cat_1.jpg"}) == 3
    assert all(photos.refused_name(name) is None for name in renames.values())


def test_nothing_to_learn_from_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        photos.scan(tmp_path / "absent")
    with pytest.raises(DataError, match="no usable picture"):
        photos.scan(tmp_path).check()
    for number in range(3):
        (tmp_path / f"cat.{number}.jpg").write_bytes(picture())
    with pytest.raises(DataError, match="dog: 0"):
        photos.scan(tmp_path).check()


def test_to_request_reports_the_file(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"no")
    with pytest.raises(DataError) as caught:
        photos.to_request([tmp_path / "x.jpg"])
    assert "x.jpg" in caught.value.where


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".heic", ".HEIF", ".avif"])
def test_pictures_of_phones_and_browsers_count_as_pictures(suffix):
    assert photos.ignored(f"data1/cat.1{suffix}") is None


def test_damaged_exif_does_not_stop_a_request():
    data = damaged_exif()
    assert photos.from_request(photos.to_request([data])) == [data]
    assert photos.thumbnail(data).startswith("data:image/jpeg")


def test_slivers_become_small_requests():
    (sent,) = photos.from_request(photos.to_request([picture(size=(1, 250_000), fmt="PNG")]))
    assert Image.open(io.BytesIO(sent)).size == (1, 1024)


def test_linked_folders_and_files_are_read_and_odd_links_reported(tmp_path):
    disk, folder = tmp_path / "disk", tmp_path / "set"
    for kind in ("cat", "dog"):
        (disk / kind).mkdir(parents=True)
        for number in range(2):
            (disk / kind / f"{number}.jpg").write_bytes(picture(color=(number, 1, len(kind))))
    (folder / "more").mkdir(parents=True)
    (folder / "cat").symlink_to(disk / "cat")
    (folder / "dog").symlink_to(disk / "dog")
    (folder / "cat.9.jpg").symlink_to(disk / "cat" / "0.jpg")
    (folder / "cat.gone.jpg").symlink_to("/nowhere.jpg")
    (folder / "more" / "up").symlink_to(folder)
    (disk / "dog" / "back").symlink_to(disk / "dog")
    found = photos.scan(folder)
    assert [photo.name for photo in found.photos] == ["cat/0.jpg", "cat/1.jpg", "cat.9.jpg", "dog/0.jpg", "dog/1.jpg"]
    assert {each.name: each.reason for each in found.skipped} == {
        "cat.gone.jpg": "a broken link",
        "more/up": "a link to a folder that is already included",
        "dog/back": "a link to a folder that is already included",
    }


def test_a_link_does_not_take_the_place_of_the_folder_itself(tmp_path):
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "1.jpg").write_bytes(picture())
    (tmp_path / "cat").symlink_to(tmp_path / "dog")
    found = photos.scan(tmp_path)
    assert [photo.name for photo in found.photos] == ["dog/1.jpg"]
    assert [each.name for each in found.skipped] == ["cat"]
