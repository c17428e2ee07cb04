"""Refusals as the master states them: an HTTP status, a gRPC code and a message for people."""

from __future__ import annotations

import re

__all__ = ["ApiError", "already_exists", "failed_precondition", "invalid", "not_found", "unimplemented"]


class ApiError(Exception):
    """A refused request.

    Args:
        status: HTTP status.
        code: gRPC status code.
        reason: gRPC status name, for example ``NotFound``.
        message: What the client shows.
    """

    def __init__(self, status: int, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.reason = reason
        self.message = message

    def body(self) -> dict[str, object]:
        """The JSON body of the reply."""
        return {"error": {"code": self.code, "reason": self.reason, "error": self.message}}


def invalid(message: str) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, 3, "InvalidArgument", message)


def not_found(message: str) -> ApiError:
    """404: the named object does not exist."""
    return ApiError(404, 5, "NotFound", message)


def already_exists(message: str) -> ApiError:
    """409: the name is taken."""
    return ApiError(409, 6, "AlreadyExists", message)


def forbidden(message: str) -> ApiError:
    """403: the user may not do that."""
    return ApiError(403, 7, "PermissionDenied", message)


def failed_precondition(message: str) -> ApiError:
    """400: the object's state does not allow it."""
    return ApiError(400, 9, "FailedPrecondition", message)


def unimplemented(method: str, path: str) -> ApiError:
    """501: this master has no such call."""
    # Identifiers would make the same missing call look like many.
    shown = re.sub(r"/\d+(?=/|$)", "/{id}", path)
    return ApiError(501, 12, "Unimplemented", f"the embedded master does not implement {method} {shown}")


def unauthenticated(message: str = "invalid credentials") -> ApiError:
    """401: no valid token."""
    return ApiError(401, 16, "Unauthenticated", message)


def internal(message: str) -> ApiError:
    """500."""
    return ApiError(500, 13, "Internal", message)
