"""Kubernetes API errors; each becomes a ``Status`` object on the wire.

Source of reasons and codes: ``k8s.io/apimachinery/pkg/api/errors``.
"""

from __future__ import annotations

from typing import Any

from pdk_stack.common.errors import Refusal


class StatusError(Refusal):
    """An error that a Kubernetes client understands.

    Args:
        http_status: HTTP status code.
        reason: Machine-readable reason, as apimachinery names it.
        message: Human-readable text.
        details: ``details`` of the Status object.
    """

    def __init__(self, http_status: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self._http_status = http_status
        self.reason = reason
        self.details = details

    @property
    def http_status(self) -> int:
        """The answer's HTTP status code."""
        return self._http_status

    def status(self) -> dict[str, Any]:
        """Return the error's Status object."""
        body: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.http_status,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return body


def _details(group: str, plural: str, name: str) -> dict[str, Any]:
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def _named(group: str, plural: str, name: str) -> str:
    return f'{plural}.{group} "{name}"' if group else f'{plural} "{name}"'


def not_found(group: str, plural: str, name: str) -> StatusError:
    """Make the error for an object that doesn't exist."""
    return StatusError(404, "NotFound", f"{_named(group, plural, name)} not found", _details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> StatusError:
    """Make the error for a name that is taken."""
    message = f"{_named(group, plural, name)} already exists"
    return StatusError(409, "AlreadyExists", message, _details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> StatusError:
    """Make the error for an object that changed since it was read."""
    message = f"Operation cannot be fulfilled on {_named(group, plural, name)}: {why}"
    return StatusError(409, "Conflict", message, _details(group, plural, name))


def invalid(group: str, plural: str, name: str, field: str, why: str) -> StatusError:
    """Make the error for a field with an invalid value."""
    return invalid_fields(group, plural, name, [(field, why)])


def invalid_fields(group: str, plural: str, name: str, wrong: list[tuple[str, str]]) -> StatusError:
    """Make the error for several fields with invalid values."""
    details = _details(group, plural, name)
    details["causes"] = [{"reason": "FieldValueInvalid", "message": why, "field": field} for field, why in wrong]
    listed = "; ".join(f"{field}: {why}" for field, why in wrong)
    message = f"{_named(group, plural, name)} is invalid: {listed if len(wrong) == 1 else f'[{listed}]'}"
    return StatusError(422, "Invalid", message, details)


def bad_request(message: str) -> StatusError:
    """Make the error for a malformed request."""
    return StatusError(400, "BadRequest", message)


def no_resource(call: str) -> StatusError:
    """Make the error for an unknown resource; the message names the call."""
    return StatusError(404, "NotFound", f"the server could not find the requested resource ({call})")


def not_implemented(call: str) -> StatusError:
    """Make the error for a call that Kubernetes has and the embedded API lacks."""
    return StatusError(501, "NotImplemented", f"the embedded Kubernetes API does not offer {call}")


def internal(error: Exception) -> StatusError:
    """Make the error for a failure that the client didn't cause."""
    return StatusError(500, "InternalError", f"Internal error occurred: {error}")


def storage_full(why: str) -> StatusError:
    """Make the error for a full disk; etcd then also refuses writes, with ``database space exceeded``."""
    return StatusError(507, "InsufficientStorage", f"the object could not be stored, and nothing has changed: {why}")
