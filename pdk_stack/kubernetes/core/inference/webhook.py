"""KServe's webhooks for InferenceServices: the defaulter, which decodes and completes, and the validator.

Sources: ``inference_service_defaults.go``, ``inference_service_validation.go``, ``component.go`` and the files of the
components in ``pkg/apis/serving/v1beta1`` of KServe v0.13.1. The API server calls the defaulter before it checks the
schema, and the validator afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pdk_stack.kubernetes.core.inference.decoding import decoding_error
from pdk_stack.kubernetes.core.inference.resources import DEFAULT_RESOURCES
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object

__all__ = ["default", "validate"]

WEBHOOK = "inferenceservice.kserve-webhook-server"
PREFIX = "serving.kserve.io/"
CONTAINER, TRANSFORMER_CONTAINER = "kserve-container", "transformer-container"
# Frameworks in the order in which the defaulter looks for them; it converts the first.
FRAMEWORKS = (
    "sklearn",
    "tensorflow",
    "xgboost",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
# "For backward compatibility", these speak v2 unless told otherwise.
SPEAK_V2 = {"triton", "onnx", "huggingface"}
# What a component can be, by its field in the spec: the fields beside ``containers``, and the Go type with its fields.
PREDICTORS = "SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, Paddle, Model, PodSpec"
COMPONENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "predictor": ((*FRAMEWORKS, "model"), f"[{PREDICTORS}] must be specified in PredictorSpec"),
    "transformer": ((), "[PodSpec] must be specified in TransformerSpec"),
    "explainer": (("art",), "[ART, PodSpec] must be specified in ExplainerSpec"),
}
NAME = r"[a-z]([-a-z0-9]*[a-z0-9])?"
PERCENTAGE = "The target utilization percentage should be a [1-100] integer."


def default(service: Object, mode: str = "") -> None:
    """Complete a service in place: ``model`` for a framework's field, names and resources of containers.

    Args:
        service: The service.
        mode: Deployment mode of services that name none; empty for the serverless one.

    Raises:
        StatusError: 400 when a field has the wrong type.
    """
    if wrong := decoding_error(service):
        message = f'admission webhook "{WEBHOOK}.defaulter" denied the request: {wrong}'
        raise StatusError(400, "", message)
    if mode and f"{PREFIX}deploymentMode" not in _annotations(service):
        service["metadata"]["annotations"] = {**_annotations(service), f"{PREFIX}deploymentMode": mode}
    spec = service["spec"] = service.get("spec") or {}
    predictor = spec["predictor"] = spec.get("predictor") or {}
    _convert(predictor)
    for name in COMPONENTS:
        if spec.get(name) is not None:
            _complete(name, spec[name])


def _convert(predictor: dict[str, Any]) -> None:
    """Convert a framework's field to ``model``, which it replaces."""
    name = next((each for each in FRAMEWORKS if predictor.get(each) is not None), "")
    if name:
        given = predictor.pop(name)
        fields = {"modelFormat", "runtime"}
        predictor["model"] = {
            "modelFormat": {"name": name},
            **({"protocolVersion": "v2"} if name in SPEAK_V2 else {}),
            **{key: value for key, value in given.items() if key not in fields},
        }
    if (model := predictor.get("model")) is not None:
        model["modelFormat"] = {"name": "", **(model.get("modelFormat") or {})}
        if model["modelFormat"]["name"] == "triton":
            model.setdefault("protocolVersion", "v2")


def _complete(name: str, component: dict[str, Any]) -> None:
    for inline in ("model", "art"):
        if component.get(inline) is not None:
            _written(component[inline])
    containers = [each or {} for each in component.get("containers") or []]
    for each in containers:
        _written(each)
    if containers:
        component["containers"] = containers
    if containers and len(_implementations(name, component)) == 1:
        first = containers[0]
        first["name"] = CONTAINER
        for field in ("limits", "requests"):
            first["resources"][field] = {**DEFAULT_RESOURCES, **(first["resources"].get(field) or {})}


def _written(container: dict[str, Any]) -> None:
    """Add the fields of a container that Go always writes."""
    container["name"] = container.get("name") or ""
    if container.get("env"):
        container["env"] = [each or {"name": ""} for each in container["env"]]
    container["resources"] = container.get("resources") or {}


def _implementations(name: str, component: Mapping[str, Any]) -> list[str]:
    fields, _ = COMPONENTS[name]
    found = [each for each in fields if component.get(each) is not None]
    return [*found, "containers"] if component.get("containers") else found


def validate(service: Object) -> None:
    """Refuse what KServe's validator refuses.

    Raises:
        StatusError: 403, with the first reason.
    """
    if why := next(_problems(service), ""):
        raise StatusError(403, "Forbidden", f'admission webhook "{WEBHOOK}.validator" denied the request: {why}')


def _problems(service: Object) -> Iterator[str]:
    name, notes, spec = service["metadata"].get("name") or "", _annotations(service), service["spec"]
    if name and not re.fullmatch(NAME, name):
        yield (
            f'The InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
            "alphanumeric characters or '-', and must start with alphabetical character. (e.g. \"my-name\" or "
            f"\"abc-123\", regex used for validation is '{NAME}')"
        )
    yield from _autoscaler(notes)
    for container in spec["predictor"].get("containers") or []:
        if container.get("name") == TRANSFORMER_CONTAINER:
            if any(each.get("name") == "STORAGE_URI" for each in container.get("env") or []):
                yield "storage uri should not be specified in transformer container"
            break
    for field, (_, choice) in COMPONENTS.items():
        component = spec.get(field)
        if component is None:
            continue
        implementations = _implementations(field, component)
        if len(implementations) != 1:
            yield f"Exactly one of {choice}"
        if implementations == ["containers"] and field == "predictor":
            yield from _custom_protocol(component["containers"][0])
        if "art" in implementations:
            yield from _storage(component["art"])
        yield from _bounds(component)
        yield from _scaling(notes, component)


def _annotations(service: Object) -> dict[str, str]:
    return service["metadata"].get("annotations") or {}


def _autoscaler(notes: Mapping[str, str]) -> Iterator[str]:
    scaler = notes.get(f"{PREFIX}autoscalerClass")
    if scaler is not None and scaler not in ("hpa", "external"):
        yield f"[{scaler}] is not a supported autoscaler class type.\n"
    if scaler == "hpa" and f"{PREFIX}metrics" in notes:
        yield from _metric(notes[f"{PREFIX}metrics"], ("cpu", "memory"))
    percentage = notes.get(f"{PREFIX}targetUtilizationPercentage")
    if percentage is not None and not (re.fullmatch(r"[+-]?[0-9]+", percentage) and 1 <= int(percentage) <= 100):
        yield PERCENTAGE


def _metric(metric: str, known: tuple[str, ...]) -> Iterator[str]:
    if metric not in known:
        yield f"[{metric}] is not a supported metric.\n"


def _custom_protocol(container: Mapping[str, Any]) -> Iterator[str]:
    given = (each.get("value", "") for each in container.get("env") or [] if each.get("name") == "PROTOCOL")
    protocol = next(given, None)
    if protocol not in (None, "v1", "v2"):
        # KServe's own order of words.
        yield f"Invalid protocol v1, v2. Must be one of [{protocol}]"


def _storage(explainer: Mapping[str, Any]) -> Iterator[str]:
    storage, uri = explainer.get("storage"), explainer.get("storageUri")
    schemes = ("s3://", "hdfs://", "webhdfs://")
    if storage is None:
        return
    if uri:
        if not uri.startswith(schemes):
            yield (
                f"storageUri, must be one of: [{', '.join(schemes)}] or match "
                "https://{}.blob.core.windows.net/{}/{} or be an absolute or relative local path. "
                f"StorageUri [{uri}] is not supported."
            )
        return
    kind = (storage.get("parameters") or {}).get("type")
    if kind is not None and f"{kind}://" not in schemes:
        yield f"storage.spec.type, must be one of: [{', '.join(schemes)}]. storage.spec.type [{kind}] is not supported."


def _bounds(component: Mapping[str, Any]) -> Iterator[str]:
    if (component.get("containerConcurrency") or 0) < 0:
        yield "Parallelism cannot be less than 0."
    given = component.get("minReplicas")
    least, most = 1 if given is None else given, component.get("maxReplicas") or 0
    if least < 0:
        yield "MinReplicas cannot be less than 0."
    if most < 0:
        yield "MaxReplicas cannot be less than 0."
    if least > most != 0:
        yield "MinReplicas cannot be greater than MaxReplicas."
    logger = component.get("logger")
    if logger is not None and logger.get("mode") not in ("all", "request", "response"):
        yield "Invalid logger type"


def _scaling(notes: Mapping[str, str], component: Mapping[str, Any]) -> Iterator[str]:
    metric, target = component.get("scaleMetric"), component.get("scaleTarget")
    raw = notes.get(f"{PREFIX}deploymentMode") == "RawDeployment"
    if raw or notes.get("autoscaling.knative.dev/class") == "hpa.autoscaling.knative.dev":
        metric = metric or "cpu"
        yield from _metric(metric, ("cpu", "memory"))
        if target is not None and ((metric == "cpu" and target < 1) or target > 100):
            yield PERCENTAGE
        if target is not None and metric == "memory" and target < 1:
            yield "The target memory should be greater than 1 MiB"
        return
    if component.get("deploymentStrategy") is not None:
        yield "customizing deploymentStrategy is only supported for raw deployment mode"
    metric = metric or "concurrency"
    yield from _metric(metric, ("concurrency", "rps"))
    if target is not None and metric == "rps" and target < 1:
        yield "the target for rps should be greater than 1"
