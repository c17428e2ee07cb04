"""Object stores as file sources and egress targets: ``s3://``, ``gs://``, and ``minio://host:port/…``.

Credentials and endpoints come from the daemon's environment, with the variable names that Pachyderm's server uses
(``src/server/pfs/server/storage_bucket.go``): AWS's and Google's own, ``CUSTOM_ENDPOINT``, ``DISABLE_SSL``, and
``MINIO_*``.

Uses the providers' own libraries instead of fsspec or obstore: a key prefix may end within a name, and ``gs://`` must
find emulators and credentials as Google's library does.
"""

from __future__ import annotations

import io
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pdk_stack.pachyderm.errors import Fault, Unimplemented

CHUNK = 1 << 20
_OTHERS = ("azblob", "as", "wasb")
_TRUE = ("1", "t", "true")


@dataclass(frozen=True)
class Place:
    """A location in an object store.

    Attributes:
        scheme: ``s3``, ``gs`` or ``minio``.
        endpoint: The store's endpoint; empty means the provider's default.
        bucket: The bucket.
        key: A key, or a key prefix.
    """

    scheme: str
    endpoint: str
    bucket: str
    key: str


def parse_url(url: str) -> Place:
    """Parse an object store URL.

    Raises:
        Unimplemented: The object store isn't supported.
        Fault: The URL is invalid.
    """
    scheme, separator, rest = url.partition("://")
    if scheme in _OTHERS:
        raise Unimplemented(
            f"{scheme}:// URLs are not implemented by the embedded Pachyderm; use s3://, gs:// or minio://"
        )
    if not separator or scheme not in ("s3", "gs", "minio"):
        raise Fault(f"unrecognized object store: {scheme if separator else ''}")
    endpoint = ""
    if scheme == "s3":
        endpoint = _endpoint("CUSTOM_ENDPOINT", os.environ.get("DISABLE_SSL", "").lower() not in _TRUE)
    elif scheme == "minio":
        secure = os.environ.get("MINIO_SECURE", "").lower() in _TRUE
        endpoint = _endpoint("MINIO_ENDPOINT", secure)
        if not endpoint:
            host, _, rest = rest.partition("/")
            endpoint = f"{'https' if secure else 'http'}://{host}"
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise Fault(f'could not parse bucket "{bucket}" from url "{url}"')
    return Place(scheme, endpoint, bucket, key)


def _endpoint(variable: str, secure: bool) -> str:
    named = os.environ.get(variable, "")
    if not named or "://" in named:
        return named
    return f"{'https' if secure else 'http'}://{named}"


class ObjectStore(ABC):
    """A bucket in an object store."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys with a prefix, in order."""

    @abstractmethod
    def read(self, key: str) -> Iterator[bytes]:
        """Yield an object's content in chunks."""

    @abstractmethod
    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store an object with constant memory; return its size in bytes."""


def open_store(place: Place) -> ObjectStore:
    """Open the bucket of a location.

    Raises:
        Fault: Credentials are missing.
    """
    return GoogleBucket(place) if place.scheme == "gs" else S3Bucket(place)


class S3Bucket(ObjectStore):
    """A bucket that speaks the S3 protocol.

    Args:
        place: The bucket's location.
    """

    def __init__(self, place: Place) -> None:
        import boto3
        from botocore.config import Config

        self._bucket = place.bucket
        options: dict[str, Any] = {}
        if place.endpoint:
            options["endpoint_url"] = place.endpoint
        if place.scheme == "minio":
            options["aws_access_key_id"] = os.environ.get("MINIO_ID", "minioadmin")
            options["aws_secret_access_key"] = os.environ.get("MINIO_SECRET", "minioadmin")
        if not os.environ.get("AWS_DEFAULT_REGION") and not os.environ.get("AWS_REGION"):
            options["region_name"] = "us-east-1"
        path_style = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3})
        # The shared default session isn't thread-safe.
        self._client = boto3.session.Session().client("s3", config=path_style, **options)

    def keys(self, prefix: str) -> Iterator[str]:
        with _told(f"list {self._bucket}/{prefix}"):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
                yield from (each["Key"] for each in page.get("Contents", ()))

    def read(self, key: str) -> Iterator[bytes]:
        with _told(f"read {self._bucket}/{key}"):
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            try:
                yield from body.iter_chunks(CHUNK)
            finally:
                body.close()

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        source = _Reader(chunks)
        with _told(f"write {self._bucket}/{key}"):
            self._client.upload_fileobj(source, self._bucket, key)
        return source.total


class GoogleBucket(ObjectStore):
    """A bucket of Google Cloud Storage.

    Args:
        place: The bucket's location.
    """

    def __init__(self, place: Place) -> None:
        with warnings.catch_warnings():
            # Google's packages warn at import about Python versions and namespaces that they will drop.
            warnings.simplefilter("ignore")
            from google.auth.credentials import AnonymousCredentials
            from google.cloud import storage

        with _told(f"open {place.bucket}"):
            if os.environ.get("STORAGE_EMULATOR_HOST"):
                client = storage.Client(project="pachyderm", credentials=AnonymousCredentials())
            else:
                client = storage.Client()
            self._bucket = client.bucket(place.bucket)

    def keys(self, prefix: str) -> Iterator[str]:
        with _told(f"list {self._bucket.name}/{prefix}"):
            yield from sorted(blob.name for blob in self._bucket.list_blobs(prefix=prefix))

    def read(self, key: str) -> Iterator[bytes]:
        with _told(f"read {self._bucket.name}/{key}"), self._bucket.blob(key).open("rb") as source:
            while chunk := source.read(CHUNK):
                yield chunk

    def write(self, key: str, chunks: Iterable[bytes]) -> int:
        total = 0
        with _told(f"write {self._bucket.name}/{key}"), self._bucket.blob(key).open("wb", ignore_flush=True) as sink:
            for chunk in chunks:
                sink.write(chunk)
                total += len(chunk)
        return total


class _Reader(io.RawIOBase):
    """An iterator of chunks as a file that can be read once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""
        self.total = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, missing = [self._rest], size - len(self._rest)
        while missing > 0 or size < 0:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            missing -= len(chunk)
        data = b"".join(parts)
        taken, self._rest = (data, b"") if size < 0 else (data[:size], data[size:])
        self.total += len(taken)
        return taken


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Convert the client libraries' errors to faults."""
    try:
        yield
    except Exception as error:  # boto3, Google's packages, and requests share no base class
        if type(error).__module__.split(".")[0] not in ("botocore", "boto3", "s3transfer", "google", "requests"):
            raise
        raise Fault(f"cannot {what}: {error}") from error
