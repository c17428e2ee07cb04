"""Hand-written codecs for the hot calls: protobuf 3.20, which python-pachyderm needs, is pure Python here and slow.

Field numbers: ``pfs.proto`` (``ModifyFileRequest``, ``AddFile``, ``FileInfo``) and ``wrappers.proto``
(``BytesValue``).
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf import timestamp_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2

_ADD_FILE = 0x12  # ModifyFileRequest.add_file = 2, length-delimited
_DELETE_FILE = 0x1A  # ModifyFileRequest.delete_file = 3
_PATH, _DATUM, _RAW = 0x0A, 0x12, 0x1A  # path = 1 and datum = 2 of AddFile and DeleteFile; AddFile.raw = 3
_VALUE = 0x0A  # BytesValue.value = 1
_FILE, _FILE_TYPE, _COMMITTED, _SIZE, _HASH = b"\x0a", b"\x10", b"\x1a", b"\x20", b"\x2a"  # FileInfo: 1, 2, 3, 4, 5
_FILE_COMMIT, _FILE_PATH, _FILE_DATUM = b"\x0a", b"\x12", b"\x1a"  # File: 1, 2, 3


@dataclass(slots=True)
class AddBytes:
    """An ``add_file`` message with bytes.

    Attributes:
        path: The file path.
        datum: The file's tag, or empty.
        data: A view into the received message.
    """

    path: str
    datum: str
    data: memoryview | None


@dataclass(slots=True)
class DeletePath:
    """A ``delete_file`` message.

    Attributes:
        path: The file path; with a trailing slash, the directory.
        datum: The file's tag, or empty.
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
    """Decode a ``ModifyFileRequest``, without building a message for the common kinds."""
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


def _encoded(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append((number & 0x7F) | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Lengths and small sizes account for nearly all encoded integers.
_SMALL = [_encoded(number) for number in range(1 << 14)]


def _length(number: int) -> bytes:
    return _SMALL[number] if number < len(_SMALL) else _encoded(number)


def _delimited(tag: bytes, content: bytes) -> bytes:
    return tag + _length(len(content)) + content


def encode_bytes_value(content: bytes) -> bytes:
    """Encode ``content`` as a ``BytesValue``."""
    return b"".join((bytes((_VALUE,)), _length(len(content)), content))


class FileInfoEncoder:
    """Encodes the ``FileInfo`` messages of one commit's entries.

    Args:
        commit: The commit's name.
        committed: When the commit was finished; None while it is open.
    """

    def __init__(self, commit: pfs_pb2.Commit, committed: timestamp_pb2.Timestamp | None) -> None:
        self._commit = _delimited(_FILE_COMMIT, commit.SerializeToString())
        self._committed = b"" if committed is None else _delimited(_COMMITTED, committed.SerializeToString())

    def __call__(self, path: str, datum: str, is_dir: bool, size: int, digest: bytes) -> bytes:
        """Encode one message.

        Args:
            path: The entry's path.
            datum: The entry's tag, or empty.
            is_dir: Whether the entry is a directory.
            size: Size in bytes.
            digest: The entry's hash.
        """
        file = self._commit + _delimited(_FILE_PATH, path.encode())
        if datum:
            file += _delimited(_FILE_DATUM, datum.encode())
        kind = pfs_pb2.DIR if is_dir else pfs_pb2.FILE
        return b"".join(
            (
                _delimited(_FILE, file),
                _FILE_TYPE,
                _length(kind),
                self._committed,
                _SIZE + _length(size) if size else b"",
                _delimited(_HASH, digest) if digest else b"",
            )
        )
