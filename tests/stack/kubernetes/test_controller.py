"""What nobody foresaw in the controller: it becomes a condition with a reason, and the controller backs off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.kubernetes.core.inference import webhook
from pdk_stack.kubernetes.core.inference.reconciler import backoff
from pdk_stack.kubernetes.core.inference.reconciler.controller import InferenceController
from pdk_stack.kubernetes.core.inference.reconciler.serving import Serving
from pdk_stack.kubernetes.core.inference.revisions.knative import knative_problem
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision
from pdk_stack.kubernetes.core.volumes import Volumes
from pdk_stack.kubernetes.store.kinds import EVENTS, INFERENCE_SERVICES, NAMESPACES
from pdk_stack.kubernetes.store.objects import ObjectStore
from tests.stack.kubernetes.serving import NAMESPACE, manifest, wait_for


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    """The objects of a cluster whose controller runs."""
    found = ObjectStore(tmp_path / "objects.sqlite")
    found.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    controller = InferenceController(found, Volumes(found, tmp_path / "volumes"), tmp_path / "services")
    controller.start()
    yield found
    controller.stop()
    found.close()


def create(store: ObjectStore, name: str = "cat", **predictor: Any) -> None:
    service = manifest(name, "file:///x", **predictor)
    webhook.default(service)
    store.create(INFERENCE_SERVICES, NAMESPACE, service)


def ready(store: ObjectStore) -> dict[str, Any]:
    status = store.get(INFERENCE_SERVICES, NAMESPACE, "cat").get("status") or {}
    return next((each for each in status.get("conditions") or [] if each["type"] == "Ready"), {})


def told(store: ObjectStore) -> list[str]:
    return [f"{each['reason']}: {each['message']}" for each in store.select(EVENTS, NAMESPACE)[0]]


def raising(calls: list[int]) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        calls.append(1)
        raise RuntimeError("nobody foresaw this")

    return fail


def test_an_error_while_a_revision_comes_up_fails_the_revision_once(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(Revision, "check", raising(calls))
    create(store)
    wait_for(lambda: ready(store).get("status") == "False", 10)
    assert ready(store)["reason"] == "RevisionFailed"
    assert "InternalError: RuntimeError: nobody foresaw this" in ready(store)["message"]
    status = store.get(INFERENCE_SERVICES, NAMESPACE, "cat")["status"]
    assert status["components"]["predictor"]["latestCreatedRevision"] == "cat-predictor-00001"
    assert len(calls) == 1


def test_an_error_in_the_controller_is_a_condition_and_tried_again_after_a_pause(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_SECONDS", 300.0)
    calls: list[int] = []
    monkeypatch.setattr(Serving, "resume", raising(calls))
    create(store)
    wait_for(lambda: ready(store).get("reason") == "InternalError", 10)
    assert ready(store)["message"] == "RuntimeError: nobody foresaw this (the next try is in 300 s)"
    assert "InternalError: RuntimeError: nobody foresaw this" in told(store)
    assert len(calls) == 1
    # A change of the service ends the pause.
    service = store.get(INFERENCE_SERVICES, NAMESPACE, "cat")
    service["metadata"]["annotations"] = {"pach_id": "2"}
    store.update(INFERENCE_SERVICES, NAMESPACE, "cat", service)
    wait_for(lambda: any(each.startswith("RevisionCreated") for each in told(store)), 10)


def test_the_pause_doubles_until_it_is_long() -> None:
    pauses = backoff.BackOff()
    assert [pauses.failed() for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert 299 < pauses.left <= 300
    pauses.succeeded()
    assert pauses.failed() == 1


@pytest.mark.parametrize(
    ("name", "predictor", "told"),
    [
        ("c" * 53, {}, ""),
        ("c" * 54, {}, "not a DNS 1035 label: [must be no more than 63 characters]: metadata.name"),
        ("c", {"timeout": 600, "containerConcurrency": 1000, "canaryTrafficPercent": 100}, ""),
        ("c", {"timeout": 601}, "expected 0 <= 601 <= 600: spec.template.spec.timeoutSeconds"),
        ("c", {"timeout": -1}, "expected 0 <= -1 <= 600: spec.template.spec.timeoutSeconds"),
        ("c", {"containerConcurrency": 1001}, "expected 0 <= 1001 <= 1000: spec.template.spec.containerConcurrency"),
        ("c", {"canaryTrafficPercent": 150}, "expected 0 <= 150 <= 100: spec.traffic[0].percent"),
        ("c", {"canaryTrafficPercent": -5}, "expected 0 <= -5 <= 100: spec.traffic[0].percent"),
    ],
)
def test_what_knative_refuses(name: str, predictor: dict[str, Any], told: str) -> None:
    service = {"metadata": {"name": name}, "spec": {"predictor": predictor}}
    refusal = 'admission webhook "validation.webhook.serving.knative.dev" denied the request: validation failed: '
    assert knative_problem(service) == (f"{refusal}{told}" if told else "")


def test_a_service_that_knative_refuses_says_so(store: ObjectStore) -> None:
    create(store, timeout=601)
    wait_for(lambda: ready(store).get("status") == "False", 10)
    assert "expected 0 <= 601 <= 600" in ready(store)["message"]
    status = store.get(INFERENCE_SERVICES, NAMESPACE, "cat")["status"]
    assert status["modelStatus"]["transitionStatus"] == "InvalidSpec"
