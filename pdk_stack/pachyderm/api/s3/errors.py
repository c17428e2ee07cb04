"""Errors of the S3 protocol."""

from __future__ import annotations

from pdk_shared.errors import PdkError


class S3Error(PdkError):
    """A refused request.

    Args:
        status: HTTP status.
        code: S3's error code.
        message: What happened.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def no_such_bucket(name: str) -> S3Error:
    """The bucket does not exist."""
    return S3Error(404, "NoSuchBucket", f"The specified bucket does not exist: {name}")


def no_such_key(key: str) -> S3Error:
    """The object does not exist."""
    return S3Error(404, "NoSuchKey", f"The specified key does not exist: {key}")


def not_implemented(what: str) -> S3Error:
    """The gateway does not do that."""
    return S3Error(501, "NotImplemented", f"{what} is not implemented by the embedded Pachyderm's S3 gateway")
