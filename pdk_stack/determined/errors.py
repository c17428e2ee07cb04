"""Refusals in the master's words: a canonical code, which grpc-gateway maps to an HTTP status, and a message."""

from __future__ import annotations

import re

from pdk_stack.common.errors import Code, Refusal

__all__ = [
    "UnsupportedMedia",
    "already_exists",
    "body_of",
    "failed_precondition",
    "forbidden",
    "internal",
    "invalid",
    "not_found",
    "plain",
    "unauthenticated",
    "unimplemented",
]


class UnsupportedMedia(Refusal):
    """The client accepts no form that the answer has."""

    code = Code.INVALID_ARGUMENT
    http_status = 415


def body_of(error: Refusal) -> dict[str, object]:
    """Return the JSON body of a refusal."""
    return {"error": {"code": error.code.number, "reason": error.code.title, "error": error.message}}


def invalid(message: str) -> Refusal:
    """400: the request is invalid."""
    return Refusal(message, Code.INVALID_ARGUMENT)


def not_found(message: str) -> Refusal:
    """404: the named object doesn't exist."""
    return Refusal(message, Code.NOT_FOUND)


def already_exists(message: str) -> Refusal:
    """409: the name is taken."""
    return Refusal(message, Code.ALREADY_EXISTS)


def forbidden(message: str) -> Refusal:
    """403: the user lacks permission."""
    return Refusal(message, Code.PERMISSION_DENIED)


def failed_precondition(message: str) -> Refusal:
    """400: the object's state doesn't allow the action."""
    return Refusal(message, Code.FAILED_PRECONDITION)


def plain(message: str) -> Refusal:
    """400: the master refuses this with an error that has no code, which its gateway turns into 500.

    Here it is 400, because the request is at fault and a repetition is in vain.
    """
    return Refusal(message, Code.FAILED_PRECONDITION)


def unimplemented(method: str, path: str) -> Refusal:
    """501: this master doesn't have the call."""
    # With identifiers in the message, one missing call would look like many.
    shown = re.sub(r"/\d+(?=/|$)", "/{id}", path)
    return Refusal(f"the embedded master does not implement {method} {shown}", Code.UNIMPLEMENTED)


def unknown_uri() -> Refusal:
    """501: the gateway doesn't know the path, or not with this method; nobody needs a token to hear that."""
    return Refusal("Not Implemented", Code.UNIMPLEMENTED)


def no_such_page(method: str, path: str) -> Refusal:
    """404: there is nothing at a path outside the gateway, and no task behind the proxy."""
    if match := re.match("/proxy/([^/]+)", path):
        return not_found(f"service not found: {match[1]}")
    return not_found(f"api not found: {method} {path}")


def unauthenticated(message: str = "invalid credentials") -> Refusal:
    """401: the request has no valid token."""
    return Refusal(message, Code.UNAUTHENTICATED)


def internal(message: str) -> Refusal:
    """500: the master itself failed."""
    return Refusal(message, Code.INTERNAL)
