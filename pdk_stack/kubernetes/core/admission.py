"""Admission: defaults, conversions, and validation before an object is stored."""

from __future__ import annotations

import base64
import binascii
import re

from pdk_stack.kubernetes.core.custom_kinds import check_definition
from pdk_stack.kubernetes.core.inference import webhook
from pdk_stack.kubernetes.core.inference.configuration import default_mode
from pdk_stack.kubernetes.errors import invalid
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CUSTOM_RESOURCE_DEFINITIONS, INFERENCE_SERVICES, NAMESPACES, SECRETS
from pdk_stack.kubernetes.store.objects import ObjectStore

# DNS subdomain names, k8s.io/apimachinery/pkg/util/validation.
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")


def mutate(store: ObjectStore, kind: Kind, obj: Object) -> None:
    """Complete an object in place before its schema is checked, as mutating webhooks do.

    Args:
        store: The cluster's objects, for the webhooks' configuration.
        kind: The object's kind.
        obj: The object.

    Raises:
        StatusError: 400 when a webhook can't decode it.
    """
    if kind is INFERENCE_SERVICES:
        webhook.default(obj, default_mode(store))


def admit(kind: Kind, obj: Object) -> None:
    """Check and complete an object in place.

    Raises:
        StatusError: 422 when a field is not allowed.
    """
    name = obj["metadata"].get("name") or ""
    if name and not OBJECT_NAME.fullmatch(name):
        why = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.'"
        )
        raise invalid(*kind.resource, name, "metadata.name", why)
    if kind is SECRETS:
        _admit_secret(obj, name)
    elif kind is NAMESPACES:
        obj.setdefault("spec", {"finalizers": ["kubernetes"]})
        obj.setdefault("status", {"phase": "Active"})
        obj["metadata"].setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", name)
    elif kind is CUSTOM_RESOURCE_DEFINITIONS:
        check_definition(obj)
    elif kind is INFERENCE_SERVICES:
        webhook.validate(obj)


def _admit_secret(obj: Object, name: str) -> None:
    obj.setdefault("type", "Opaque")
    given = obj.pop("stringData", None) or {}
    if given:
        data = obj.setdefault("data", {}) or {}
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in given.items()})
        obj["data"] = data
    for key, value in (obj.get("data") or {}).items():
        try:
            base64.b64decode(value or "", validate=True)
        except (binascii.Error, ValueError) as error:
            why = f"Invalid value: illegal base64 data ({error})"
            raise invalid("", "secrets", name, f"data.{key}", why) from error
