"""Refusals: the errors that a service returns when it can't do what a request asks.

Pachyderm and Determined answer with canonical gRPC codes; Determined's pass through grpc-gateway, which maps each to an
HTTP status. Kubernetes and S3 have their own HTTP statuses and reasons, which subclasses of :class:`Refusal` add.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["BodyTooLarge", "Code", "Refusal", "StorageFull", "TooSlow"]


class Code(Enum):
    """Canonical gRPC codes with their number and HTTP status.

    Source: ``google/rpc/code.proto``; for the statuses, ``runtime/errors.go`` of grpc-gateway.
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
    DATA_LOSS = 15, 500
    UNAUTHENTICATED = 16, 401

    @property
    def number(self) -> int:
        """The number on the wire."""
        return self.value[0]

    @property
    def http_status(self) -> int:
        """The HTTP status that grpc-gateway maps the code to."""
        return self.value[1]

    @property
    def title(self) -> str:
        """The name as gRPC's Go library writes it, for example ``NotFound``."""
        return "".join(word.capitalize() for word in self.name.split("_"))


class Refusal(Exception):
    """A refused request.

    Args:
        message: The message that the client shows.
        code: The canonical code; defaults to the class's own.
    """

    code = Code.UNKNOWN

    def __init__(self, message: str, code: Code | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code

    @property
    def http_status(self) -> int:
        """The HTTP status of the response."""
        return self.code.http_status


class StorageFull(Refusal):
    """The disk is full; nothing from the request was stored."""

    code = Code.RESOURCE_EXHAUSTED


class BodyTooLarge(Refusal):
    """The body exceeds the port's limit."""

    code = Code.INVALID_ARGUMENT
    http_status = 413


class TooSlow(Refusal):
    """The client did not send its body in time."""

    code = Code.DEADLINE_EXCEEDED
    http_status = 408
