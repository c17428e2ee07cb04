"""What a person does first with KServe, as its guide shows it, with kubectl and curl: nothing surprises.

Source of the steps: "First InferenceService" and "Canary rollout" of KServe's documentation.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.kubernetes.core.inference.servers.warm_up import warm_up_body
from pdk_stack.kubernetes.store.schemas import complete
from pdk_stack.kubernetes.store.validation import Findings, check
from tests.stack.kubernetes.serving import wait_for
from tests.support.processes import ServiceProcess
from tests.support.reference import reference_dir

pytestmark = pytest.mark.slow
Kubectl = Callable[..., str]
MANIFEST = """
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: first
  namespace: models
spec:
  predictor:
    model:
      modelFormat:
        name: pytorch
      storageUri: {uri}
"""


def curl(cluster: ServiceProcess, folder: Path, host: str) -> tuple[str, str]:
    """Body and revision of a prediction by curl, as in the guide."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    (folder / "input.json").write_bytes(warm_up_body())
    command = [program, "-sS", "-D", "-", "-H", f"Host: {host}", "-H", "Content-Type: application/json"]
    command += [f"{cluster.ready['ingress']}/v1/models/tiny:predict", "-d", f"@{folder / 'input.json'}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    head, _, body = done.stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 200"), done.stdout
    revision = next(line.partition(": ")[2] for line in head.splitlines() if line.startswith("X-Revision"))
    return body, revision


def test_the_first_inference_service(
    cluster: ServiceProcess, api: Any, kubectl: Kubectl, tiny_model: Path, tmp_path: Path
) -> None:
    there = ("-n", "models")
    first, second = "first-predictor-00001", "first-predictor-00002"

    def row() -> list[str]:
        return kubectl(*there, "get", "inferenceservices", "first").splitlines()[1].split()

    # apply, wait, look.
    assert "first created" in kubectl("apply", "-f", "-", text=MANIFEST.format(uri=tiny_model.as_uri()))
    # A watch that runs from the first moment sees it become ready.
    watched = kubectl(*there, "get", "isvc", "first", "-w", "--request-timeout=4s")
    assert watched.splitlines()[0].split()[:3] == ["NAME", "URL", "READY"]
    assert "Unknown" in watched.splitlines()[1]
    kubectl(*there, "wait", "--for=condition=Ready", "isvc/first", "--timeout=120s")
    kubectl(*there, "rollout", "status", f"deploy/{first}-deployment", "--timeout=10s")
    assert row()[:5] == ["first", "http://first.models.example.com", "True", "100", first]
    described = kubectl(*there, "describe", "isvc", "first")
    for expected in ("Latest Ready Revision:", "InferenceServiceReady", "Active Model State:", "Loaded"):
        assert expected in described
    service = json.loads(kubectl(*there, "get", "isvc", "first", "-o", "json"))
    _check_against_the_official_schema(service)
    assert f"serving.knative.dev/revision={first}" in kubectl(*there, "get", "pods", "--show-labels")

    # predict.
    host = kubectl(*there, "get", "isvc", "first", "-o", "jsonpath={.status.url}").removeprefix("http://")
    body, revision = curl(cluster, tmp_path, host)
    assert json.loads(body)["predictions"][0] in (0, 1)
    assert revision == first

    # A canary by editing the manifest, as the guide does; the share stays when the same is applied again.
    canary = MANIFEST.format(uri=tiny_model.as_uri() + "/").replace(
        "predictor:\n", "predictor:\n    canaryTrafficPercent: 10\n"
    )
    assert "first configured" in kubectl("apply", "-f", "-", text=canary)
    kubectl(*there, "wait", "--for=condition=Ready", "isvc/first", "--timeout=120s")
    wait_for(lambda: row()[2:7] == ["True", "90", "10", first, second])
    assert "unchanged" in kubectl("apply", "-f", "-", text=canary)
    answered = [curl(cluster, tmp_path, host)[1] for _ in range(10)]
    assert (answered.count(first), answered.count(second)) == (9, 1)
    _check_against_the_official_schema(json.loads(kubectl(*there, "get", "isvc", "first", "-o", "json")))

    # promote, and back by taking all traffic from the newest.
    patch = ("patch", "isvc", "first", "--type", "json", "-p")
    kubectl(*there, *patch, '[{"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}]')
    wait_for(lambda: row()[2:5] == ["True", "100", second])
    assert curl(cluster, tmp_path, host)[1] == second
    # The deployment of the one before stays, with nothing to run.
    wait_for(lambda: kubectl(*there, "get", "deploy", f"{first}-deployment").splitlines()[1].split()[1] == "0/0")

    # delete: nothing is left.
    assert "deleted" in kubectl(*there, "delete", "isvc", "first")
    wait_for(lambda: "first" not in kubectl(*there, "get", "isvc,deploy,rs,pods"))


def _check_against_the_official_schema(service: dict[str, Any]) -> None:
    folder = reference_dir()
    path = folder / "schemas" / "kserve" / "inferenceservice-crd-v0.13.1.json" if folder else None
    if path is None or not path.exists():
        return
    definition = json.loads(path.read_text())
    versions = {each["name"]: each["schema"]["openAPIV3Schema"] for each in definition["spec"]["versions"]}
    findings = Findings()
    check(complete(versions["v1beta1"]), service, "", findings)
    assert (findings.unknown, findings.wrong) == ([], [])
