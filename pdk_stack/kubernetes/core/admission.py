"""Admission: defaults, conversions, and validation before an object is stored."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from pdk_stack.kubernetes.core.custom_kinds import check_definition
from pdk_stack.kubernetes.core.inference.resources import fill_in
from pdk_stack.kubernetes.errors import StatusError, invalid
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CUSTOM_RESOURCE_DEFINITIONS, INFERENCE_SERVICES, NAMESPACES, SECRETS

# Source of the InferenceService name rule: pkg/apis/serving/v1beta1/inference_service_validation.go.
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# DNS subdomain names, k8s.io/apimachinery/pkg/util/validation.
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")


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
        _admit_inference_service(obj, name)


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


def _admit_inference_service(obj: Object, name: str) -> None:
    """Apply KServe's webhooks: convert the framework field to ``model``, and add default resources."""
    if name and not SERVICE_NAME.fullmatch(name):
        why = (
            f'Invalid value: "{name}": the InferenceService "{name}" is invalid: a InferenceService name must consist '
            "of lower case alphanumeric characters or '-', and must start with alphabetical character"
        )
        raise invalid(*INFERENCE_SERVICES.resource, name, "metadata.name", why)
    predictor = (obj.get("spec") or {}).get("predictor")
    if not isinstance(predictor, dict):
        raise invalid(*INFERENCE_SERVICES.resource, name, "spec.predictor", "Required value")
    # assignPyTorchRuntime() in inference_service_defaults.go overwrites `model` in the same way.
    if "pytorch" in predictor:
        predictor["model"] = {"modelFormat": {"name": "pytorch"}, **(predictor.pop("pytorch") or {})}
    _check_replicas(predictor, name)
    fill_in(obj)


def _check_replicas(predictor: dict[str, Any], name: str) -> None:
    """Validate replicas like ``validateReplicas`` in component.go, in the words of KServe's webhook."""
    given = predictor.get("minReplicas")
    least, most = 1 if given is None else given, predictor.get("maxReplicas") or 0
    why = ""
    if least < 0:
        why = "'MinReplicas' cannot be less than 0"
    elif most < 0:
        why = "'MaxReplicas' cannot be less than 0"
    elif most and least > most:
        why = "'MinReplicas' cannot be greater than MaxReplicas"
    if why:
        webhook = "inferenceservice.kserve-webhook-server.validator"
        raise StatusError(403, "Forbidden", f'admission webhook "{webhook}" denied the request: {why}')
