"""KServe's kinds beside the InferenceService; users can only read them here.

Source of the columns: ``config/crd/full`` of KServe v0.13.1.
"""

from __future__ import annotations

from pdk_stack.kubernetes.store.columns import printer_columns
from pdk_stack.kubernetes.store.kind import Kind

__all__ = ["CLUSTER_SERVING_RUNTIMES", "RUNTIME_KINDS"]

MODEL_SERVERS = "the embedded KServe starts its own two model servers"
PREDICTORS = "the embedded KServe serves InferenceServices with a predictor"


def _kind(names: str, written_by: str, columns: dict[str, tuple[str, str]], *, namespaced: bool = True) -> Kind:
    listed = [{"name": name, "type": type_, "jsonPath": path} for name, (type_, path) in columns.items()]
    listed.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    return Kind.named(
        f"serving.kserve.io/v1alpha1 {names}",
        printer_columns({"additionalPrinterColumns": listed}),
        namespaced=namespaced,
        custom=True,
        written_by=written_by,
    )


RUNTIME = {
    "Disabled": ("boolean", ".spec.disabled"),
    "ModelType": ("string", ".spec.supportedModelFormats[*].name"),
    "Containers": ("string", ".spec.containers[*].name"),
}
CLUSTER_SERVING_RUNTIMES = _kind(
    "ClusterServingRuntime clusterservingruntimes", MODEL_SERVERS, RUNTIME, namespaced=False
)
SERVING_RUNTIMES = _kind("ServingRuntime servingruntimes", MODEL_SERVERS, RUNTIME)
INFERENCE_GRAPHS = _kind(
    "InferenceGraph inferencegraphs ig",
    PREDICTORS,
    {
        "URL": ("string", ".status.url"),
        "Ready": ("string", ".status.conditions[?(@.type=='Ready')].status"),
    },
)
TRAINED_MODELS = _kind(
    "TrainedModel trainedmodels tm",
    PREDICTORS,
    {
        "URL": ("string", ".status.url"),
        "Ready": ("string", ".status.conditions[?(@.type=='Ready')].status"),
    },
)
RUNTIME_KINDS = (CLUSTER_SERVING_RUNTIMES, SERVING_RUNTIMES, INFERENCE_GRAPHS, TRAINED_MODELS)
