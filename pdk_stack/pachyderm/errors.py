"""Errors of the embedded Pachyderm, with the status codes that its clients get.

Codes and messages follow Pachyderm's server (``src/server/pfs/pfs.go`` and related files): a plain error there has the
code UNKNOWN; typed errors have their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pdk_stack.common.errors import Code, Refusal

T = TypeVar("T")


class Fault(Refusal):
    """A request that fails; the client shows the message."""


class NotFound(Fault):
    """The object that the request names doesn't exist."""

    code = Code.NOT_FOUND


def existing(found: T | None, missing: str) -> T:
    """Return an object that must exist.

    Args:
        found: The object, or None.
        missing: The error message for None.

    Raises:
        NotFound: ``found`` is None.
    """
    if found is None:
        raise NotFound(missing)
    return found


@contextmanager
def wrapped(context: str) -> Iterator[None]:
    """Put a context before the message of an error that leaves the block (``errors.Wrap``); its code stays.

    Args:
        context: What the block does.
    """
    try:
        yield
    except Fault as error:
        raise type(error)(f"{context}: {error.message}", error.code) from error


class AlreadyExists(Fault):
    """The object that the request creates already exists."""

    code = Code.ALREADY_EXISTS


class FailedPrecondition(Fault):
    """The state of the system doesn't permit the request."""

    code = Code.FAILED_PRECONDITION


class InvalidArgument(Fault):
    """The request is invalid."""

    code = Code.INVALID_ARGUMENT


class Unavailable(Fault):
    """The request can succeed later."""

    code = Code.UNAVAILABLE


class Inconsistent(Fault):
    """The request would leave something that contradicts itself."""

    code = Code.INTERNAL


class DataLoss(Fault):
    """Stored content is missing or damaged."""

    code = Code.DATA_LOSS


class Unauthenticated(Fault):
    """The token is missing or invalid."""

    code = Code.UNAUTHENTICATED


class NotAuthorized(Fault):
    """The token doesn't permit the request."""

    code = Code.PERMISSION_DENIED


class Unimplemented(Fault):
    """The embedded Pachyderm doesn't implement the call, or the service is disabled."""

    code = Code.UNIMPLEMENTED
