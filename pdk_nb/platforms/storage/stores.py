"""Stores for models: a folder, Amazon S3 and compatible services, and Google Cloud Storage."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pdk_shared.errors import DeploymentError, UsageError

# A name that every S3 and GCS accepts; longer names with dots are Pachyderm's own (see gateway_bucket).
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
TIMEOUT_S = 60.0


class ModelStore(Protocol):
    """A place for files under keys. ``uri`` is how KServe finds it; it ends with ``/``."""

    uri: str

    def put(self, source: Path, key: str) -> None:
        """Store a file under a key, and replace an existing one."""

    def read(self, key: str) -> bytes:
        """A stored file; KeyError when there is none."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with a prefix, sorted."""

    def delete(self, key: str) -> None:
        """Delete a file, if it exists."""


class FolderStore:
    """A folder: a pipeline's ``/pfs/out``, or a local folder.

    Args:
        folder: The folder; made when needed.
        uri: How KServe finds it, e.g. through Pachyderm's S3 gateway; ``file://`` when empty.
    """

    def __init__(self, folder: Path, uri: str = "") -> None:
        self.folder = folder
        self.uri = uri.rstrip("/") + "/" if uri else f"{folder.resolve().as_uri()}/"

    def _path(self, key: str) -> Path:
        target = (self.folder / key).resolve()
        if not target.is_relative_to(self.folder.resolve()):
            raise UsageError(f"The key {key} leads out of the folder.", where=str(self.folder))
        return target

    def put(self, source: Path, key: str) -> None:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        shutil.copyfile(source, partial)
        partial.replace(target)

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise KeyError(key) from error

    def keys(self, prefix: str = "") -> Iterator[str]:
        if self.folder.is_dir():
            found = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
            yield from sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)


class S3Store:
    """A bucket of Amazon S3 or of anything that speaks its protocol (MinIO, Pachyderm's gateway).

    Credentials are found as boto3 finds them: environment, profile, pod identity.

    Args:
        bucket: Bucket name.
        endpoint: URL of another S3 than Amazon's; ``AWS_ENDPOINT_URL`` when empty.
        access_key: Access key id; found by boto3 when empty.
        secret_key: Secret access key.
        region: Region; boto3's own when empty.
    """

    def __init__(
        self, bucket: str, *, endpoint: str = "", access_key: str = "", secret_key: str = "", region: str = ""
    ) -> None:
        import boto3
        from botocore.config import Config

        self.bucket = bucket
        self.uri = f"s3://{bucket}/"
        # Path style reaches bucket names with dots over any endpoint; Amazon's own names go in the host name.
        style = {"addressing_style": "path"} if endpoint or "." in bucket else {}
        # A separate session: the shared one keeps the first credentials that any client found in this process.
        self._client = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint or None,
            aws_access_key_id=access_key or None,
            aws_secret_access_key=secret_key or None,
            region_name=region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
            config=Config(s3=style, connect_timeout=10, read_timeout=TIMEOUT_S, retries={"max_attempts": 4}),
        )

    def put(self, source: Path, key: str) -> None:
        with api_errors(f"{self.uri}{key}"):
            self._client.upload_file(str(source), self.bucket, key)

    def read(self, key: str) -> bytes:
        from botocore.exceptions import ClientError

        with api_errors(f"{self.uri}{key}"):
            try:
                body: bytes = self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
                return body
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                    raise KeyError(key) from error
                raise

    def keys(self, prefix: str = "") -> Iterator[str]:
        with api_errors(f"{self.uri}{prefix}"):
            # The call's first form: Pachyderm's gateway has no tokens of the second one, so pages would be lost.
            pages = self._client.get_paginator("list_objects").paginate(Bucket=self.bucket, Prefix=prefix)
            for page in pages:
                for item in page.get("Contents", ()):
                    yield str(item["Key"])

    def delete(self, key: str) -> None:
        with api_errors(f"{self.uri}{key}"):
            self._client.delete_object(Bucket=self.bucket, Key=key)


class GcsStore:
    """A bucket of Google Cloud Storage.

    Credentials are Google's defaults: ``GOOGLE_APPLICATION_CREDENTIALS`` or workload identity. With
    ``STORAGE_EMULATOR_HOST`` an emulator is used, without credentials.

    Args:
        bucket: Bucket name.
    """

    def __init__(self, bucket: str) -> None:
        with warnings.catch_warnings():
            # Google's packages announce at import which Python versions and namespaces they will drop.
            warnings.simplefilter("ignore")
            from google.cloud import storage

        self.bucket = bucket
        self.uri = f"gs://{bucket}/"
        with api_errors(self.uri):
            self._bucket = storage.Client().bucket(bucket)

    def put(self, source: Path, key: str) -> None:
        with api_errors(f"{self.uri}{key}"):
            self._bucket.blob(key).upload_from_filename(str(source), timeout=TIMEOUT_S)

    def read(self, key: str) -> bytes:
        from google.api_core.exceptions import NotFound

        with api_errors(f"{self.uri}{key}"):
            try:
                content: bytes = self._bucket.blob(key).download_as_bytes(timeout=TIMEOUT_S)
                return content
            except NotFound as error:
                raise KeyError(key) from error

    def keys(self, prefix: str = "") -> Iterator[str]:
        with api_errors(f"{self.uri}{prefix}"):
            yield from sorted(blob.name for blob in self._bucket.list_blobs(prefix=prefix, timeout=TIMEOUT_S))

    def delete(self, key: str) -> None:
        from google.api_core.exceptions import NotFound

        with api_errors(f"{self.uri}{key}"), contextlib.suppress(NotFound):
            self._bucket.blob(key).delete(timeout=TIMEOUT_S)


@contextlib.contextmanager
def api_errors(where: str) -> Iterator[None]:
    """Raise an error of the lab, with the provider's own text, in place of one of its client."""
    try:
        yield
    except (KeyError, DeploymentError, GeneratorExit):
        raise
    except Exception as error:  # boto3, google-auth and requests share no base class
        kind = type(error).__name__
        if type(error).__module__.split(".")[0] not in ("botocore", "boto3", "s3transfer", "google", "requests"):
            raise
        text = str(error).strip().splitlines()[0] if str(error).strip() else kind
        fix = "Check the bucket's name and region, and the permissions of the credentials."
        if "redential" in kind or "redential" in text:
            fix = "Give the job credentials: a service account with permissions for the bucket, or keys in a secret."
        raise DeploymentError(f"The model store refused: {kind}: {text}", where=where, fix=fix) from error


def gateway_bucket(commit: str, branch: str, repo: str, project: str) -> str:
    """The bucket under which Pachyderm's S3 gateway shows a commit.

    Source: ``[<commit>.][<branch>.]<repo>[.<project>]``, Pachyderm's ``src/server/pfs/s3/driver.go``.
    """
    return ".".join(part for part in (commit, branch, repo, project) if part)


def open_store(
    host: str | None,
    bucket: str = "",
    *,
    output: Path | None = None,
    output_uri: str = "",
    endpoint: str = "",
    keys: tuple[str, str] = ("", ""),
) -> ModelStore:
    """The model store for a platform.

    Args:
        host: ``gcp``, ``aws`` (or ``s3``), or None for the pipeline's own output.
        bucket: Bucket name, with or without a scheme and a trailing slash.
        output: The output folder, when host is None.
        output_uri: How KServe finds it.
        endpoint: URL of another S3 than Amazon's.
        keys: Access key and secret key for S3; found by boto3 when empty.

    Raises:
        UsageError: The arguments do not fit together.
    """
    if not host:
        if output is None:
            raise UsageError("Without a cloud model host, an output folder is required.")
        return FolderStore(output, output_uri)
    name = re.sub(r"^(gs|s3)://", "", bucket).strip("/")
    if not BUCKET.fullmatch(name):
        raise UsageError(
            f"'{bucket}' isn't the name of a bucket.",
            where="--cloud-model-bucket",
            fix="kubectl get configmap pdk-config -o jsonpath='{.data.kserve_model_bucket_name}'",
        )
    if host == "gcp":
        return GcsStore(name)
    if host in ("aws", "s3"):
        return S3Store(name, endpoint=endpoint, access_key=keys[0], secret_key=keys[1])
    raise UsageError(f"'{host}' isn't a model host; use gcp or aws.", where="--cloud-model-host")
