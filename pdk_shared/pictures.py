"""One picture, from bytes to upright RGB: the one function that decides whether a picture can be used.

Notebooks, training, prediction requests, and the TorchServe handler all decode with this module. It travels with each
experiment and is in each model archive. It needs only Pillow, NumPy, and :mod:`pdk_shared.errors`; with pillow-heif, it
also reads HEIC.
"""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from pdk_shared.errors import DataError

__all__ = ["MAX_PIXELS", "decode", "orientation", "upright_rgb"]

# Refuse larger pictures before decoding: a small file can claim billions of pixels.
MAX_PIXELS = 100_000_000
# Major brands of HEIF files: single pictures, collections, and sequences, coded with HEVC or anything.
HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
EXIF_ORIENTATION = 0x0112
# How to turn a picture with each EXIF orientation upright (EXIF 2.3, tag Orientation).
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# White in pictures of floating-point numbers: the smallest of these that the brightest pixel doesn't exceed by far.
FLOAT_WHITES = (1.0, 255.0, 65535.0, 2.0**32 - 1)
MINIMUM_IS_WHITE, PHOTOMETRIC_TAG = 0, 262


def decode(data: bytes) -> Image.Image:
    """Decode one picture, upright and in RGB.

    Args:
        data: The file's bytes.

    Returns:
        An RGB image without metadata: EXIF orientation applied, transparent pixels white, and 16-bit and 32-bit greys
        scaled to 8 bits. A picture with damaged EXIF data isn't turned.

    Raises:
        DataError: The bytes aren't a picture, are broken or truncated, or have too many pixels.
    """
    if not data:
        raise DataError("the picture is empty (0 bytes)")
    try:
        _enable_heif(data)
        with Image.open(io.BytesIO(data)) as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise DataError(f"the picture has too many pixels: {width} x {height}")
            if opened.format == "EPS":
                # Pillow would start Ghostscript, which runs the file as a program.
                raise DataError("the picture can't be decoded: PostScript files aren't read")
            return upright_rgb(opened)
    except DataError:
        raise
    except Image.DecompressionBombError as error:  # Pillow has a limit of its own when it opens a file
        raise DataError("the picture has too many pixels") from error
    except Exception as error:  # Pillow raises a dozen kinds of errors for broken files
        reason = "not a picture that can be read" if "cannot identify" in str(error) else _line(error)
        raise DataError(f"the picture can't be decoded: {reason}", fix="replace or remove the file") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 when the picture has none or its EXIF data is damaged."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # damaged EXIF data raises SyntaxError, struct.error, and others
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def upright_rgb(image: Image.Image) -> Image.Image:
    """An opened picture of any mode with its EXIF orientation applied, in RGB, transparent pixels on white.

    Args:
        image: The picture; its pixels needn't be loaded.

    Returns:
        A picture without metadata, so that a second call changes nothing.

    Raises:
        Exception: Any of Pillow's errors for broken files.
    """
    if image.mode == "RGB" and not image.info and not hasattr(image, "tile"):
        return image
    # Loading discards how the file stores pixels, and applies the orientation of TIFF files.
    stored = _raw_mode(image)
    image.load()
    turn = TURNS.get(orientation(image))
    rgb = _rgb(image, stored)
    if turn is not None:
        rgb = rgb.transpose(turn)
    elif rgb is image:
        rgb = image.copy()
    rgb.info = {}
    return rgb


def _enable_heif(data: bytes) -> None:
    """Let Pillow read HEIF if this file needs it and pillow-heif is installed."""
    if data[4:8] != b"ftyp" or data[8:12] not in HEIF_BRANDS:
        return
    try:
        import pillow_heif
    except ImportError:
        if data[8:12] in (b"mif1", b"msf1"):
            return  # may be AVIF, which Pillow reads itself
        raise DataError(
            "the picture can't be decoded: it's a HEIC file, and pillow-heif isn't installed here",
            fix="save it as JPEG, or: pip install pillow-heif",
        ) from None
    pillow_heif.register_heif_opener()


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _raw_mode(image: Image.Image) -> str:
    """How the file stores pixels, e.g. ``I;16B``; empty when unknown."""
    tiles: Any = getattr(image, "tile", None)
    args = tiles[0][3] if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _rgb(image: Image.Image, stored: str) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep_grey(image, stored)
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        if "transparency" in image.info:
            image.info["transparency"] = _in_8_bits(image.info["transparency"], stored)
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _in_8_bits(transparent: Any, stored: str) -> Any:
    """A PNG's transparent color in the depth of Pillow's pixels: the file gives it in the depth of its own."""
    if isinstance(transparent, int):
        return transparent * {"L;2": 85, "L;4": 17}.get(stored, 1)
    if isinstance(transparent, tuple) and stored.startswith("RGB;16"):
        return tuple(value >> 8 for value in transparent)
    return transparent


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None  # it is None only when the picture changes in place
    return converted


def _from_deep_grey(image: Image.Image, stored: str) -> Image.Image:
    """16-bit, 32-bit, and floating-point greys: ``convert()`` would clip instead of scale.

    White is the largest value of the format, not of the picture: a dark picture stays dark.
    """
    import numpy as np  # late, because few pictures need it

    pixels = np.asarray(image)
    if stored == "I;32N":
        pixels = pixels.view(np.uint32)  # Pillow keeps unsigned numbers in signed ones
    values = pixels.astype(np.float32)
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    if image.mode == "F":
        # Sharpening and highlights exceed white, but not by a factor of two.
        white = next((each for each in FLOAT_WHITES if top < 2 * each), top)
    elif stored == "I;12":
        white = 4095.0
    elif top <= 65535:
        white = 32767.0 if stored in ("I;16S", "I;16BS") else 65535.0
    else:
        white = 2.0**32 - 1 if stored == "I;32N" else 2.0**31 - 1
    # NaN marks a pixel without a value.
    values = np.nan_to_num(values, nan=0.0, posinf=white, neginf=0.0)
    greys = np.rint(values.clip(0, white) * (255.0 / white)).astype(np.uint8)
    tags: Any = getattr(image, "tag_v2", {})
    if image.mode != "F" and tags.get(PHOTOMETRIC_TAG) == MINIMUM_IS_WHITE:
        greys = 255 - greys
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        greys[pixels == transparent] = 255
    return Image.fromarray(greys).convert("RGB")
