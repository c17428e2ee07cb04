"""Refusals: what a service answers when it cannot do what a request asks. One class for all three services.

Pachyderm and Determined answer with gRPC's canonical codes (Determined through grpc-gateway, which gives each an HTTP
status), Kubernetes and S3 with HTTP statuses and reasons of their own: those subclass :class:`Refusal` and add them.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["BodyTooLarge", "Code", "Refusal", "StorageFull", "TooSlow"]


class Code(Enum):
    """gRPC's canonical codes: number and HTTP status.

    Source: ``google/rpc/code.proto``, and ``runtime/errors.go`` of grpc-gateway for the statuses.
    """

    UNKNOWN = 2, 500
    INVALID_ARGUMENT = 3, 400
    DEADLINE_EXCEEDED = 4, 504
    NOT_FOUND = 5, 404
    ALREADY_EXISTS = 6, 409
    PERMISSION_DENIED = 7, 403
    RESOURCE_EXHAUSTED = 8, 429
    FAILED_PRECONDITION = 9, 400
    UNIMPLEMENTED = 12, 501
    INTERNAL = 13, 500
    UNAVAILABLE = 14, 503
    UNAUTHENTICATED = 16, 401

    @property
    def number(self) -> int:
        """The number on the wire."""
        return self.value[0]

    @property
    def http_status(self) -> int:
        """The HTTP status that grpc-gateway gives it."""
        return self.value[1]

    @property
    def title(self) -> str:
        """The name as gRPC's Go library writes it, for example ``NotFound``."""
        return "".join(word.capitalize() for word in self.name.split("_"))


class Refusal(Exception):
    """A request that is refused.

    Args:
        message: What the client shows.
        code: The canonical code; the class's own when left out.
    """

    code = Code.UNKNOWN

    def __init__(self, message: str, code: Code | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code

    @property
    def http_status(self) -> int:
        """The HTTP status of the answer."""
        return self.code.http_status


class StorageFull(Refusal):
    """The disk has no room; nothing of the request was kept."""

    code = Code.RESOURCE_EXHAUSTED


class BodyTooLarge(Refusal):
    """The body is larger than the port takes."""

    code = Code.INVALID_ARGUMENT
    http_status = 413


class TooSlow(Refusal):
    """The client did not send its body in time."""

    code = Code.DEADLINE_EXCEEDED
    http_status = 408
