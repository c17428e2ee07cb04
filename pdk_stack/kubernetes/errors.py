"""Errors of the Kubernetes API: each becomes a ``Status`` object on the wire.

Source of reasons and codes: ``k8s.io/apimachinery/pkg/api/errors``.
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error that a Kubernetes client understands.

    Args:
        code: HTTP status code.
        reason: Machine-readable reason, as apimachinery names it.
        message: Text for people.
        details: ``details`` of the Status object.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> dict[str, Any]:
        """The Status object of this error."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            body["details"] = self.details
        return body


def _details(group: str, plural: str, name: str) -> dict[str, Any]:
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def _resource(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def not_found(group: str, plural: str, name: str) -> ApiError:
    """The named object does not exist."""
    message = f'{_resource(group, plural)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> ApiError:
    """An object of that name exists."""
    message = f'{_resource(group, plural)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> ApiError:
    """The object was changed by somebody else."""
    message = f'Operation cannot be fulfilled on {_resource(group, plural)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(group, plural, name))


def invalid(group: str, plural: str, name: str, field: str, why: str) -> ApiError:
    """A field has a value that is not allowed."""
    details = _details(group, plural, name)
    details["causes"] = [{"reason": "FieldValueInvalid", "message": why, "field": field}]
    message = f'{_resource(group, plural)} "{name}" is invalid: {field}: {why}'
    return ApiError(422, "Invalid", message, details)


def invalid_fields(group: str, plural: str, name: str, wrong: list[tuple[str, str]]) -> ApiError:
    """Several fields have values that are not allowed."""
    details = _details(group, plural, name)
    details["causes"] = [{"reason": "FieldValueInvalid", "message": why, "field": field} for field, why in wrong]
    listed = "; ".join(f"{field}: {why}" for field, why in wrong)
    message = f'{_resource(group, plural)} "{name}" is invalid: {listed if len(wrong) == 1 else "[" + listed + "]"}'
    return ApiError(422, "Invalid", message, details)


def bad_request(message: str) -> ApiError:
    """The request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def no_resource(call: str) -> ApiError:
    """There is no such resource here; the call is named, so that nobody has to guess."""
    message = f"the server could not find the requested resource ({call})"
    return ApiError(404, "NotFound", message, {})


def not_implemented(call: str) -> ApiError:
    """Kubernetes has this call; the embedded API does not."""
    return ApiError(501, "NotImplemented", f"the embedded Kubernetes API does not offer {call}")
