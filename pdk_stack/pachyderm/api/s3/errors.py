"""Errors of the S3 protocol."""

from __future__ import annotations

from pdk_stack.common.errors import Refusal


class S3Error(Refusal):
    """An error response of the S3 protocol.

    Args:
        status: HTTP status.
        reason: S3's error code, such as ``NoSuchKey``.
        message: The error message.
    """

    http_status = 400

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.http_status = status
        self.reason = reason


def no_such_bucket(name: str) -> S3Error:
    """Build the error for a bucket that doesn't exist."""
    return S3Error(404, "NoSuchBucket", f"The specified bucket does not exist: {name}")


def no_such_key(key: str) -> S3Error:
    """Build the error for an object that doesn't exist."""
    return S3Error(404, "NoSuchKey", f"The specified key does not exist: {key}")


def not_implemented(what: str) -> S3Error:
    """Build the error for an unsupported operation."""
    return S3Error(501, "NotImplemented", f"{what} is not implemented by the embedded Pachyderm's S3 gateway")
