"""Pictures that are unusual, damaged, or hostile, each with whether the lab uses it."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["OddPicture", "damaged_exif", "encoded", "grey_tiff", "odd_pictures", "transparent_grey_png"]


@dataclass(frozen=True)
class OddPicture:
    """One picture: its file name, its bytes, and whether it can be used."""

    name: str
    data: bytes
    usable: bool


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file of a format."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file from raw scan lines (each with its filter byte)."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def transparent_grey_png(depth: int, greys: list[int], transparent: int) -> bytes:
    """One row of greys of 1, 2, 4, 8, or 16 bits, one of which is transparent."""
    bits = "".join(f"{grey:0{depth}b}" for grey in greys)
    bits += "0" * (-len(bits) % 8)
    row = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    return png(len(greys), 1, depth, 0, b"\0" + row, (b"tRNS", struct.pack(">H", transparent)))


def grey_tiff(values: list[int], *, order: str = ">", bits: int = 16, signed: bool = False, white: int = 1) -> bytes:
    """An uncompressed TIFF with one row of greys.

    Args:
        values: The greys.
        order: ``<`` or ``>``, the byte order.
        bits: Bits of each grey: 16 or 32.
        signed: Whether the greys are signed numbers.
        white: Photometric interpretation: 0 when the smallest value is white, 1 when it is black.
    """
    letter = {16: "h", 32: "i"}[bits]
    row = struct.pack(f"{order}{len(values)}{letter if signed else letter.upper()}", *values)
    entries = [(256, len(values)), (257, 1), (258, bits), (259, 1), (262, white), (273, 8), (277, 1), (278, 1)]
    entries += [(279, len(row)), (339, 2 if signed else 1)]
    # Every entry is one 32-bit number (type LONG).
    body = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in entries)
    directory = struct.pack(f"{order}H", len(entries)) + body + b"\0\0\0\0"
    return (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}I", 8 + len(row)) + row + directory


def damaged_exif(block: bytes = b"Exif\0\0" + b"\xff" * 8) -> bytes:
    """A JPEG whose EXIF block is damaged."""
    return encoded(Image.new("RGB", (80, 60), "green"), "JPEG", exif=block)


def _bomb(width: int, height: int) -> bytes:
    return png(width, height, 8, 2, b"\0")


def odd_pictures() -> list[OddPicture]:
    """The pictures, the same each time."""
    rng = np.random.default_rng(1)
    grey = rng.random((40, 40)).astype(np.float32)
    holes, bright = grey.copy(), grey.copy()
    holes[0, 0], bright[0, 0] = np.nan, np.inf
    photo = Image.fromarray((rng.random((60, 80, 3)) * 255).astype(np.uint8))
    jpeg = encoded(photo, "JPEG")
    whole_png = encoded(photo)
    tiff_exif = Image.Exif()
    tiff_exif[0x0112] = 6
    good = {
        "damaged-exif.jpg": damaged_exif(),
        "exif-without-end.jpg": damaged_exif(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12"),
        "exif-empty.jpg": damaged_exif(b"Exif\0\0"),
        "exif-text-orientation.jpg": damaged_exif(
            b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04six\0\0\0\0\0"
        ),
        "damaged-exif.webp": encoded(photo, "WEBP", exif=b"Exif\0\0" + b"\xff" * 8),
        "damaged-exif.png": encoded(photo, exif=b"Exif\0\0" + b"\xff" * 8),
        "turned-deep.tiff": encoded(Image.fromarray((grey * 65535).astype(np.uint16)), "TIFF", exif=tiff_exif),
        "jpeg.jfif": jpeg,
        "phone.avif": encoded(photo, "AVIF"),
        "big-endian-16.tif": grey_tiff([257 * value for value in range(256)]),
        "little-endian-16.tif": grey_tiff([257 * value for value in range(256)], order="<"),
        "signed-16.tif": grey_tiff([-5, 0, 100, 32767], signed=True),
        "unsigned-32.tif": grey_tiff([0, 2**31, 2**32 - 1], order="<", bits=32),
        "signed-32.tif": grey_tiff([-9, 0, 2**31 - 1], bits=32, signed=True),
        "white-is-zero-16.tif": grey_tiff([0, 65535], order="<", white=0),
        "float.tif": encoded(Image.fromarray(grey), "TIFF"),
        "float-nan.tif": encoded(Image.fromarray(holes), "TIFF"),
        "float-inf.tif": encoded(Image.fromarray(bright), "TIFF"),
        "float-all-nan.tif": encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"),
        "lab.tif": encoded(Image.new("LAB", (8, 8), (200, 128, 128)), "TIFF"),
        "16-bit.png": encoded(Image.fromarray((grey * 65535).astype(np.uint16))),
        "transparent-16.png": transparent_grey_png(16, [0, 30000, 65535], 0),
        "transparent-4.png": transparent_grey_png(4, [0, 8, 15], 15),
        "palette.gif": encoded(photo.convert("P"), "GIF"),
        "bilevel.png": encoded(photo.convert("1")),
        "cmyk.jpg": encoded(photo.convert("CMYK"), "JPEG"),
        "one-pixel.png": encoded(Image.new("RGB", (1, 1))),
        "sliver-tall.png": encoded(Image.new("RGB", (1, 250_000))),
        "sliver-wide.png": encoded(Image.new("RGB", (250_000, 1))),
        "ribbon.png": encoded(Image.new("L", (90, 400_000))),
        "bytes-after-end.jpg": jpeg + b"more" * 100,
    }
    bad = {
        "empty.jpg": b"",
        "text.jpg": b"this is text",
        "header-only.jpg": jpeg[:20],
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "truncated.png": whole_png[: len(whole_png) // 2],
        "wrong-checksum.png": whole_png[:60] + b"\0\0\0\0" + whole_png[64:],
        "bomb.png": _bomb(60_000, 60_000),
        "bomb-wide.png": _bomb(2_000_000_000, 1),
        "no-pixels.png": _bomb(0, 10),
        "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n",
        "fake.heic": b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0" * 40,
        "fake.avif": b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + b"\0" * 40,
        "tiff-loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
    }
    try:
        import pillow_heif

        buffer = io.BytesIO()
        pillow_heif.from_pillow(photo).save(buffer)
        good["phone.heic"] = buffer.getvalue()
    except ImportError:
        pass
    return [OddPicture(name, data, True) for name, data in good.items()] + [
        OddPicture(name, data, False) for name, data in bad.items()
    ]
