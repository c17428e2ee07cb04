"""Rolling updates under load, updates that supersede one another, canaries, rolling back, scale to zero."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes
import pytest

from tests.stack.kubernetes.serving import Load, Service, wait_for
from tests.support.processes import ServiceProcess

pytestmark = pytest.mark.slow


def revision(name: str, number: int) -> str:
    return f"{name}-predictor-{number:05d}"


def test_five_updates_under_sixteen_clients_lose_nothing(cluster: ServiceProcess, api: Any, tiny_model: Path) -> None:
    service = Service(cluster, api, "rolled")
    service.create(tiny_model.as_uri(), {"pach_id": "0"})
    service.wait_ready()
    with Load(service, 16) as load:
        for number in range(1, 6):
            service.annotate(pach_id=str(number))
            assert not service.ready()
            service.wait_ready(180)
        time.sleep(1)
    assert set(load.codes) == {200}, load.codes
    for seen in load.revisions:
        # Each client sees the revisions in order: once the new one answers, the old one never does again.
        assert seen == sorted(seen)
        assert (seen[0], seen[-1]) == (revision("rolled", 1), revision("rolled", 6))
    assert service.predictor()["previousRolledoutRevision"] == revision("rolled", 5)
    service.delete()


def test_thirty_two_clients_get_no_503(cluster: ServiceProcess, api: Any, tiny_model: Path) -> None:
    service = Service(cluster, api, "busy")
    service.create(tiny_model.as_uri())
    service.wait_ready()
    with Load(service, 32) as load:
        time.sleep(5)
    assert set(load.codes) == {200}, load.codes
    service.delete()


def test_rapid_updates_supersede_one_another(
    cluster: ServiceProcess, api: Any, tiny_model: Path, kubectl: Callable[..., str]
) -> None:
    service = Service(cluster, api, "rapid")
    service.create(tiny_model.as_uri(), {"pach_id": "0"})
    service.wait_ready()
    for number in range(1, 6):
        service.annotate(pach_id=str(number))
        time.sleep(0.7)
    service.wait_ready(180)
    serving = service.predict()[2]
    assert service.predictor()["latestReadyRevision"] == service.predictor()["latestCreatedRevision"] == serving
    # Those in between were given up while they loaded.
    assert service.predictor()["previousRolledoutRevision"] == revision("rapid", 1)
    assert "RevisionSuperseded" in kubectl("-n", "models", "get", "events")
    # Back to what is serving while another one loads: nothing has to be loaded at all.
    service.annotate(pach_id="9")
    wait_for(lambda: not service.ready())
    service.annotate(pach_id="5")
    service.wait_ready(5)
    assert service.predict()[2] == serving
    # Deleted while a revision loads: nothing is left.
    service.annotate(pach_id="10")
    service.delete()
    wait_for(lambda: "rapid" not in kubectl("-n", "models", "get", "pods"))


def test_a_canary_is_promoted_and_rolled_back(
    cluster: ServiceProcess, api: Any, tiny_model: Path, kubectl: Callable[..., str]
) -> None:
    service = Service(cluster, api, "canary")
    service.create(tiny_model.as_uri(), {"pach_id": "1"})
    service.wait_ready()

    def traffic() -> list[tuple[str, int, str]]:
        found = service.predictor()["traffic"]
        return [(each["revisionName"], each["percent"], each.get("tag", "")) for each in found]

    first, second = revision("canary", 1), revision("canary", 2)
    service.patch({"metadata": {"annotations": {"pach_id": "2"}}, "spec": {"predictor": {"canaryTrafficPercent": 20}}})
    service.wait_ready()
    assert traffic() == [(second, 20, ""), (first, 80, "prev")]
    row = kubectl("-n", "models", "get", "isvc", "canary").splitlines()[1].split()
    assert row[2:7] == ["True", "80", "20", first, second]
    seen = [service.predict()[2] for _ in range(20)]
    assert (seen.count(second), seen.count(first)) == (4, 16)
    assert service.predict("prev-canary-predictor.models.example.com")[2] == first
    assert service.predictor()["latestRolledoutRevision"] == first

    # More traffic is no new revision, and nothing is lost meanwhile.
    with Load(service, 4) as load:
        service.patch({"spec": {"predictor": {"canaryTrafficPercent": 60}}})
        wait_for(lambda: traffic() == [(second, 60, ""), (first, 40, "prev")])
        # Promoted by taking the field away.
        service.patch({"spec": {"predictor": {"canaryTrafficPercent": None}}})
        wait_for(lambda: traffic() == [(second, 100, "")])
        assert service.predictor()["previousRolledoutRevision"] == first
        assert service.predictor()["latestRolledoutRevision"] == second
        # And back, as KServe's guide does it: the previous revision starts again from its files.
        service.patch({"spec": {"predictor": {"canaryTrafficPercent": 0}}})
        wait_for(lambda: traffic() == [(second, 0, ""), (first, 100, "prev")])
        time.sleep(0.5)
    assert set(load.codes) == {200}, load.codes
    assert {service.predict()[2] for _ in range(5)} == {first}

    # The daemon dies: both revisions are served as before.
    cluster.kill()
    cluster.start()
    service = Service(cluster, _client(cluster), "canary")
    service.wait_ready()
    assert {service.predict()[2] for _ in range(5)} == {first}
    service.patch({"spec": {"predictor": {"canaryTrafficPercent": 100}}})
    wait_for(lambda: service.predict()[2] == second)
    service.delete()


def _client(cluster: ServiceProcess) -> Any:
    """A client of the daemon that runs now: a restart may have changed its address."""
    return kubernetes.config.new_client_from_config(config_file=cluster.ready["kubeconfig"])


def test_without_requests_it_scales_to_zero_and_the_first_request_brings_it_back(
    cluster: ServiceProcess, tiny_model: Path, kubectl: Callable[..., str]
) -> None:
    service = Service(cluster, _client(cluster), "sleepy")
    notes = {"autoscaling.knative.dev/scale-to-zero-pod-retention-period": "2s"}
    service.create(tiny_model.as_uri(), notes, minReplicas=0)
    service.wait_ready()
    wait_for(lambda: "sleepy" not in kubectl("-n", "models", "get", "pods"))
    assert service.ready()
    answers: list[int] = []
    clients = [threading.Thread(target=lambda: answers.append(service.predict()[0])) for _ in range(4)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    assert answers == [200] * 4
    pods = json.loads(kubectl("-n", "models", "get", "pods", "-o", "json"))["items"]
    assert any(each["metadata"]["name"].startswith("sleepy") for each in pods)
    service.delete()
