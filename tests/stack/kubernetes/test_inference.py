"""InferenceServices with real TorchServe: ready, predict, roll, fail, restart, delete."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.kubernetes.core.inference.servers.warm_up import warm_up_body
from tests.support.packages import NO_KSERVE
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow
NAME, NAMESPACE = "tiny", "models"


def manifest(uri: str, version: str) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": {"pach_id": version}},
        "spec": {"predictor": {"pytorch": {"storageUri": uri}}},
    }


def predict(cluster: ServiceProcess) -> tuple[int, dict[str, Any], str]:
    url = f"{cluster.ready['ingress']}/v1/models/tiny:predict"
    call = urllib.request.Request(url, warm_up_body(), {"Host": f"{NAME}.{NAMESPACE}.example.com"})
    try:
        with urllib.request.urlopen(call, timeout=30) as answer:
            return answer.status, json.loads(answer.read()), answer.headers["X-Revision"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read()), ""


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.1)


def test_the_life_of_a_service(
    cluster: ServiceProcess, api: Any, kubectl: Callable[..., str], tiny_model: Path, tmp_path: Path
) -> None:
    kserve = pytest.importorskip("kserve", reason=NO_KSERVE)
    client = kserve.KServeClient(config_file=cluster.ready["kubeconfig"])
    uri = tiny_model.as_uri()

    def status() -> dict[str, Any]:
        return client.get(NAME, NAMESPACE).get("status", {})

    def ready() -> bool:
        return bool(client.is_isvc_ready(NAME, NAMESPACE))

    # Created: ready, with KServe's status, and predicting.
    kubectl("apply", "-f", "-", text=json.dumps(manifest(uri, "one")))
    kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"isvc/{NAME}", "--timeout=60s")
    assert status()["url"] == f"http://{NAME}.{NAMESPACE}.example.com"
    assert status()["modelStatus"]["states"]["activeModelState"] == "Loaded"
    code, body, revision = predict(cluster)
    assert (code, list(body), revision) == (200, ["predictions"], "tiny-predictor-00001")
    assert body["predictions"][0] in (0, 1)
    row = kubectl("-n", NAMESPACE, "get", "isvc").splitlines()[1].split()
    assert row[:5] == [NAME, f"http://{NAME}.{NAMESPACE}.example.com", "True", "100", "tiny-predictor-00001"]
    assert "torch" in kubectl("-n", NAMESPACE, "logs", "deploy/tiny-predictor-00001-deployment").lower()

    # Rolled by an annotation, while requests go on: none fails.
    answers: list[int] = []
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            answers.append(predict(cluster)[0])

    clients = [threading.Thread(target=load) for _ in range(4)]
    for each in clients:
        each.start()
    kubectl("-n", NAMESPACE, "annotate", "isvc", NAME, "pach_id=two", "--overwrite")
    # In the same write as the change: nobody who waits for READY may see the old revision's.
    assert not ready()
    wait_for(ready)
    time.sleep(0.5)
    ended.set()
    for each in clients:
        each.join()
    assert len(answers) > 10
    assert set(answers) == {200}
    assert predict(cluster)[2] == "tiny-predictor-00002"
    assert status()["components"]["predictor"]["previousRolledoutRevision"] == "tiny-predictor-00001"

    # A broken revision gets no traffic and says why.
    broken = tmp_path / "broken"
    (broken / "config").mkdir(parents=True)
    (broken / "config" / "config.properties").write_text("model_store=/mnt/models/model-store\n")
    patch = {"spec": {"predictor": {"model": {"storageUri": broken.as_uri()}}}}
    kubectl("-n", NAMESPACE, "patch", "isvc", NAME, "--type", "merge", "-p", json.dumps(patch))
    wait_for(lambda: status()["modelStatus"]["transitionStatus"] == "BlockedByFailedLoad")
    assert "model_snapshot" in status()["modelStatus"]["lastFailureInfo"]["message"]
    assert predict(cluster)[::2] == (200, "tiny-predictor-00002")
    assert "RevisionFailed" in kubectl("-n", NAMESPACE, "describe", "isvc", NAME)

    # Fixed, then the daemon is killed: the next one serves again, and leaves no old server behind.
    patch = {"spec": {"predictor": {"model": {"storageUri": uri}}}}
    kubectl("-n", NAMESPACE, "patch", "isvc", NAME, "--type", "merge", "-p", json.dumps(patch))
    wait_for(ready)
    cluster.kill()
    cluster.start()
    client = kserve.KServeClient(config_file=cluster.ready["kubeconfig"])
    wait_for(ready)
    assert predict(cluster)[0] == 200

    # Deleted: the host leads nowhere.
    client.delete(NAME, NAMESPACE)
    wait_for(lambda: predict(cluster)[0] == 404)
