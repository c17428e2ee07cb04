"""Errors of the embedded Pachyderm, with the status code that its clients get.

Codes and words are those of Pachyderm's server (``src/server/pfs/pfs.go`` and its neighbours): a plain error
there has the code UNKNOWN, typed ones keep their own.
"""

from __future__ import annotations

from pdk_shared.errors import PdkError


class Fault(PdkError):
    """A request that cannot be done; the message is what the client shows.

    Attributes:
        code: Name of the gRPC status code.
    """

    code = "UNKNOWN"


class NotFound(Fault):
    """What the request names does not exist."""

    code = "NOT_FOUND"


class AlreadyExists(Fault):
    """What the request wants to create exists."""

    code = "ALREADY_EXISTS"


class FailedPrecondition(Fault):
    """The request needs another state first."""

    code = "FAILED_PRECONDITION"


class InvalidArgument(Fault):
    """The request itself is wrong."""

    code = "INVALID_ARGUMENT"


class Unauthenticated(Fault):
    """The token is missing or wrong."""

    code = "UNAUTHENTICATED"


class NotAuthorized(Fault):
    """The token is right, but not enough for this request."""

    code = "PERMISSION_DENIED"


class Unimplemented(Fault):
    """The embedded Pachyderm does not do this, or the service is switched off."""

    code = "UNIMPLEMENTED"


class StorageFull(Fault):
    """The disk is full; nothing of the request was kept."""

    code = "RESOURCE_EXHAUSTED"
