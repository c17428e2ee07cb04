"""Errors of the embedded Pachyderm, with the status code that its clients get.

Codes and words are those of Pachyderm's server (``src/server/pfs/pfs.go`` and its neighbours): a plain error
there has the code UNKNOWN, typed ones keep their own.
"""

from __future__ import annotations

from typing import TypeVar

from pdk_stack.common.errors import Code, Refusal

T = TypeVar("T")


class Fault(Refusal):
    """A request that cannot be done; the message is what the client shows."""


class NotFound(Fault):
    """What the request names does not exist."""

    code = Code.NOT_FOUND


def existing(found: T | None, missing: str) -> T:
    """What was found.

    Args:
        found: It, or None.
        missing: What to say of None.

    Raises:
        NotFound: It is None.
    """
    if found is None:
        raise NotFound(missing)
    return found


class AlreadyExists(Fault):
    """What the request wants to create exists."""

    code = Code.ALREADY_EXISTS


class FailedPrecondition(Fault):
    """The request needs another state first."""

    code = Code.FAILED_PRECONDITION


class InvalidArgument(Fault):
    """The request itself is wrong."""

    code = Code.INVALID_ARGUMENT


class Unauthenticated(Fault):
    """The token is missing or wrong."""

    code = Code.UNAUTHENTICATED


class NotAuthorized(Fault):
    """The token is right, but not enough for this request."""

    code = Code.PERMISSION_DENIED


class Unimplemented(Fault):
    """The embedded Pachyderm does not do this, or the service is switched off."""

    code = Code.UNIMPLEMENTED
