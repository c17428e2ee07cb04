"""Hand-written codecs for the hot calls: the protocol library for Python 3.11 is pure Python and slow.

Field numbers: ``pfs.proto`` (``ModifyFileRequest``, ``AddFile``) and ``wrappers.proto`` (``BytesValue``).
"""

from __future__ import annotations

from dataclasses import dataclass

from python_pachyderm.proto.v2.pfs import pfs_pb2

_ADD_FILE = 0x12  # ModifyFileRequest.add_file = 2, length-delimited
_DELETE_FILE = 0x1A  # ModifyFileRequest.delete_file = 3
_PATH, _DATUM, _RAW = 0x0A, 0x12, 0x1A  # path = 1 and datum = 2 of AddFile and DeleteFile; AddFile.raw = 3
_VALUE = 0x0A  # BytesValue.value = 1


@dataclass(slots=True)
class AddBytes:
    """An ``add_file`` with bytes.

    Attributes:
        path: The file.
        datum: Its tag, or empty.
        data: A view into the received message.
    """

    path: str
    datum: str
    data: memoryview | None


@dataclass(slots=True)
class DeletePath:
    """A ``delete_file``.

    Attributes:
        path: The file, or with a trailing slash the directory.
        datum: Its tag, or empty.
    """

    path: str
    datum: str


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def decode_modify(data: bytes) -> AddBytes | DeletePath | pfs_pb2.ModifyFileRequest:
    """A ``ModifyFileRequest``; the usual kinds without building a message."""
    found: AddBytes | DeletePath | None = None
    try:
        if data[0] == _ADD_FILE:
            found = _decode_add(data)
        elif data[0] == _DELETE_FILE:
            found = _decode_delete(data)
        if found is not None:
            return found
    except IndexError:
        pass  # malformed or unusual: the protocol library decides
    return pfs_pb2.ModifyFileRequest.FromString(data)


def _decode_add(data: bytes) -> AddBytes | None:
    length, at = _varint(data, 1)
    if at + length != len(data):
        return None
    path = datum = ""
    raw: memoryview | None = None
    seen_raw = False
    while at < len(data):
        field = data[at]
        length, start = _varint(data, at + 1)
        end = start + length
        if end > len(data):
            return None
        if field == _PATH:
            path = data[start:end].decode()
        elif field == _DATUM:
            datum = data[start:end].decode()
        elif field == _RAW and not seen_raw:
            seen_raw = True
            if length:
                if data[start] != _VALUE:
                    return None
                size, content = _varint(data, start + 1)
                if content + size != end:
                    return None
                raw = memoryview(data)[content:end]
        else:
            return None
        at = end
    return AddBytes(path, datum, raw) if seen_raw else None


def _decode_delete(data: bytes) -> DeletePath | None:
    length, at = _varint(data, 1)
    if at + length != len(data):
        return None
    path = datum = ""
    while at < len(data):
        field = data[at]
        length, start = _varint(data, at + 1)
        at = start + length
        if field == _PATH:
            path = data[start:at].decode()
        elif field == _DATUM:
            datum = data[start:at].decode()
        else:
            return None
    return DeletePath(path, datum) if at == len(data) else None


def encode_bytes_value(content: bytes) -> bytes:
    """``content`` as a ``BytesValue``."""
    header = bytearray((_VALUE,))
    size = len(content)
    while size >= 0x80:
        header.append((size & 0x7F) | 0x80)
        size >>= 7
    header.append(size)
    return b"".join((header, content))
