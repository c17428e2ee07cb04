"""Kubernetes API errors; each becomes a ``Status`` object on the wire.

Sources of reasons, codes, and words: ``k8s.io/apimachinery/pkg/api/errors`` and ``pkg/util/validation/field``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pdk_stack.common.errors import Refusal


class StatusError(Refusal):
    """An error that a Kubernetes client understands.

    Args:
        http_status: HTTP status code.
        reason: Machine-readable reason, as apimachinery names it.
        message: Human-readable text.
        details: ``details`` of the Status object; None leaves them out.
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
            **({"reason": self.reason} if self.reason else {}),
            **({"details": self.details} if self.details is not None else {}),
            "code": self.http_status,
        }
        return body


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of an object (``field.Error``).

    Attributes:
        field: The field's path, such as ``spec.ports[0].name``.
        reason: Machine-readable reason, such as ``FieldValueInvalid``.
        body: Human-readable text without the path.
    """

    field: str
    reason: str
    body: str

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def quoted(value: Any) -> str:
    """Format a value as Go's error texts do: texts in quotes, numbers and Booleans plain, other values as Go code."""
    if value is None:
        return '"null"'
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, list):
        return "[]string{" + ", ".join(map(quoted, value)) + "}"
    if isinstance(value, dict):
        return "map[string]string{" + ", ".join(f"{quoted(key)}:{quoted(each)}" for key, each in value.items()) + "}"
    return json.dumps(str(value), ensure_ascii=False)


def _field_error(field: str, reason: str, text: str, why: str) -> FieldError:
    return FieldError(field, f"FieldValue{reason}", f"{text}: {why}" if why else text)


def invalid_value(field: str, value: Any, why: str) -> FieldError:
    """Make the error for a malformed value."""
    return _field_error(field, "Invalid", f"Invalid value: {quoted(value)}", why)


def required(field: str, why: str = "") -> FieldError:
    """Make the error for a missing value."""
    return _field_error(field, "Required", "Required value", why)


def forbidden_field(field: str, why: str) -> FieldError:
    """Make the error for a value that other fields rule out."""
    return _field_error(field, "Forbidden", "Forbidden", why)


def duplicate(field: str, value: Any) -> FieldError:
    """Make the error for a value that must be unique."""
    return _field_error(field, "Duplicate", f"Duplicate value: {quoted(value)}", "")


def not_supported(field: str, value: Any, allowed: Iterable[str]) -> FieldError:
    """Make the error for a value outside an enumeration."""
    listed = ", ".join(map(quoted, allowed))
    return _field_error(field, "NotSupported", f"Unsupported value: {quoted(value)}", f"supported values: {listed}")


def too_long(field: str, most: int) -> FieldError:
    """Make the error for a value of too many bytes."""
    return _field_error(field, "TooLong", "Too long", f"must have at most {most} bytes")


def missing_reference(field: str, value: Any) -> FieldError:
    """Make the error for a reference to something that is not there."""
    return _field_error(field, "NotFound", f"Not found: {quoted(value)}", "")


def _details(group: str, plural: str, name: str) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("group", group), ("kind", plural)) if value}


def _named(group: str, plural: str, name: str) -> str:
    full = f"{plural}.{group}" if group else plural
    return f"{full} {quoted(name)}"


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


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """Make the error for an object with invalid fields.

    Args:
        group: API group.
        kind: The object's kind, such as ``ConfigMap``.
        name: The object's name.
        errors: At least one. The message names equal ones once, as ``ErrorList.ToAggregate`` does.
    """
    texts = list(dict.fromkeys(map(str, errors)))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [{"reason": each.reason, "message": each.body, "field": each.field} for each in errors]
    details = {key: value for key, value in (("name", name), ("group", group), ("kind", kind)) if value}
    full = f"{kind}.{group}" if group else kind
    return StatusError(422, "Invalid", f"{full} {quoted(name)} is invalid: {listed}", {**details, "causes": causes})


def bad_request(message: str) -> StatusError:
    """Make the error for a malformed request."""
    return StatusError(400, "BadRequest", message)


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    """Make the error for an action that admission or authorization rules out; without a resource, for a path."""
    full = f"{plural}.{group}" if group else plural
    subject = (
        f"{full} {quoted(name)} is forbidden" if full and name else f"{full} is forbidden" if full else "forbidden"
    )
    return StatusError(403, "Forbidden", f"{subject}: {why}", _details(group, plural, name))


def no_resource() -> StatusError:
    """Make the error for an unknown resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def no_method() -> StatusError:
    """Make the error for a method that a resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def not_acceptable(why: str) -> StatusError:
    """Make the error for an answer in none of the formats that the client takes."""
    return StatusError(406, "NotAcceptable", why)


def unsupported_media_type(why: str) -> StatusError:
    """Make the error for a body in a format that the server doesn't read."""
    return StatusError(415, "UnsupportedMediaType", why)


def not_implemented(call: str) -> StatusError:
    """Make the error for a call that Kubernetes has and the embedded API lacks."""
    return StatusError(501, "NotImplemented", f"the embedded Kubernetes API does not offer {call}")


def internal(error: Exception) -> StatusError:
    """Make the error for a failure that the client didn't cause."""
    return StatusError(500, "InternalError", f"Internal error occurred: {error}")


def storage_full(why: str) -> StatusError:
    """Make the error for a full disk; etcd then also refuses writes, with ``database space exceeded``."""
    return StatusError(507, "InsufficientStorage", f"the object could not be stored, and nothing has changed: {why}")
