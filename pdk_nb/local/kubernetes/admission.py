"""What the API does to an object before it is stored: defaults, conversions, validation."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from pdk_nb.local.kubernetes.columns import Object
from pdk_nb.local.kubernetes.customkinds import check_definition
from pdk_nb.local.kubernetes.errors import invalid
from pdk_nb.local.kubernetes.inference.resources import DEFAULT_RESOURCES
from pdk_nb.local.kubernetes.kind import Kind
from pdk_nb.local.kubernetes.kinds import CUSTOM_RESOURCE_DEFINITIONS, INFERENCE_SERVICES, NAMESPACES, SECRETS

# Name rule of the InferenceService webhook: pkg/apis/serving/v1beta1/inference_service_validation.go.
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# DNS subdomain names, k8s.io/apimachinery/pkg/util/validation.
OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.:]*[a-z0-9])?")


def admit(kind: Kind, obj: Object) -> None:
    """Check and complete an object in place.

    Raises:
        ApiError: 422 when a field is not allowed.
    """
    name = obj["metadata"].get("name") or ""
    if name and not OBJECT_NAME.fullmatch(name):
        why = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric '
            "characters, '-' or '.'"
        )
        raise invalid(kind.group, kind.plural, name, "metadata.name", why)
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
    """KServe's webhook: the framework field becomes ``model``, resources get defaults."""
    if name and not SERVICE_NAME.fullmatch(name):
        why = (
            f'Invalid value: "{name}": the InferenceService "{name}" is invalid: a InferenceService name must consist '
            "of lower case alphanumeric characters or '-', and must start with alphabetical character"
        )
        raise invalid(INFERENCE_SERVICES.group, INFERENCE_SERVICES.plural, name, "metadata.name", why)
    predictor = (obj.get("spec") or {}).get("predictor")
    if not isinstance(predictor, dict):
        raise invalid(INFERENCE_SERVICES.group, INFERENCE_SERVICES.plural, name, "spec.predictor", "Required value")
    # assignPyTorchRuntime() of inference_service_defaults.go overwrites `model` in the same way.
    if "pytorch" in predictor:
        predictor["model"] = {"modelFormat": {"name": "pytorch"}, **(predictor.pop("pytorch") or {})}
    model = predictor.get("model")
    if isinstance(model, dict):
        resources: dict[str, Any] = model.setdefault("resources", {})
        for field in ("limits", "requests"):
            resources[field] = {**DEFAULT_RESOURCES, **(resources.get(field) or {})}
