"""Deployments and pods of revisions: rollout status, logs, what is refused, and why a revision does not come up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from pdk_stack.common.processes import ProcessGroup
from pdk_stack.kubernetes.core.inference import resources, webhook
from pdk_stack.kubernetes.core.inference.failures import PYTHON_ERROR, Reason, reason_of
from pdk_stack.kubernetes.core.inference.reconciler.controller import InferenceController
from pdk_stack.kubernetes.core.inference.revisions.storage_initializer import PROCESS_NOTE as FETCH_NOTE
from pdk_stack.kubernetes.core.inference.servers.model_server import PROCESS_NOTE as SERVER_NOTE
from pdk_stack.kubernetes.core.inference.servers.model_server import SCRATCH_NOTE
from pdk_stack.kubernetes.core.volumes import Volumes
from pdk_stack.kubernetes.store.objects import ObjectStore
from tests.stack.kubernetes.serving import KIND, NAMESPACE, Service, manifest, wait_for
from tests.support.processes import ServiceProcess

Kubectl = Callable[..., str]
SERVER = ["python", "-m", "http.server", "$(PORT)", "--bind", "127.0.0.1", "--directory", "/mnt/models"]
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "pets", "namespace": NAMESPACE},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def custom(name: str, *command: str, uri: str = "", **more: Any) -> dict[str, Any]:
    """An InferenceService with a container of one's own."""
    env = [{"name": "STORAGE_URI", "value": uri}] if uri else []
    container = {"name": "kserve-container", "image": "lab/own:1", "command": list(command), "env": env, **more}
    service = manifest(name, "")
    service["spec"]["predictor"] = {"containers": [container]}
    return service


def failure(service: Service) -> dict[str, Any]:
    return dict(service.status().get("modelStatus", {}).get("lastFailureInfo", {}))


def create(cluster: ServiceProcess, api: Any, body: dict[str, Any]) -> Service:
    service = Service(cluster, api, body["metadata"]["name"])
    service._custom.create_namespaced_custom_object(*KIND, body)
    return service


def test_a_container_of_ones_own_with_its_model_on_a_volume(
    cluster: ServiceProcess, api: Any, kubectl: Kubectl, tmp_path: Path
) -> None:
    kubectl("apply", "-f", "-", text=json.dumps(CLAIM))
    volume = kubectl("-n", NAMESPACE, "get", "pvc", "pets", "-o", "jsonpath={.spec.volumeName}")
    folder = Path(kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}"))
    (folder / "one").mkdir()
    (folder / "one" / "answer.txt").write_text("woof")
    service = create(cluster, api, custom("own", *SERVER, uri="pvc://pets/one"))
    service.wait_ready()
    call = urllib.request.Request(cluster.ready["ingress"] + "/answer.txt", headers={"Host": "own.models.example.com"})
    with urllib.request.urlopen(call, timeout=10) as answer:
        assert answer.read() == b"woof"

    deployment = "deploy/own-predictor-00001-deployment"
    in_models = ("-n", NAMESPACE)
    assert "successfully rolled out" in kubectl(*in_models, "rollout", "status", deployment, "--timeout=10s")
    kubectl(*in_models, "wait", "--for=condition=Available", deployment, "--timeout=10s")
    listed = kubectl(*in_models, "get", "deploy,replicasets,pods", "-l", "serving.kserve.io/inferenceservice=own")
    assert [line.split()[1] for line in listed.splitlines() if "own-" in line] == ["1/1", "1", "1/1"]
    assert "GET /answer.txt" in kubectl(*in_models, "logs", deployment, "--tail=1")
    assert "1" in kubectl(*in_models, "rollout", "history", deployment)
    for refused, told in (
        (("exec", deployment, "--", "ls"), "does not offer pods/exec"),
        (("port-forward", deployment, "8080"), "does not offer pods/portforward"),
        (("rollout", "restart", deployment), "does not offer patch of deployments"),
        (("scale", "--replicas=2", deployment), "does not offer deployments/scale"),
        (("label", "pods", "--all", "a=b"), "the controller of InferenceServices writes these"),
        (("create", "deployment", "x", "--image=y"), "does not offer create of deployments"),
        (("create", "job", "x", "--image=y"), "does not offer create of jobs"),
        (("logs", deployment, "-c", "nobody"), "container nobody is not valid"),
    ):
        assert told in kubectl(*in_models, *refused, code=1)
    service.remove()
    wait_for(lambda: "own-" not in kubectl(*in_models, "get", "deploy,rs,pods"))
    kubectl(*in_models, "delete", "pvc", "pets")
    wait_for(lambda: not folder.exists())
    assert volume not in kubectl("get", "pv")


def test_a_followed_log_ends_with_its_pod(cluster: ServiceProcess, api: Any, kubectl: Kubectl) -> None:
    service = create(cluster, api, custom("talking", "python", "-c", TALK))
    service.wait_ready()
    name = kubectl("-n", NAMESPACE, "get", "pods", "-l", "app=talking-predictor-00001", "-o", "name").strip()
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name.removeprefix('pod/')}/log?follow=true&tailLines=1"
    answer = api.call_api(path, "GET", auth_settings=["BearerToken"], _preload_content=False, _request_timeout=60)
    text = iter(answer.stream(16))
    assert next(text).startswith(b"line ")
    service.remove()
    for _ in text:
        pass


TALK = """
import http.server, itertools, os, threading, time
threading.Thread(target=http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), None).serve_forever).start()
for number in itertools.count():
    print("line", number, flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize(
    ("name", "body", "reason", "told"),
    [
        ("nocommand", custom("nocommand"), "InvalidPredictorSpec", "Image lab/own:1 is not pulled here"),
        ("nowhere", custom("nowhere", "/no/such/program"), "InvalidPredictorSpec", "/no/such/program is not on this"),
        ("ends", custom("ends", "python", "-c", "raise MemoryError('all of it')"), "OutOfMemory", "all of it"),
        ("absent", custom("absent", "python", "-c", "import no_such_pet"), "HandlerImportError", "no_such_pet"),
        ("noclaim", custom("noclaim", *SERVER, uri="pvc://none/x"), "StorageNotFound", '"none" not found'),
    ],
)
def test_a_revision_that_does_not_come_up_says_why(
    cluster: ServiceProcess, api: Any, kubectl: Kubectl, name: str, body: dict[str, Any], reason: str, told: str
) -> None:
    service = create(cluster, api, body)
    wait_for(lambda: bool(failure(service)))
    found, in_spec = failure(service), Reason(reason).in_spec
    assert found["reason"] == (reason if in_spec else "ModelLoadFailed")
    assert told in found["message"]
    status = service.status()
    assert status["modelStatus"]["transitionStatus"] == ("InvalidSpec" if in_spec else "BlockedByFailedLoad")
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "RevisionFailed")
    assert f'Revision "{name}-predictor-00001" failed with message: ' in ready["message"]
    assert reason in kubectl("-n", NAMESPACE, "get", "events", "--field-selector", f"involvedObject.name={name}")
    if not in_spec:
        deployment = f"deploy/{name}-predictor-00001-deployment"
        told = kubectl("-n", NAMESPACE, "rollout", "status", deployment, "--timeout=10s", code=1)
        assert "exceeded its progress deadline" in told
    service.remove()


def test_a_server_that_takes_too_much_memory_is_killed(cluster: ServiceProcess, api: Any) -> None:
    code = "held = bytearray(300 << 20); held[::4096] = b'x' * len(held[::4096]); import time; time.sleep(60)"
    body = custom("greedy", "python", "-c", code, resources={"limits": {"memory": "150Mi"}})
    service = create(cluster, api, body)
    wait_for(lambda: bool(failure(service)))
    assert failure(service)["message"].startswith("OOMKilled: The container was killed: it used ")
    assert failure(service)["exitCode"] == 137
    service.remove()


def test_a_model_that_is_not_there_yet_is_waited_for(
    cluster: ServiceProcess, api: Any, kubectl: Kubectl, tmp_path: Path
) -> None:
    late = tmp_path / "late"
    service = create(cluster, api, custom("patient", *SERVER, uri=late.as_uri()))

    def reason() -> str:
        conditions = service.status().get("conditions") or [{}]
        return next((each.get("reason", "") for each in conditions if each.get("type") == "Ready"), "")

    wait_for(lambda: reason() == "WaitingForModel")
    # No failure: a pipeline makes the service before the commit with its model is finished.
    assert not failure(service)
    assert service.status()["modelStatus"]["transitionStatus"] == "InProgress"
    late.mkdir()
    (late / "x").write_text("x")
    service.wait_ready()
    assert "StorageNotFound" not in kubectl("-n", NAMESPACE, "describe", "isvc", "patient")
    service.remove()
    shutil.rmtree(late)


@pytest.mark.parametrize(
    ("log", "code", "reason"),
    [
        ("", -9, Reason.OOM_KILLED),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", 1, Reason.OUT_OF_MEMORY),
        ("W - ModuleNotFoundError: No module named 'x'", 1, Reason.HANDLER_IMPORT),
        ("RuntimeError: size mismatch", 1, Reason.MODEL_LOAD_FAILED),
    ],
)
def test_logs_tell_why(log: str, code: int, reason: Reason) -> None:
    assert reason_of(log, code) is reason


@pytest.mark.parametrize("note", [f"pods/one/{SERVER_NOTE}", FETCH_NOTE])
def test_what_a_killed_daemon_left_is_ended(tmp_path: Path, note: str) -> None:
    store = ObjectStore(tmp_path / "objects.sqlite")
    path = tmp_path / "services" / "models" / "pets" / "pets-predictor-00001" / note
    path.parent.mkdir(parents=True)
    left = ProcessGroup(["sleep", "60"], os.environ)
    left.note(path)
    scratch = tmp_path / "pdkts-left"
    scratch.mkdir()
    (path.parent / SCRATCH_NOTE).write_text(str(scratch))
    controller = InferenceController(store, Volumes(store, tmp_path / "volumes"), tmp_path / "services")
    controller.start()
    assert left.wait(5) == -signal.SIGKILL
    assert not scratch.exists()
    controller.stop()
    store.close()
    if left.stdout is not None:
        left.stdout.close()


def test_quantities_and_limits() -> None:
    assert [resources.quantity(each) for each in ("100m", "2", 2, "2Gi", "1e3", "5M")] == [0.1, 2, 2, 2**31, 1e3, 5e6]
    with pytest.raises(ValueError):
        resources.quantity("plenty")
    service = manifest("a", "file:///x")
    service["spec"]["predictor"] = {"model": {"resources": {"limits": {"memory": "3Gi"}, "requests": {"cpu": "1"}}}}
    webhook.default(service)
    assert resources.memory_limit(service) == 3 * 2**30
    assert resources.requests_of(service) == {"cpu": 1, "memory": 3 * 2**30}
    # What the webhook fills in is nothing that anybody asked for.
    service["spec"]["predictor"] = {"containers": [{"image": "x", "resources": {"requests": {"cpu": "1500m"}}}]}
    webhook.default(service)
    assert service["spec"]["predictor"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "2Gi"},
        "requests": {"cpu": "1500m", "memory": "2Gi"},
    }
    assert (resources.requests_of(service), resources.memory_limit(service)) == ({"cpu": 1.5}, 0)
    # A container's limit without a request is its request, as in Kubernetes.
    own = {"metadata": {}, "spec": {"predictor": {"containers": [{"resources": {"limits": {"cpu": "2"}}}]}}}
    assert resources.requests_of(own) == {"cpu": 2}


def test_pythons_words_are_told_and_not_javas() -> None:
    assert PYTHON_ERROR.match("ModuleNotFoundError: No module named 'x'")
    assert PYTHON_ERROR.match("torch.cuda.OutOfMemoryError: CUDA out of memory")
    assert not PYTHON_ERROR.match("java.lang.InterruptedException: null")


def test_deployments_follow_a_rollout_and_a_restart(
    cluster: ServiceProcess, api: Any, kubectl: Kubectl, tmp_path: Path
) -> None:
    (tmp_path / "name").write_text("x")
    service = create(cluster, api, custom("lived", *SERVER, uri=tmp_path.as_uri()))
    service.wait_ready()

    def replicas() -> dict[str, str]:
        listed = kubectl("-n", NAMESPACE, "get", "deploy", "-l", "serving.kserve.io/inferenceservice=lived")
        return {line.split()[0][:21]: line.split()[1] for line in listed.splitlines()[1:]}

    first, second, third = (f"lived-predictor-0000{number}" for number in (1, 2, 3))
    service.patch({"metadata": {"annotations": {"pach_id": "2"}}, "spec": {"predictor": {"canaryTrafficPercent": 25}}})
    service.wait_ready()
    assert replicas() == {first: "1/1", second: "1/1"}
    notes = "jsonpath={.metadata.annotations.pach_id}"
    pod = kubectl("-n", NAMESPACE, "get", "pods", "-l", f"app={second}", "-o", "name").strip()
    assert kubectl("-n", NAMESPACE, "get", pod, "-o", notes) == "2"

    # The daemon dies: both come back; and the one that is not needed any more goes, with all that belonged to it.
    cluster.kill()
    cluster.start()
    with kubernetes.config.new_client_from_config(config_file=cluster.ready["kubeconfig"]) as client:
        service = Service(cluster, client, "lived")
        service.wait_ready()
        service.patch({"spec": {"predictor": {"canaryTrafficPercent": None}}})
        wait_for(lambda: replicas() == {first: "0/0", second: "1/1"})
        service.annotate(pach_id="3")
        service.wait_ready()
        wait_for(lambda: replicas() == {second: "0/0", third: "1/1"})
        # Back to the one before: it starts again from its files.
        service.patch({"spec": {"predictor": {"canaryTrafficPercent": 0}}})
        wait_for(lambda: replicas() == {second: "1/1", third: "1/1"})
        # A failed one shows itself.
        service.patch({"metadata": {"annotations": {"pach_id": "4"}}, "spec": {"predictor": BROKEN}})
        wait_for(lambda: failure(service).get("exitCode") == 3)
        assert replicas()["lived-predictor-00004"] == "0/1"
        service.remove()
        wait_for(lambda: replicas() == {})


BROKEN = {
    "containers": [{"name": "kserve-container", "image": "x", "command": ["python", "-c", "raise SystemExit(3)"]}]
}
