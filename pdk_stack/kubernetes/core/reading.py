"""Reads what clients send as objects of a kind: types, unknown fields, and names of kinds and versions.

Sources: ``k8s.io/apimachinery/pkg/runtime`` for Kubernetes' own kinds, ``k8s.io/apiextensions-apiserver`` for others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pdk_stack.kubernetes.core.admission import mutate
from pdk_stack.kubernetes.errors import StatusError, bad_request, invalid, invalid_value
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.decoding import DecodeError, Strict, decode, type_name
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import KINDS
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.schemas import COMMON, complete
from pdk_stack.kubernetes.store.validation import Findings, check

SCHEME = "pkg/api/legacyscheme/scheme.go:30"
#: Kinds that the decoder knows, by version; lists of them too.
KNOWN = {(kind.api_version, kind.kind + suffix) for kind in KINDS if not kind.custom for suffix in ("", "List")}


def _package(kind: Kind) -> str:
    group = kind.group.partition(".")[0]
    return f"{group or 'core'}.{kind.kind}"


def _unhandled(kind: Kind, why: str, *, given: str = "", version: str = "") -> StatusError:
    """Make the error for an object that cannot be read as one of a kind (``transformDecodeError``)."""
    text = f'{given or kind.kind} in version "{version or kind.version}" cannot be handled as a {kind.kind}: {why}'
    return bad_request(text)


def check_type(kind: Kind, obj: Object) -> None:
    """Compare an object's ``kind`` and ``apiVersion`` with those of the path; Kubernetes' own kinds may omit them.

    Raises:
        StatusError: 400 for others.
    """
    for name in ("kind", "apiVersion"):
        # A patch can bring a value of another type; a whole object's type was read with its body.
        if not isinstance(obj.get(name), (str, type(None))):
            found = type_name(obj[name])
            why = f"json: cannot unmarshal {found} into Go struct field .{name} of type string"
            raise bad_request(f"couldn't get version/kind; json parse error: {why}")
    given, version = obj.get("kind") or "", obj.get("apiVersion") or ""
    if not kind.custom:
        given, version = given or kind.kind, version or kind.api_version
    if (given, version) == (kind.kind, kind.api_version):
        obj["kind"], obj["apiVersion"] = given, version
        return
    short = version.rpartition("/")[2]
    if kind.custom:
        if not given:
            raise bad_request(f"Object 'Kind' is missing in '{_plain(obj)}'")
        why = f'no kind "{given}" is registered for version "{version}"'
    elif (version, given) in KNOWN:
        why = f"converting ({short}.{given}) to ({_package(kind)}): unknown conversion"
    else:
        why = f'no kind "{given}" is registered for version "{version}" in scheme "{SCHEME}"'
    raise _unhandled(kind, why, given=given, version=short)


def _plain(obj: Object) -> str:
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def read(store: ObjectStore, kind: Kind, body: Object, mode: str, subresource: str = "") -> tuple[Object, list[str]]:
    """Read an object.

    Args:
        store: The cluster's objects.
        kind: The kind of the path.
        body: The parsed object.
        mode: The call's ``fieldValidation``; empty for ``Warn``.
        subresource: ``status`` when only that part of a custom object counts.

    Returns:
        The object without the fields that its kind lacks, and warnings.

    Raises:
        StatusError: 400 for values of the wrong type, and for unknown fields under strict validation; 422 for values
            that the schema of a custom kind rules out.
    """
    check_type(kind, body)
    return _read(store, kind, body, mode, subresource, lambda why: _unhandled(kind, why))


def read_patched(
    store: ObjectStore, kind: Kind, patched: Any, mode: str, subresource: str = ""
) -> tuple[Object, list[str]]:
    """Read what a patch has made of an object.

    Args:
        store: The cluster's objects.
        kind: The kind of the path.
        patched: The patched object.
        mode: The call's ``fieldValidation``; empty for ``Warn``.
        subresource: ``status`` when only that part of a custom object counts.

    Returns:
        The object without the fields that its kind lacks, and warnings.

    Raises:
        StatusError: 422 where :func:`read` says 400: the patch is at fault.
    """
    if not isinstance(patched, dict) or not isinstance(patched.get("metadata", {}), dict):
        raise _bad_patch(patched, "json: cannot unmarshal the patched object")
    return _read(store, kind, patched, mode, subresource, lambda why: _bad_patch(patched, why))


def _read(
    store: ObjectStore, kind: Kind, body: Object, mode: str, subresource: str, refused: Callable[[str], StatusError]
) -> tuple[Object, list[str]]:
    """Read an object; ``refused`` makes the error from its reason."""
    strict = Strict()
    try:
        obj = _typed(store, kind, body, strict, subresource)
    except DecodeError as error:
        raise refused(str(error)) from error
    if strict.errors and mode == "Strict":
        raise refused(f"strict decoding error: {', '.join(strict.errors)}")
    return obj, strict.errors if mode in ("", "Warn") else []


def _bad_patch(patched: Any, why: str) -> StatusError:
    return invalid("", "", "", [invalid_value("patch", _plain(patched), why)])


def _typed(store: ObjectStore, kind: Kind, body: Object, strict: Strict, subresource: str) -> Object:
    """Decode an object by its kind's types.

    Raises:
        DecodeError: A value has the wrong type.
        StatusError: 422 for values that the schema of a custom kind rules out.
    """
    if not kind.custom:
        return decode(complete(kind.schema or {}), body, strict)
    meta = decode(COMMON["metadata"], body.get("metadata") or {}, strict, "metadata")
    obj = {**body, "metadata": meta}
    if subresource:
        return _status_only(kind, obj)
    if "status" in obj and kind.status and not isinstance(obj["status"], dict):
        del obj["status"]  # it is dropped, because only the subresource writes it
    if kind.schema is None:
        return obj
    schema, findings = complete(kind.schema), Findings()
    # What is unknown is told of the object as it came; webhooks see it without that.
    obj = check(schema, obj, "", findings)
    for path in findings.unknown:
        strict.unknown(path)
    mutate(store, kind, obj)
    findings = Findings()
    checked: Object = check(schema, obj, "", findings)
    if findings.wrong:
        raise invalid(*kind.group_kind, str(meta.get("name") or ""), findings.wrong)
    return checked


def _status_only(kind: Kind, obj: Object) -> Object:
    """Return an object with nothing but its checked status.

    Raises:
        StatusError: 422 for a status that the schema rules out.
    """
    findings = Findings()
    schema = ((kind.schema or {}).get("properties") or {}).get("status") or {"type": "object"}
    status = check({"type": "object", **schema}, obj.get("status") or {}, "status", findings)
    if findings.wrong:
        raise invalid(*kind.group_kind, str(obj["metadata"].get("name") or ""), findings.wrong)
    kept = ("kind", "apiVersion", "metadata")
    return {"status": status, **{name: value for name, value in obj.items() if name in kept}}
