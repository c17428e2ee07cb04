"""Both runtimes with both protocols, and predictors that cannot be served."""

from __future__ import annotations

import base64
import importlib.util
import json
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.kubernetes.core.inference.failures import ModelServerError
from pdk_stack.kubernetes.core.inference.servers import runtimes
from pdk_stack.kubernetes.core.inference.servers.model_folder import ModelFolder
from pdk_stack.kubernetes.core.inference.servers.warm_up import warm_up_body
from tests.stack.kubernetes.serving import KIND, NAMESPACE, Service, wait_for
from tests.support.packages import needs_kserve
from tests.support.processes import ServiceProcess

RUNTIMES = (runtimes.TORCHSERVE, pytest.param(runtimes.PYTHON, marks=needs_kserve))


def post(cluster: ServiceProcess, name: str, path: str, body: bytes) -> tuple[int, Any]:
    headers = {"Host": f"{name}.{NAMESPACE}.example.com", "Content-Type": "application/json"}
    call = urllib.request.Request(cluster.ready["ingress"] + path, body, headers)
    try:
        with urllib.request.urlopen(call, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def three_pictures() -> bytes:
    instances = json.loads(warm_up_body())["instances"]
    return json.dumps({"instances": instances * 3}).encode()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_both_runtimes_answer_v1_alike(cluster: ServiceProcess, api: Any, tiny_model: Path, runtime: str) -> None:
    service = Service(cluster, api, runtime.removeprefix("kserve-"))
    model = {"modelFormat": {"name": "pytorch"}, "runtime": runtime, "storageUri": tiny_model.as_uri()}
    service._custom.create_namespaced_custom_object(*KIND, _predictor(service.name, model))
    service.wait_ready()
    code, body = post(cluster, service.name, "/v1/models/tiny:predict", three_pictures())
    assert (code, len(body["predictions"])) == (200, 3)
    assert set(body["predictions"]) <= {0, 1}
    broken = json.dumps({"instances": [{"data": base64.b64encode(b"no picture").decode()}]}).encode()
    code, body = post(cluster, service.name, "/v1/models/tiny:predict", broken)
    assert code in (400, 500)
    assert body["error"]
    assert post(cluster, service.name, "/v1/models/other:predict", b"{}")[0] == 404
    assert post(cluster, service.name, "/v1/models/tiny:predict", three_pictures())[0] == 200
    service.delete()


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_both_runtimes_speak_v2(cluster: ServiceProcess, api: Any, tiny_model: Path, runtime: str) -> None:
    service = Service(cluster, api, runtime.removeprefix("kserve-") + "-v2")
    model = {"modelFormat": {"name": "pytorch"}, "runtime": runtime, "storageUri": tiny_model.as_uri()}
    model["protocolVersion"] = "v2"
    service._custom.create_namespaced_custom_object(*KIND, _predictor(service.name, model))
    service.wait_ready()
    code, body = post(cluster, service.name, "/v2/models/tiny/infer", warm_up_body("v2"))
    assert code == 200, body
    assert body["model_name"] == "tiny"
    assert body["outputs"][0]["data"][0] in (0, 1)
    service.delete()


def wheel(folder: Path, name: str) -> Path:
    """Write a package with one module that says where it lies."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as packed:
        for file, content in files.items():
            packed.writestr(file, content)
        packed.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return path


def with_requirements(model: Path, folder: Path, requirement: str) -> Path:
    """A model whose handler needs a package, and whose archive says which."""
    (folder / "config").mkdir(parents=True)
    (folder / "model-store").mkdir()
    text = (model / "config" / "config.properties").read_text()
    (folder / "config" / "config.properties").write_text(f"install_py_dep_per_model=true\n{text}")
    (folder / "requirements.txt").write_text(requirement)
    (folder / "handler.py").write_text(
        "import lab_extra\n\n\ndef handle(data, context):\n    return [lab_extra.__file__ for _ in data or []]\n"
    )
    (folder / "weights").write_text("x")
    subprocess.run(
        [Path(sys.executable).parent / "torch-model-archiver", "--model-name", "tiny", "--version", "1"]
        + ["--serialized-file", folder / "weights", "--handler", folder / "handler.py"]
        + ["--requirements-file", folder / "requirements.txt", "--export-path", folder / "model-store"],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_archives_packages_belong_to_the_replica(
    cluster: ServiceProcess, api: Any, tiny_model: Path, tmp_path: Path, runtime: str
) -> None:
    service = Service(cluster, api, runtime.removeprefix("kserve-") + "-packages")
    good = with_requirements(tiny_model, tmp_path / "good", str(wheel(tmp_path, "lab_extra")))
    bad = with_requirements(tiny_model, tmp_path / "bad", str(tmp_path / "absent-1.0-py3-none-any.whl"))
    model = {"modelFormat": {"name": "pytorch"}, "runtime": runtime, "storageUri": good.as_uri()}
    service._custom.create_namespaced_custom_object(*KIND, _predictor(service.name, model))
    service.wait_ready()
    code, body = post(cluster, service.name, "/v1/models/tiny:predict", three_pictures())
    assert code == 200, body
    assert importlib.util.find_spec("lab_extra") is None
    service.patch({"spec": {"predictor": {"model": {"storageUri": bad.as_uri()}}}})
    wait_for(lambda: service.status()["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad")
    told = service.status()["modelStatus"]["lastFailureInfo"]["message"]
    assert "Custom pip package installation failed" in told
    assert "absent-1.0" in told
    assert post(cluster, service.name, "/v1/models/tiny:predict", three_pictures())[0] == 200
    service.delete()


def _predictor(name: str, model: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    kind = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
    return {**kind, "metadata": metadata, "spec": {"predictor": {"model": model}}}


PYTORCH = {"modelFormat": {"name": "pytorch"}, "storageUri": "/x"}


@pytest.mark.parametrize(
    ("predictor", "told"),
    [
        ({"sklearn": {}}, "the predictor has sklearn"),
        ({"model": {**PYTORCH, "modelFormat": {"name": "onnx"}}}, "not onnx"),
        ({"model": {**PYTORCH, "runtime": "triton"}}, "there are kserve-torchserve, kserve-python"),
        ({"model": {**PYTORCH, "protocolVersion": "grpc-v2"}}, "not grpc-v2"),
        ({"model": {"modelFormat": {"name": "pytorch"}}}, "no storageUri"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(predictor: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelServerError, match=told):
        runtimes.check_predictor(predictor)


@needs_kserve
def test_a_version_of_python_without_kserve_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"model": {**PYTORCH, "runtime": runtimes.PYTHON}}
    runtimes.check_predictor(asked)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelServerError, match="needs the package kserve"):
        runtimes.check_predictor(asked)


def test_without_java_the_python_runtime_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert type(runtimes.model_server(tmp_path, tmp_path, {"model": PYTORCH})).__name__ == "TorchServe"

    def none() -> str:
        raise ModelServerError("no Java")

    monkeypatch.setattr(runtimes, "java_executable", none)
    assert type(runtimes.model_server(tmp_path, tmp_path, {"model": PYTORCH})).__name__ == "PythonServer"


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        (None, "no config/config.properties"),
        ("model_store=/mnt/models\n", "model_snapshot"),
        ('model_snapshot={"models": {}}\n', "names no model"),
        ('model_snapshot={"models": {"a": {"1": {"marName": "a.mar"}}}}\n', "Archive a.mar is not in model-store"),
    ],
)
def test_a_model_folder_that_is_not_one_says_why(tmp_path: Path, properties: str | None, told: str) -> None:
    (tmp_path / "config").mkdir()
    if properties is not None:
        (tmp_path / "config" / "config.properties").write_text(properties)
    with pytest.raises(ModelServerError, match=told):
        ModelFolder(tmp_path)


def test_an_archive_that_was_put_elsewhere_is_found(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "config").mkdir()
    text = (tiny_model / "config" / "config.properties").read_text()
    (tmp_path / "config" / "config.properties").write_text(text)
    (tmp_path / "tiny.mar").write_bytes(b"")
    assert ModelFolder(tmp_path).archives == {"tiny": tmp_path / "tiny.mar"}
