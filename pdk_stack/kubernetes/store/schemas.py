"""The kinds' schemas: the official clients' models with the embedded cluster's changes.

Parts of an InferenceService's pod that the embedded runtime doesn't use accept anything.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Container
from typing import Any

from pdk_stack.kubernetes.store.models import KSERVE, QUANTITY, Models, Schema, of_package

#: Predictor fields that name a framework.
FRAMEWORKS = {
    "sklearn": "V1beta1SKLearnSpec",
    "xgboost": "V1beta1XGBoostSpec",
    "tensorflow": "V1beta1TFServingSpec",
    "pytorch": "V1beta1TorchServeSpec",
    "triton": "V1beta1TritonSpec",
    "onnx": "V1beta1ONNXRuntimeSpec",
    "huggingface": "V1beta1HuggingFaceRuntimeSpec",
    "pmml": "V1beta1PMMLSpec",
    "lightgbm": "V1beta1LightGBMSpec",
    "paddle": "V1beta1PaddleServerSpec",
}
# Quantities can also be numbers.
AMOUNTS: Schema = {"additionalProperties": QUANTITY}


def _told(description: str, **more: Any) -> Schema:
    return {"description": description, **more}


MODEL_CHANGES = {
    "resources": _told("Compute resources that the container needs."),
    "storageUri": _told("Where the model lies: s3://, gs://, pvc://, https:// or a local folder."),
    "protocolVersion": _told("Protocol of the predictor: v1 or v2."),
    "runtime": _told("Name of the runtime; kserve-torchserve when left out."),
}
# Of each component: what differs between the client's models and KServe's definition.
COMPONENT: dict[str, Schema | None] = {
    "ephemeralContainers": None,
    "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
}
EXPANDED = frozenset(
    {
        "V1Container",
        "V1EnvVar",
        "V1LocalObjectReference",
        "V1ResourceRequirements",
        "V1beta1ARTExplainerSpec",
        "V1beta1Batcher",
        "V1beta1ExplainerSpec",
        "V1beta1InferenceServiceSpec",
        "V1beta1LoggerSpec",
        "V1beta1ModelFormat",
        "V1beta1ModelSpec",
        "V1beta1PredictorSpec",
        "V1beta1StorageSpec",
        "V1beta1TransformerSpec",
        *FRAMEWORKS.values(),
    }
)
#: Models of the package kserve that the schemas are made of.
USED = frozenset({"V1beta1InferenceService", *EXPANDED})
MODELS = Models(
    inside=EXPANDED,
    changes={
        # Newer than KServe's definition.
        "V1Container": {"restartPolicyRules": None},
        "V1ResourceRequirements": {"limits": AMOUNTS, "requests": AMOUNTS},
        "V1beta1ExplainerSpec": COMPONENT,
        "V1beta1TransformerSpec": COMPONENT,
        "V1beta1LoggerSpec": {"mode": {"enum": ["all", "request", "response"]}},
        **{name: MODEL_CHANGES for name in ("V1beta1ModelSpec", *FRAMEWORKS.values())},
        "V1beta1PredictorSpec": {
            "canaryTrafficPercent": _told("Share of the traffic for the latest ready revision; all when left out."),
            "containerConcurrency": _told("Requests that one replica works on at once; 0 for no limit."),
            "model": _told("Any model format; a runtime is chosen for it."),
            "maxReplicas": _told("Most replicas; 0 for as many as the machine has CPUs."),
            "minReplicas": _told("Fewest replicas; 0 stops the last one when nobody asks. The default is 1."),
            **COMPONENT,
            "serviceAccountName": _told("Service account whose secrets hold the storage credentials."),
            "timeout": _told("Seconds that a request may take."),
        },
        "V1beta1InferenceService": {"spec": _told("What to serve.")},
        "V1beta1InferenceServiceSpec": {
            "predictor": _told("The model server."),
            "transformer": _told("Pre- and post-processing; the embedded runtime refuses it."),
            "explainer": _told("Explanations; the embedded runtime refuses it."),
        },
    },
    # As in the CustomResourceDefinition (config/crd/full/serving.kserve.io_inferenceservices.yaml, v0.13.1).
    required={"V1beta1ModelSpec": (), "V1beta1ModelFormat": ("name",), "V1beta1ARTExplainerSpec": ()},
)


class _All(Container[str]):
    """All models but those that contain themselves."""

    def __contains__(self, model: object) -> bool:
        return model != "V1JSONSchemaProps"


ANY: Schema = {"x-kubernetes-preserve-unknown-fields": True}
INT_OR_STRING: Schema = {"x-kubernetes-int-or-string": True, "x-go-type": "IntOrString"}
AMOUNT: Schema = {**QUANTITY, "x-go-type": "Quantity"}
BYTES: Schema = {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}}
INT64: Schema = {"type": "integer", "format": "int64"}
LONG = (
    "activeDeadlineSeconds bytes deletionGracePeriodSeconds expirationSeconds fsGroup generation observedGeneration "
    "runAsGroup runAsUser sizeBytes terminationGracePeriodSeconds tolerationSeconds"
)
AMOUNTS_BY_NAME = (
    "allocatable allocatedResources capacity default defaultRequest hard limits max min overhead requests used"
)
#: Kubernetes' own types, as its API reads them.
BUILT_IN = Models(
    inside=_All(),
    changes={"V1Secret": {"data": BYTES}, "V1ConfigMap": {"binaryData": BYTES}},
    required={},
    fields={
        **{
            (name, "object"): INT_OR_STRING
            for name in ("port", "targetPort", "maxSurge", "maxUnavailable", "minAvailable")
        },
        **{
            (name, "dict[str, str]"): {"type": "object", "additionalProperties": AMOUNT}
            for name in AMOUNTS_BY_NAME.split()
        },
        **{(name, "str"): AMOUNT for name in ("divisor", "sizeLimit")},
        **{(name, "object"): ANY for name in ("fieldsV1", "data")},
        **{(name, "int"): INT64 for name in LONG.split()},
    },
    struct=True,
)
COMMON: Schema = {
    **{name: BUILT_IN.schema("V1ConfigMap")["properties"][name] for name in ("apiVersion", "kind")},
    "metadata": {
        **BUILT_IN.schema("V1ObjectMeta"),
        **_told(
            "Standard object's metadata. More info: "
            "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
        ),
    },
}


@functools.cache
def built_in(model: str, description: str = "") -> Schema:
    """Return the schema of one of Kubernetes' own kinds, without the fields that every object has."""
    told = _told(description) if description else {}
    return {**told, **BUILT_IN.schema(model, *COMMON)}


def schema_of(model: str, description: str) -> Schema:
    """Return the schema of one of KServe's kinds, without the fields that every object has."""
    return {"description": description, **MODELS.schema(model, *COMMON)}


INFERENCE_SERVICE = schema_of("V1beta1InferenceService", "InferenceService is the Schema for the InferenceServices API")


def complete(schema: Schema) -> Schema:
    """Add the fields that every object has to a schema."""
    return {**schema, "properties": {**COMMON, **(schema.get("properties") or {})}}


if __name__ == "__main__":
    KSERVE.write_text(json.dumps(of_package(USED), indent=1, sort_keys=True) + "\n")
