"""Guesses an object's content type, as Go's HTTP server does: by the name's extension, else by the first bytes.

Sources: ``builtinTypesLower`` in Go's ``mime/type.go`` (the server's image has no table of its own) and
``net/http/sniff.go``.
"""

from __future__ import annotations

import re

#: Bytes that decide.
SNIFFED_BYTES = 512
TEXT, HTML, BINARY = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/octet-stream"

_BY_EXTENSION = {
    ".avif": "image/avif",
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".htm": HTML,
    ".html": HTML,
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".xml": "text/xml; charset=utf-8",
}
_SPACE = b"\t\n\x0c\r "
_TAGS = rb"!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|H1|DIV|FONT|TABLE|A|STYLE|TITLE|B|BODY|BR|P"
# In the order of Go's table; a dot stands for any byte.
_SIGNATURES = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"[\t\n\x0c\r ]*<(?:(?i:" + _TAGS + rb")|!--)[ >]", HTML),
        (rb"[\t\n\x0c\r ]*<\?xml", "text/xml; charset=utf-8"),
        (rb"%PDF-", "application/pdf"),
        (rb"%!PS-Adobe-", "application/postscript"),
        (rb"\xfe\xff..", "text/plain; charset=utf-16be"),
        (rb"\xff\xfe..", "text/plain; charset=utf-16le"),
        (rb"\xef\xbb\xbf.", TEXT),
        (rb"\x00\x00[\x01\x02]\x00", "image/x-icon"),
        (rb"BM", "image/bmp"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBPVP", "image/webp"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"FORM....AIFF", "audio/aiff"),
        (rb"ID3", "audio/mpeg"),
        (rb"OggS\x00", "application/ogg"),
        (rb"MThd\x00\x00\x00\x06", "audio/midi"),
        (rb"RIFF....AVI ", "video/avi"),
        (rb"RIFF....WAVE", "audio/wave"),
    )
)
_LATER_SIGNATURES = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\x1a\x45\xdf\xa3", "video/webm"),
        (rb".{34}LP", "application/vnd.ms-fontobject"),
        (rb"\x00\x01\x00\x00", "font/ttf"),
        (rb"OTTO", "font/otf"),
        (rb"ttcf", "font/collection"),
        (rb"wOFF", "font/woff"),
        (rb"wOF2", "font/woff2"),
        (rb"\x1f\x8b\x08", "application/x-gzip"),
        (rb"PK\x03\x04", "application/zip"),
        (rb"Rar!\x1a\x07(?:\x00|\x01\x00)", "application/x-rar-compressed"),
        (rb"\x00asm", "application/wasm"),
    )
)
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def by_name(name: str) -> str:
    """Return the content type for a name's extension, or an empty string."""
    stem, dot, extension = name.rpartition("/")[2].rpartition(".")
    return _BY_EXTENSION.get(f".{extension.lower()}", "") if dot else ""


def by_content(data: bytes) -> str:
    """Return the content type for an object's first bytes; it is never empty."""
    data = data[:SNIFFED_BYTES]
    for pattern, kind in _SIGNATURES:
        if pattern.match(data):
            return kind
    if _is_mp4(data):
        return "video/mp4"
    for pattern, kind in _LATER_SIGNATURES:
        if pattern.match(data):
            return kind
    return BINARY if _NOT_TEXT.search(data.lstrip(_SPACE)) else TEXT


def _is_mp4(data: bytes) -> bool:
    size = int.from_bytes(data[:4], "big")
    if len(data) < 12 or size % 4 or len(data) < size or data[4:8] != b"ftyp":
        return False
    # The four bytes at 12 are a version.
    return any(data[start : start + 3] == b"mp4" for start in range(8, size, 4) if start != 12)
