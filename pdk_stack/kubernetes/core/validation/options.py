"""Validates the options of calls: what stands in the query, or in the body of a deletion.

Sources: ``k8s.io/apimachinery/pkg/apis/meta/v1/validation`` and ``meta/internalversion/validation``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import field_manager
from pdk_stack.kubernetes.errors import (
    FieldError,
    bad_request,
    forbidden_field,
    invalid,
    invalid_value,
    not_supported,
    required,
)
from pdk_stack.kubernetes.store.decoding import DecodeError, Strict, decode
from pdk_stack.kubernetes.store.schemas import BUILT_IN

GROUP = "meta.k8s.io"
POLICIES = ("Foreground", "Background", "Orphan")
MODES = ("", "Ignore", "Strict", "Warn")
INT64 = 1 << 63

#: A query's values by name, each as often as it is given.
Query = Mapping[str, Sequence[str]]


def first(query: Query, name: str) -> str:
    """Return the first value of a parameter; empty without one."""
    values = query.get(name) or [""]
    return values[0]


def flag(query: Query, name: str) -> bool | None:
    """Return a Boolean parameter; None without it. Only ``0`` and ``false`` are false."""
    return None if name not in query else first(query, name).lower() not in ("0", "false")


def integer(query: Query, name: str) -> int | None:
    """Return a parameter that is a number; None without it.

    Raises:
        StatusError: 400 for anything else.
    """
    text = first(query, name)
    if not text:
        return None
    if not re.fullmatch("[+-]?[0-9]+", text) or len(text) > 4000:
        raise bad_request(f'strconv.ParseInt: parsing "{text[:100]}": invalid syntax')
    if not -INT64 <= int(text) < INT64:
        raise bad_request(f'strconv.ParseInt: parsing "{text[:100]}": value out of range')
    return int(text)


def _raise(kind: str, errors: list[FieldError]) -> None:
    if errors:
        raise invalid(GROUP, kind, "", errors)


def _dry_run(values: Sequence[str]) -> list[FieldError]:
    wrong = [each for each in values if each != "All"]
    return [not_supported("dryRun", list(values), ["All"])] if wrong else []


def check_write(query: Query, verb: str, *, apply: bool = False) -> None:
    """Validate the options of a creation, update, or patch.

    Args:
        query: The query.
        verb: ``Create``, ``Update``, or ``Patch``.
        apply: Whether the patch is a server-side apply.

    Raises:
        StatusError: 422 for options that the real API refuses.
    """
    manager, mode = first(query, "fieldManager"), first(query, "fieldValidation")
    found: list[FieldError] = []
    if verb == "Patch":
        if not apply and flag(query, "force") is not None:
            found.append(forbidden_field("force", "may not be specified for non-apply patch"))
        if apply and not manager:
            found.append(required("fieldManager", "is required for apply patch"))
    found += field_manager(manager, "fieldManager")
    found += _dry_run(query.get("dryRun") or ())
    if mode not in MODES:
        found.append(not_supported("fieldValidation", mode, MODES))
    _raise(f"{verb}Options", found)


def check_list(query: Query) -> None:
    """Validate the options of a list or watch.

    Raises:
        StatusError: 400 for numbers that are none, 422 for options that exclude each other.
    """
    for name in ("limit", "timeoutSeconds"):
        integer(query, name)
    match, version, token = (first(query, name) for name in ("resourceVersionMatch", "resourceVersion", "continue"))
    watching, initial = flag(query, "watch"), flag(query, "sendInitialEvents")
    place = "resourceVersionMatch"
    found: list[FieldError] = []
    if watching:
        if initial is not None:
            if match != "NotOlderThan":
                why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
                found.append(forbidden_field(place, why))
            why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            found.append(forbidden_field("sendInitialEvents", why))
        elif match:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            found.append(forbidden_field(place, why))
        if match and match != "NotOlderThan":
            found.append(not_supported(place, match, ["NotOlderThan"]))
    elif match:
        if not version:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            found.append(forbidden_field(place, why))
        if token:
            found.append(forbidden_field(place, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            found.append(not_supported(place, match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and version == "0":
            why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            found.append(forbidden_field(place, why))
    if not watching and initial is not None:
        found.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    _raise("ListOptions", found)


def delete_options(query: Query, body: Any) -> dict[str, Any]:
    """Return the options of a deletion, from its body or else from the query.

    Args:
        query: The query.
        body: The parsed body; None without one.

    Raises:
        StatusError: 400 for a body of the wrong type, 422 for options that the real API refuses.
    """
    if body is not None:
        if not isinstance(body, dict):
            raise bad_request("the object provided is unrecognized (must be of type DeleteOptions)")
        try:
            given = decode(BUILT_IN.schema("V1DeleteOptions"), body, Strict())
        except DecodeError as error:
            raise bad_request(str(error)) from error
    else:
        given = {"dryRun": list(query.get("dryRun") or ())}
        if name := first(query, "propagationPolicy"):
            given["propagationPolicy"] = name
        if (orphan := flag(query, "orphanDependents")) is not None:
            given["orphanDependents"] = orphan
        integer(query, "gracePeriodSeconds")
    found: list[FieldError] = []
    policy, orphan = given.get("propagationPolicy"), given.get("orphanDependents")
    if policy is not None and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        found.append(invalid_value("propagationPolicy", policy, why))
    if policy not in (None, *POLICIES):
        found.append(not_supported("propagationPolicy", policy, (*POLICIES, "nil")))
    _raise("DeleteOptions", found + _dry_run(given.get("dryRun") or ()))
    return given
