"""The one function that decides whether a picture can be used, and what it makes of odd ones."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from pdk_shared import pictures
from pdk_shared.errors import DataError
from tests.support.odd_pictures import (
    OddPicture,
    damaged_exif,
    encoded,
    grey_tiff,
    odd_pictures,
    png,
    transparent_grey_png,
)

ODD = odd_pictures()
EXPERIMENT = Path(__file__).resolve().parents[2] / "examples" / "dog-cat" / "experiment"


def greys(data: bytes) -> list[int]:
    return [int(value) for value in np.asarray(pictures.decode(data))[..., 0].ravel()]


@pytest.mark.filterwarnings("ignore")  # Pillow warns of damaged files, and training ignores warnings
@pytest.mark.parametrize("odd", ODD, ids=[each.name for each in ODD])
def test_odd_pictures_are_used_or_refused(odd: OddPicture) -> None:
    if not odd.usable:
        with pytest.raises(DataError):
            pictures.decode(odd.data)
        return
    image = pictures.decode(odd.data)
    assert image.mode == "RGB" and not image.info
    assert pictures.orientation(image) == 1
    # A picture that passes once passes always: the transforms call this again.
    assert pictures.upright_rgb(image) is image


def test_a_picture_with_damaged_exif_is_not_turned() -> None:
    assert pictures.decode(damaged_exif()).size == (80, 60)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_each_format_is_turned_once(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pictures.decode(encoded(Image.new("RGB", (40, 20)), kind, exif=exif)).size == (20, 40)


def test_heic_is_read_and_turned_once() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 32), "red")).save(buffer, exif=exif.tobytes())
    image = pictures.decode(buffer.getvalue())
    assert image.size == (32, 64)
    red, green, blue = image.getpixel((10, 10))  # type: ignore[misc]
    assert red > 240 > 20 > max(green, blue)


def test_heic_is_refused_with_a_remedy_where_pillow_heif_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(DataError, match="HEIC") as caught:
        pictures.decode(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    assert "JPEG" in caught.value.fix


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_greys_are_divided_by_257(order: str) -> None:
    assert greys(grey_tiff([257 * value for value in range(256)], order=order)) == list(range(256))


def test_even_pictures_keep_their_brightness() -> None:
    assert set(greys(encoded(Image.fromarray(np.full((4, 4), 65535, np.uint16))))) == {255}
    assert set(greys(encoded(Image.fromarray(np.full((4, 4), 2570, np.uint16))))) == {10}


def test_signed_32_bit_and_inverted_greys() -> None:
    assert greys(grey_tiff([-5, 0, 32767], signed=True)) == [0, 0, 255]
    assert greys(grey_tiff([0, 257, 65535], order="<", bits=32)) == [0, 1, 255]
    assert greys(grey_tiff([0, 2**31, 2**32 - 1], order="<", bits=32)) == [0, 128, 255]
    assert greys(grey_tiff([0, 2**31 - 1], bits=32, signed=True)) == [0, 255]
    assert greys(grey_tiff([0, 65535], order="<", white=0)) == [255, 0]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floats_ignore_nan_and_infinity_and_are_not_stretched(white: float) -> None:
    values = np.array([[0.0, 0.5, 0.8, np.nan, np.inf, -np.inf, -0.2]], np.float32) * white
    assert greys(encoded(Image.fromarray(values), "TIFF")) == [0, 128, 204, 0, 255, 0, 0]


def test_overshooting_floats_stay_bright() -> None:
    assert greys(encoded(Image.fromarray(np.array([[0.5, 1.02]], np.float32)), "TIFF")) == [128, 255]


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "wanted"),
    [
        (1, [0, 1], 0, [255, 255]),
        (2, [0, 1, 2, 3], 1, [0, 255, 170, 255]),
        (4, [0, 8, 15], 0, [255, 136, 255]),
        (4, [0, 8, 15], 8, [0, 255, 255]),
        (8, [0, 8, 15], 8, [0, 255, 15]),
        (16, [0, 25700, 51400], 25700, [0, 255, 200]),
    ],
)
def test_the_transparent_grey_of_a_png_is_white(
    depth: int, row: list[int], transparent: int, wanted: list[int]
) -> None:
    assert greys(transparent_grey_png(depth, row, transparent)) == wanted


def test_the_transparent_colour_of_a_16_bit_png_is_white() -> None:
    row = b"\0" + bytes.fromhex("123456789abc") + bytes.fromhex("000000000000")
    data = png(2, 1, 16, 2, row, (b"tRNS", bytes.fromhex("123456789abc")))
    assert greys(data) == [255, 0]


def test_postscript_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "check_call", lambda *given, **named: pytest.fail("Ghostscript was started"))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(DataError, match="PostScript"):
        pictures.decode(eps)


@pytest.mark.parametrize("size", ["(1, 250_000)", "(250_000, 1)"])
def test_slivers_need_little_memory(size: str) -> None:
    code = f"""
import resource, preprocess
from PIL import Image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = Image.new("RGB", {size})
for transform in (preprocess.eval_transform(224), preprocess.train_transform(224)):
    for _ in range(4):
        assert transform(picture).shape == (3, 224, 224)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=EXPERIMENT, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 50 * 1024
