"""Checks of a request's fields before its handler sees it, with the server's messages.

The server generates its checks from options in its ``.proto`` files (``src/internal/middleware/validation``, release
2.8.10); the client library's descriptors lack these options, so the tables below repeat them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from pdk_stack.pachyderm.errors import InvalidArgument

#: Fields that must be set, by message.
REQUIRED: dict[str, tuple[str, ...]] = {
    "InspectJobSetRequest": ("job_set",),
    "UpdateJobStateRequest": ("job",),
    "RerunPipelineRequest": ("pipeline",),
    "InspectPipelineRequest": ("pipeline",),
    "DeletePipelineRequest": ("pipeline",),
    "RunCronRequest": ("pipeline",),
    "DeleteSecretRequest": ("secret",),
    "InspectSecretRequest": ("secret",),
    "DropCommitSetRequest": ("commit_set",),
    "FindCommitsRequest": ("start",),
    "DeleteBranchRequest": ("branch",),
    "InspectProjectRequest": ("project",),
    "CopyFile": ("src",),
    "InspectTransactionRequest": ("transaction",),
    "DeleteTransactionRequest": ("transaction",),
    "FinishTransactionRequest": ("transaction",),
    "ListTaskRequest": ("group",),
}
#: Strings that must not be empty, by message.
NOT_EMPTY: dict[str, tuple[str, ...]] = {"Pipeline": ("name",)}


def check_request(request: Any) -> Any:
    """Return a unary call's request after checking its fields; of a client's stream, check each message as it comes.

    Args:
        request: The request, or an iterator of messages.

    Raises:
        InvalidArgument: A required field isn't set, or a string is empty.
    """
    if not isinstance(request, Message):
        return map(check_message, request)
    _refuse(request, "request")
    return request


def check_message(message: Any) -> Any:
    """Return a streaming call's message after checking its fields; what a codec decoded by hand has no rules.

    Raises:
        InvalidArgument: A required field isn't set, or a string is empty.
    """
    if isinstance(message, Message):
        _refuse(message, "recv")
    return message


def _refuse(message: Message, what: str) -> None:
    found = "; ".join(_violations(message))
    if found:
        raise InvalidArgument(f"validate {what}: {found}")


def _violations(message: Message) -> Iterator[str]:
    kind: Descriptor = message.DESCRIPTOR
    for field in _checked_fields(kind):
        label = f"invalid {kind.name}.{_go_name(field.name)}"
        if field.message_type is None:
            if not getattr(message, field.name):
                yield f"{label}: value length must be at least 1 bytes"
            continue
        for suffix, value in _values(message, field):
            inner = "; ".join(_violations(value))
            if inner:
                yield f"{label}{suffix}: embedded message failed validation | caused by: {inner}"
        if field.name in REQUIRED.get(kind.name, ()) and not message.HasField(field.name):
            yield f"{label}: value is required"


def _values(message: Message, field: FieldDescriptor) -> list[tuple[str, Message]]:
    """Return a field's messages, each with the index that the error shows."""
    if field.label == field.LABEL_REPEATED:
        return [(f"[{index}]", value) for index, value in enumerate(getattr(message, field.name))]
    return [("", getattr(message, field.name))] if message.HasField(field.name) else []


@cache
def _checked_fields(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    """Return the fields of a message type that a rule concerns, directly or inside their own messages."""
    return tuple(
        field
        for field in kind.fields
        if field.name in NOT_EMPTY.get(kind.name, ())
        or field.name in REQUIRED.get(kind.name, ())
        or (field.message_type is not None and not _is_map(field) and _reaches_rule(field.message_type))
    )


def _reaches_rule(kind: Descriptor) -> bool:
    """Whether a rule concerns a message type or a type inside it."""
    seen, pending = {kind.full_name}, [kind]
    while pending:
        current = pending.pop()
        if current.name in REQUIRED or current.name in NOT_EMPTY:
            return True
        inner = [field.message_type for field in current.fields if field.message_type and not _is_map(field)]
        pending += [each for each in inner if each.full_name not in seen]
        seen.update(each.full_name for each in inner)
    return False


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _go_name(name: str) -> str:
    """Return a field's name as Go writes it: ``job_set`` is ``JobSet``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
