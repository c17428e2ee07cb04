"""KServe's defaulter and validator, as tables of what they fill in and refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pdk_stack.kubernetes.core.inference import webhook
from pdk_stack.kubernetes.core.inference.decoding import quantity_problem
from pdk_stack.kubernetes.errors import StatusError

MODEL = {"storageUri": "s3://bucket/model"}
GOOD = {"pytorch": MODEL}
FRAMEWORKS = "SKLearn, XGBoost, Tensorflow, PyTorch, Triton, ONNX, HuggingFace, PMML, LightGBM, Paddle, Model, PodSpec"
ONE_PREDICTOR = f"Exactly one of [{FRAMEWORKS}] must be specified in PredictorSpec"
PERCENTAGE = "The target utilization percentage should be a [1-100] integer."
WRONG_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
FILLED_IN = {"cpu": "1", "memory": "2Gi"}


def service(predictor: Any, name: str = "cat", notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, **({"annotations": notes} if notes else {})},
        "spec": {"predictor": predictor, **spec},
    }


def denied(obj: dict[str, Any]) -> str:
    """Why the webhooks refuse a service; empty when they take it."""
    try:
        webhook.default(obj)
        webhook.validate(obj)
    except StatusError as error:
        code, role = (400, "defaulter") if "defaulter" in error.message else (403, "validator")
        assert (error.http_status, error.reason) == (code, "" if code == 400 else "Forbidden")
        prefix = f'admission webhook "inferenceservice.kserve-webhook-server.{role}" denied the request: '
        assert error.message.startswith(prefix)
        return error.message.removeprefix(prefix)
    return ""


@pytest.mark.parametrize(
    ("predictor", "why"),
    [
        ({}, ONE_PREDICTOR),
        ({"minReplicas": 1}, ONE_PREDICTOR),
        ({**GOOD, "sklearn": MODEL}, ONE_PREDICTOR),
        ({**GOOD, "containers": [{"image": "x"}]}, ONE_PREDICTOR),
        ({**GOOD, "containers": []}, ""),
        # The framework's field takes the model's place.
        ({**GOOD, "model": {"modelFormat": {"name": "onnx"}}}, ""),
        ({**GOOD, "minReplicas": -1}, "MinReplicas cannot be less than 0."),
        ({**GOOD, "maxReplicas": -1}, "MaxReplicas cannot be less than 0."),
        ({**GOOD, "minReplicas": 3, "maxReplicas": 2}, "MinReplicas cannot be greater than MaxReplicas."),
        ({**GOOD, "minReplicas": 3, "maxReplicas": 0}, ""),
        ({**GOOD, "containerConcurrency": -5}, "Parallelism cannot be less than 0."),
        ({**GOOD, "canaryTrafficPercent": 150}, ""),
        ({**GOOD, "scaleMetric": "cpu"}, "[cpu] is not a supported metric.\n"),
        ({**GOOD, "scaleMetric": "rps", "scaleTarget": 0}, "the target for rps should be greater than 1"),
        ({**GOOD, "scaleTarget": -1}, ""),
        (
            {**GOOD, "deploymentStrategy": {"type": "Recreate"}},
            "customizing deploymentStrategy is only supported for raw deployment mode",
        ),
        ({**GOOD, "logger": {"url": "http://x"}}, "Invalid logger type"),
        ({"pytorch": {"storageUri": "gold://x"}}, ""),
        (
            {"containers": [{"image": "x", "env": [{"name": "PROTOCOL", "value": "v3"}]}]},
            "Invalid protocol v1, v2. Must be one of [v3]",
        ),
        (
            {"containers": [{"name": "transformer-container", "env": [{"name": "STORAGE_URI", "value": "s3://x"}]}]},
            "",
        ),
        (
            {
                "containers": [
                    {"image": "x"},
                    {"name": "transformer-container", "env": [{"name": "STORAGE_URI", "value": "s3://x"}]},
                ]
            },
            "storage uri should not be specified in transformer container",
        ),
    ],
)
def test_what_the_validator_refuses_of_predictors(predictor: dict[str, Any], why: str) -> None:
    assert denied(service(predictor)) == why


@pytest.mark.parametrize(
    ("notes", "predictor", "why"),
    [
        ({"serving.kserve.io/autoscalerClass": "mine"}, {}, "[mine] is not a supported autoscaler class type.\n"),
        ({"serving.kserve.io/autoscalerClass": "external"}, {}, ""),
        (
            {"serving.kserve.io/autoscalerClass": "hpa", "serving.kserve.io/metrics": "rps"},
            {},
            "[rps] is not a supported metric.\n",
        ),
        ({"serving.kserve.io/targetUtilizationPercentage": "101"}, {}, PERCENTAGE),
        ({"serving.kserve.io/targetUtilizationPercentage": "many"}, {}, PERCENTAGE),
        ({"serving.kserve.io/targetUtilizationPercentage": "100"}, {}, ""),
        ({"serving.kserve.io/deploymentMode": "RawDeployment"}, {"deploymentStrategy": {"type": "Recreate"}}, ""),
        ({"serving.kserve.io/deploymentMode": "RawDeployment"}, {"scaleTarget": -1}, PERCENTAGE),
        (
            {"autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev"},
            {"scaleMetric": "rps"},
            "[rps] is not a supported metric.\n",
        ),
        (
            {"serving.kserve.io/deploymentMode": "RawDeployment"},
            {"scaleMetric": "memory", "scaleTarget": 0},
            "The target memory should be greater than 1 MiB",
        ),
    ],
)
def test_what_the_validator_refuses_of_annotations(notes: dict[str, str], predictor: dict[str, Any], why: str) -> None:
    assert denied(service({**GOOD, **predictor}, notes=notes)) == why


def test_what_the_validator_refuses_of_names_and_other_components() -> None:
    assert denied(service(GOOD, "1cat")).startswith('The InferenceService "1cat" is invalid: a InferenceService name')
    assert denied(service(GOOD, "a.b")).endswith("regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
    assert denied(service(GOOD, transformer={})) == "Exactly one of [PodSpec] must be specified in TransformerSpec"
    assert denied(service(GOOD, explainer={})) == "Exactly one of [ART, PodSpec] must be specified in ExplainerSpec"
    assert denied(service(GOOD, transformer={"containers": [{"image": "x"}], "minReplicas": -1})) == (
        "MinReplicas cannot be less than 0."
    )
    stored = {"art": {"type": "SquareAttack", "storage": {"parameters": {"type": "gold"}}}}
    assert "storage.spec.type [gold] is not supported." in denied(service(GOOD, explainer=stored))


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("x", "string into Go struct field InferenceService.spec of type v1beta1.InferenceServiceSpec"),
        (
            {"predictor": "x"},
            "string into Go struct field InferenceServiceSpec.spec.predictor of type v1beta1.PredictorSpec",
        ),
        (
            {"predictor": {"timeout": "x", "minReplicas": "1"}},
            "string into Go struct field PredictorSpec.spec.predictor.minReplicas of type int",
        ),
        (
            {"predictor": {"timeout": "x"}},
            "string into Go struct field PredictorSpec.spec.predictor.timeout of type int64",
        ),
        (
            {"predictor": {"timeout": 1.5}},
            "number 1.5 into Go struct field PredictorSpec.spec.predictor.timeout of type int64",
        ),
        (
            {"predictor": {"model": {"storageUri": 7}}},
            "number into Go struct field ModelSpec.spec.predictor.model.storageUri of type string",
        ),
        (
            {"predictor": {"pytorch": [1]}},
            "array into Go struct field PredictorSpec.spec.predictor.pytorch of type v1beta1.TorchServeSpec",
        ),
        (
            {"predictor": {"containers": [{"env": [{"name": True}]}]}},
            "bool into Go struct field EnvVar.spec.predictor.containers.env.name of type string",
        ),
    ],
)
def test_wrong_types_are_refused_in_the_words_of_go(spec: Any, why: str) -> None:
    assert denied({"metadata": {"name": "cat"}, "spec": spec}) == f"json: cannot unmarshal {why}"


def test_a_bad_quantity_is_refused_before_all_else() -> None:
    for field in ("limits", "requests"):
        resources = {field: {"memory": "4gb"}}
        assert denied(service({"pytorch": {**MODEL, "resources": resources}, "timeout": "x"})) == WRONG_QUANTITY
        assert denied(service({"containers": [{"resources": resources}]})) == WRONG_QUANTITY


@pytest.mark.parametrize("given", ["100m", "2", 2, 0.5, "2Gi", "1e3", "1E", "5M", ".5", "-1", "100n"])
def test_quantities(given: Any) -> None:
    assert quantity_problem(given) == ""


@pytest.mark.parametrize("given", ["4gb", "", "lots", "1 Gi", "4GB", "1.2.3", True, [1]])
def test_what_is_no_quantity(given: Any) -> None:
    assert quantity_problem(given) == WRONG_QUANTITY


@pytest.mark.parametrize("given", ["4kk", "1e", "1i"])
def test_suffixes_that_are_none(given: str) -> None:
    assert quantity_problem(given) == "unable to parse quantity's suffix"


@pytest.mark.parametrize("framework", webhook.FRAMEWORKS)
def test_a_frameworks_field_becomes_the_model(framework: str) -> None:
    obj = service({framework: {**MODEL, "name": "mine"}})
    webhook.default(obj)
    speaks = {"protocolVersion": "v2"} if framework in ("triton", "onnx", "huggingface") else {}
    model = {"modelFormat": {"name": framework}, "name": "mine", "resources": {}, **MODEL, **speaks}
    assert obj["spec"] == {"predictor": {"model": model}}


def test_null_is_nothing_as_in_go() -> None:
    assert denied({"metadata": {"name": "cat"}, "spec": None}) == ONE_PREDICTOR
    assert denied(service({**GOOD, "sklearn": None, "minReplicas": None, "logger": None})) == ""
    assert denied(service({"model": {"modelFormat": None, "resources": None}})) == ""
    assert denied(service({"containers": [None, {"env": [None]}]})) == ""
    obj = service({"containers": [None]}, transformer=None)
    webhook.default(obj)
    filled_in = {"name": "kserve-container", "resources": {"limits": FILLED_IN, "requests": FILLED_IN}}
    assert obj["spec"] == {"predictor": {"containers": [filled_in]}, "transformer": None}


def test_what_the_defaulter_fills_in() -> None:
    obj = service({"model": {"modelFormat": {"name": "triton"}}})
    webhook.default(obj)
    assert obj["spec"]["predictor"]["model"]["protocolVersion"] == "v2"
    obj = service({"containers": [{"image": "x", "resources": {"limits": {"cpu": "3"}}}, {"image": "y"}]})
    webhook.default(obj)
    first, second = obj["spec"]["predictor"]["containers"]
    assert first["name"] == "kserve-container"
    assert first["resources"] == {"limits": {**FILLED_IN, "cpu": "3"}, "requests": FILLED_IN}
    assert second == {"image": "y", "name": "", "resources": {}}
    # Doing it again changes nothing.
    once = copy.deepcopy(obj)
    webhook.default(obj)
    assert obj == once
    # The deployment mode of KServe's configuration, unless the service names one.
    for notes, wanted in ((None, "RawDeployment"), ({"serving.kserve.io/deploymentMode": "Serverless"}, "Serverless")):
        obj = service(GOOD, notes=notes)
        webhook.default(obj, "RawDeployment")
        assert obj["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": wanted}
