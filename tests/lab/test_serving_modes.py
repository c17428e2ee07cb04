"""KServe's raw and serverless modes, as services and pods of a real cluster show them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest

from pdk_nb.lessons import n06_second_arrival
from pdk_nb.names import Names
from pdk_nb.platforms import serving
from pdk_nb.platforms.cluster import Cluster
from pdk_nb.platforms.serving import installation, reasons
from pdk_nb.platforms.serving.pods import Pod, Trouble, holders, read_pod
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.platforms.serving.reasons import Tries, failure_of, fixes
from pdk_nb.platforms.serving.rollout import NoCanary
from pdk_nb.platforms.serving.spec import check_service_name
from pdk_nb.platforms.serving.status import read_status
from pdk_shared.errors import DeploymentError, PredictionError, ServiceUnreachable, UsageError

PATCH = "patch_namespaced_custom_object"
RAW = {"serving.kserve.io/deploymentMode": "RawDeployment"}
READY = [{"type": "Ready", "status": "True"}]


def service(
    version: str = "v2", *, raw: bool = False, name: str = "dog-cat", replicas: int | None = None, **status: Any
) -> dict[str, Any]:
    least = {} if replicas is None else {"minReplicas": replicas}
    notes = {
        "pach_id": version,
        **(RAW if raw else {}),
        "pdk-lab/history": json.dumps([{"version": each, "uri": f"s3://b/{each}/"} for each in ("v1", "v2")]),
    }
    return {
        "metadata": {
            "name": name,
            "namespace": "models",
            "annotations": notes,
            "resourceVersion": "7",
            "managedFields": [{"manager": "lab", "time": "2026-01-01T00:00:10Z"}],
        },
        "spec": {"predictor": {**least, "model": {"storageUri": f"s3://b/{version}/"}}},
        "status": status,
    }


def pod(version: str = "v2", *, ready: bool = True, name: str = "p", **more: Any) -> dict[str, Any]:
    """A pod: ``init`` and ``main`` are its containers' statuses, ``ends`` its end, ``revision`` Knative's label."""
    labels = {"serving.kserve.io/inferenceservice": "dog-cat"}
    if "revision" in more:
        labels["serving.knative.dev/revision"] = more["revision"]
    conditions = [{"type": "Ready", "status": str(ready)}]
    if "unschedulable" in more:
        conditions += [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": more["unschedulable"]}
        ]
    return {
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"pach_id": version},
            **({"deletionTimestamp": more["ends"]} if "ends" in more else {}),
        },
        "spec": {"containers": [{"resources": {"requests": more.get("requests", {})}}]},
        "status": {
            "conditions": conditions,
            "initContainerStatuses": [{"name": "storage-initializer", **more["init"]}] if "init" in more else [],
            "containerStatuses": [{"name": "kserve-container", **more["main"]}] if "main" in more else [],
        },
    }


class Api:
    """A cluster of one service: what it has, and the patches that it gets."""

    def __init__(self, found: dict[str, Any], *pods: dict[str, Any], events: tuple[dict[str, Any], ...] = ()) -> None:
        self.found, self.pods, self.events = found, list(pods), list(events)
        self.patches: list[dict[str, Any]] = []
        self.forbidden = False

    @property
    def cluster(self) -> Cluster:
        custom = SimpleNamespace(
            get_namespaced_custom_object=lambda *given, **named: self.found,
            patch_namespaced_custom_object=lambda *given, **named: self.patches.append(given[5]),
        )
        core = SimpleNamespace(list_namespaced_pod=self._pods, list_namespaced_event=self._events)
        return Cluster(custom, core, "models", "https://cluster")

    def _pods(self, namespace: str, **options: Any) -> Any:
        if self.forbidden:
            raise kubernetes.client.ApiException(status=403, reason="Forbidden")
        return SimpleNamespace(data=json.dumps({"items": self.pods}))

    def _events(self, namespace: str, **options: Any) -> Any:
        return SimpleNamespace(data=json.dumps({"items": self.events}))


OLD, NEW = pod("v1", name="old"), pod("v2", name="new")
ENDING = pod("v1", name="old", ends="2026-01-01T00:01:00Z")
LOADED = {"modelStatus": {"transitionStatus": "UpToDate", "states": {"targetModelState": "Loaded"}}}


@pytest.mark.parametrize(
    ("pods", "ready"),
    [
        ([NEW], True),
        ([NEW, ENDING], True),
        ([NEW, pod("v2", ready=False, name="second copy")], True),
        # During a rollout KServe writes Ready, Loaded, and UpToDate because of the old pod.
        ([OLD], False),
        ([OLD, pod("v2", ready=False, name="new")], False),
        ([OLD, NEW], False),
        ([pod("v2", ready=False)], False),
        ([ENDING], False),
        ([], False),
        (None, False),
    ],
)
def test_in_raw_mode_the_pods_tell_which_version_answers(pods: list[dict[str, Any]] | None, ready: bool) -> None:
    found = service(raw=True, conditions=READY, components={"predictor": {"latestCreatedRevision": "2"}}, **LOADED)
    status = read_status(found, None if pods is None else [read_pod(each) for each in pods])
    assert (status.mode, status.ready) == ("raw", ready)
    assert ("READY" in status.summary()) is ready


def test_a_raw_service_with_the_old_pod_is_never_reported_as_deployed() -> None:
    broken = {"state": {"waiting": {"reason": "PodInitializing"}}, "restartCount": 0}
    api = Api(service(raw=True, conditions=READY, **LOADED), OLD, pod("v2", ready=False, name="new", main=broken))
    with pytest.raises(DeploymentError, match="Not ready within") as caught:
        serving.wait_ready(api.cluster, "dog-cat", 0.0, version="v2")
    assert "0 of 1 pod of the new version ready" in str(caught.value)
    api.pods = [NEW]
    assert serving.wait_ready(api.cluster, "dog-cat", 1.0, version="v2", after="2").ready


def test_whoever_may_not_read_pods_is_told_so_in_raw_mode() -> None:
    api = Api(service(raw=True, conditions=READY))
    api.forbidden = True
    with pytest.raises(ServiceUnreachable, match="doesn't allow"):
        serving.service_status(api.cluster, "dog-cat")
    api.found = service(conditions=READY)
    assert serving.service_status(api.cluster, "dog-cat").ready


@pytest.mark.parametrize(
    ("notes", "status", "mode"),
    [
        (RAW, {}, "raw"),
        ({"serving.kserve.io/deploymentMode": "Serverless"}, {}, "serverless"),
        ({"serving.kserve.io/deploymentMode": "Standard"}, {}, "raw"),
        ({}, {"deploymentMode": "Knative"}, "serverless"),
        ({}, {"deploymentMode": "Standard"}, "raw"),
        # The annotation stays after the cluster was switched, and the service keeps its mode.
        (RAW, {"deploymentMode": "Serverless"}, "raw"),
        ({}, {}, "serverless"),
    ],
)
def test_the_mode_of_a_service(notes: dict[str, str], status: dict[str, Any], mode: str) -> None:
    assert installation.mode_of({"metadata": {"annotations": notes}, "status": status}) == mode


def test_a_canary_is_refused_at_once_in_raw_mode() -> None:
    api = Api(service(raw=True, conditions=READY), NEW)
    for call in (
        lambda: serving.canary(api.cluster, "dog-cat", "v1", 20),
        lambda: serving.set_canary(api.cluster, "dog-cat", 20),
    ):
        with pytest.raises(NoCanary, match="RawDeployment"):
            call()
    assert api.patches == []
    # Going back is the address of the version before, and no share.
    assert serving.rollback(api.cluster, "dog-cat", "v1").action == "updated"
    assert api.patches[0]["spec"] == {"predictor": {"model": {"storageUri": "s3://b/v1/"}}}


def test_notebook_06_says_what_the_cluster_cannot_do_and_goes_on() -> None:
    api = Api(service("v1", raw=True, conditions=READY), OLD)

    def patched(*given: Any, **named: Any) -> None:
        api.patches.append(given[5])
        version = given[5]["metadata"].get("annotations", {}).get("pach_id", "")
        api.found["metadata"]["annotations"]["pach_id"] = version
        api.pods = [ENDING, pod(version)]

    cluster = replace(api.cluster, custom=SimpleNamespace(**{**vars(api.cluster.custom), PATCH: patched}))
    session: Any = SimpleNamespace(settings=cluster, names=Names())
    note = n06_second_arrival.canary(session, "v2", 25, 5.0)
    assert (note.state, "RawDeployment" in note.text, "v2 gets all requests" in note.text) == ("warning", True, True)
    assert len(api.patches) == 1
    assert "canaryTrafficPercent" not in api.patches[0]["spec"]["predictor"]
    # The cells after it.
    assert n06_second_arrival.traffic_table(session).rows[0][:2] == ["v2", "100%"]
    assert n06_second_arrival.promote(session).state == "ready"
    assert len(api.patches) == 1


def test_shares_in_raw_mode_are_all_or_nothing() -> None:
    api = Api(service(raw=True, conditions=READY), NEW)
    assert [(each.version, each.percent) for each in serving.traffic(api.cluster, "dog-cat")] == [("v2", 100)]
    assert serving.promote(api.cluster, "dog-cat").action == "unchanged"
    assert serving.wait_share(api.cluster, "dog-cat", timeout=0).ready
    api.pods = [OLD]
    assert serving.traffic(api.cluster, "dog-cat") == []
    with pytest.raises(DeploymentError, match="can't be promoted"):
        serving.promote(api.cluster, "dog-cat")


def test_a_name_leaves_room_for_the_canarys_route() -> None:
    assert len(f"prev-{'d' * 48}-predictor") == 63
    assert check_service_name("d" * 48)
    with pytest.raises(UsageError, match="48"):
        check_service_name("d" * 49)
    api = Api(service(name="d" * 50))
    with pytest.raises(NoCanary, match="50 letters"):
        serving.canary(api.cluster, "d" * 50, "v1", 20)


REVISIONS = {"components": {"predictor": {"latestCreatedRevision": "x-2", "latestReadyRevision": "x-2"}}}
# KServe never takes back the number of copies: it is that of the time when the model was loaded.
COPIES = {"copies": {"failedCopies": 0, "totalCopies": 1}}
ASLEEP = {"modelStatus": {**COPIES, "transitionStatus": "InProgress", "states": {"targetModelState": "Pending"}}}


@pytest.mark.parametrize(
    ("status", "ready", "asleep"),
    [
        ({"conditions": READY, **REVISIONS, **ASLEEP}, True, True),
        ({"conditions": READY, **REVISIONS, "modelStatus": {**LOADED["modelStatus"], **COPIES}}, True, True),
        ({"conditions": READY, **ASLEEP}, False, False),
        (
            {
                "conditions": READY,
                "components": {"predictor": {"latestCreatedRevision": "x-3", "latestReadyRevision": "x-2"}},
                **ASLEEP,
            },
            False,
            False,
        ),
    ],
)
def test_a_service_without_pods_sleeps_and_is_ready(status: dict[str, Any], ready: bool, asleep: bool) -> None:
    found = read_status(service(replicas=0, **status), [read_pod(ENDING)])
    assert (found.ready, found.asleep) == (ready, asleep)
    # KServe keeps one pod of every other service: it is on its way.
    for replicas in (None, 1):
        stays = read_status(service(replicas=replicas, **status), [read_pod(ENDING)])
        assert not stays.asleep
        assert not stays.may_sleep
    # KServe's status comes late: with a pod, it only hasn't noticed yet that the model is loaded.
    awake = read_status(service(replicas=0, **status), [read_pod(NEW)])
    assert awake.may_sleep
    assert not awake.asleep
    assert awake.ready is (ready and status["modelStatus"]["transitionStatus"] == "UpToDate")


def test_a_request_knows_that_its_service_sleeps() -> None:
    asleep = service(replicas=0, conditions=READY, url="http://dog-cat.models.example.com", **REVISIONS, **ASLEEP)
    asleep["metadata"]["annotations"]["pdk-lab/model"] = "dogs-and-cats"
    api = Api(asleep)
    target = serving.endpoint(replace(api.cluster, ingress="127.0.0.1:80"), "dog-cat")
    assert (target.may_sleep, target.asleep) == (True, True)
    # Who may not see pods knows at least that it may sleep.
    asleep["status"] |= LOADED
    api.forbidden = True
    target = serving.endpoint(replace(api.cluster, ingress="127.0.0.1:80"), "dog-cat")
    assert (target.may_sleep, target.asleep) == (True, False)
    asleep["spec"]["predictor"].pop("minReplicas")
    assert not serving.endpoint(replace(api.cluster, ingress="127.0.0.1:80"), "dog-cat").may_sleep


BACKOFF = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}}
LAST = {"lastState": {"terminated": {"exitCode": 1, "reason": "Error", "message": "no such key"}}}


@pytest.mark.parametrize(
    ("container", "reason", "failures"),
    [
        ({"state": {"running": {}}, "ready": True, "restartCount": 3, **LAST}, "", 0),
        ({"state": {"waiting": {"reason": "PodInitializing"}}}, "", 0),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "", 0),
        ({"state": {"terminated": {"exitCode": 0}}, "restartCount": 1, "ready": True, **LAST}, "", 0),
        ({"state": {"terminated": {"exitCode": 3, "reason": "Error"}}, "restartCount": 0}, "Error", 1),
        ({**BACKOFF, **LAST, "restartCount": 1}, "CrashLoopBackOff", 2),
        ({"state": {"running": {}}, "restartCount": 1, **LAST}, "restarted after Error", 1),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}, "ErrImagePull", 0),
    ],
)
def test_why_a_container_does_not_run(container: dict[str, Any], reason: str, failures: int) -> None:
    troubles = read_pod(pod(ready=False, main=container)).troubles
    assert [(each.reason, each.failures) for each in troubles] == ([(reason, failures)] if reason else [])


def test_a_traceback_is_shown_by_its_last_line() -> None:
    # As the storage initializer of KServe 0.13 leaves it: the start is cut off.
    words = (
        '^^^^\n  File "/usr/lib/python3/auth.py", line 433, in add_auth\n    raise X()\nbotocore.X: no credentials\n'
    )
    ended = {"state": {"terminated": {"exitCode": 1, "reason": "Error", "message": words}}}
    (trouble,) = read_pod(pod(ready=False, init=ended)).troubles
    assert trouble.message == "botocore.X: no credentials"


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def crashing(restarts: int) -> dict[str, Any]:
    return {**BACKOFF, **LAST, "restartCount": restarts}


BLOCKED = {"modelStatus": {"transitionStatus": "BlockedByFailedLoad"}}


@pytest.mark.parametrize(
    ("more", "status", "before", "kind", "ends_the_wait"),
    [
        ({"main": waiting("ImagePullBackOff", "manifest unknown")}, {}, 0, "image", True),
        ({"main": waiting("ErrImagePull")}, {}, 0, "image", True),
        ({"main": waiting("InvalidImageName")}, {}, 0, "image", True),
        # The model of a job that is about to end appears a moment later.
        ({"init": crashing(0)}, {}, 0, "model", False),
        ({"init": crashing(1)}, {}, 1, "model", False),
        ({"init": crashing(1)}, BLOCKED, 1, "model", False),
        ({"init": crashing(1)}, {}, 0, "model", True),
        ({"main": crashing(0)}, {}, 0, "crash", False),
        ({"main": crashing(0)}, BLOCKED, 0, "crash", True),
        ({"main": crashing(1)}, {}, 0, "crash", True),
        ({"unschedulable": "0/1 nodes are available: 1 Insufficient cpu."}, {}, 0, "room", False),
        ({"main": waiting("CreateContainerConfigError", 'secret "x" not found')}, {}, 0, "starting", True),
        # KServe still speaks of the first try, and the second one runs.
        ({"main": {"state": {"running": {}}}}, BLOCKED, 0, "", False),
        ({"main": waiting("PodInitializing")}, BLOCKED, 0, "", False),
    ],
)
def test_what_ends_a_wait(
    more: dict[str, Any], status: dict[str, Any], before: int, kind: str, ends_the_wait: bool
) -> None:
    shown = pod(ready=False, **more)
    found = service(**status)
    api = Api(found, shown)
    tries = Tries()
    tries.see([])
    for trouble in read_pod(shown).troubles:
        tries.before[(trouble.pod, trouble.container)] = before
    failure = failure_of(api.cluster, found, read_status(found, [read_pod(shown)]), tries)
    assert (failure.kind if failure else "") == kind
    assert (failure is not None and failure.hold_s is not None) is ends_the_wait
    assert fixes(api.cluster, "dog-cat", failure)


def test_a_back_off_is_told_with_what_the_registry_said() -> None:
    found, tries = service(), Tries()
    tries.see([read_pod(pod(ready=False, main=waiting("ErrImagePull", "manifest unknown")))])
    later = read_pod(pod(ready=False, main=waiting("ImagePullBackOff", "Back-off pulling image")))
    failure = failure_of(Api(found).cluster, found, read_status(found, [later]), tries)
    assert failure is not None and failure.text.endswith("ImagePullBackOff: manifest unknown")


def test_a_revision_that_knative_calls_failed_may_be_the_old_ones() -> None:
    components = {"predictor": {"latestCreatedRevision": "x-1"}}
    message = (
        'Revision "x-1" failed with message: There is an existing Deployment "x-1-deployment" that we do not own..'
    )
    condition = {"type": "PredictorReady", "status": "False", "reason": "RevisionFailed", "message": message}
    found = service(conditions=[condition], components=components)
    failure = failure_of(Api(found).cluster, found, read_status(found, []), Tries())
    assert failure is not None and failure.hold_s == reasons.REVISION_HOLD_S > 10
    blocked = service(conditions=[condition], components=components, **BLOCKED)
    failure = failure_of(Api(blocked).cluster, blocked, read_status(blocked, []), Tries())
    assert failure is not None and failure.hold_s == reasons.SETTLE_S


def test_pods_of_the_version_before_do_not_end_a_wait() -> None:
    found = service()
    shown = [read_pod(pod("v1", ready=False, main=waiting("ImagePullBackOff")))]
    assert failure_of(Api(found).cluster, found, read_status(found, shown), Tries()) is None


@pytest.mark.parametrize(("time", "told"), [("2026-01-01T00:00:12Z", True), ("2025-12-31T23:59:00Z", False)])
def test_a_field_that_knative_refuses_is_told_by_an_event_of_the_last_change(time: str, told: bool) -> None:
    message = "validation failed: must not set the field(s): spec.template.spec.tolerations"
    api = Api(service(), events=({"reason": "InternalError", "message": message, "lastTimestamp": time},))
    failure = failure_of(api.cluster, api.found, read_status(api.found, []), Tries())
    assert (failure is not None) is told
    if failure:
        assert "kubernetes.podspec-tolerations" in fixes(api.cluster, "dog-cat", failure)


def test_an_image_that_cannot_be_pulled_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "PULL_HOLD_S", 0.0)
    api = Api(service(), pod(ready=False, main=waiting("ImagePullBackOff", "manifest unknown")))
    with pytest.raises(DeploymentError, match="manifest unknown") as caught:
        serving.wait_ready(api.cluster, "dog-cat", 60, version="v2", interval=0.01)
    assert "describe pod p" in caught.value.fix


def test_a_new_revision_that_fails_leaves_the_one_before_it_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reasons, "PULL_HOLD_S", 0.0)
    components = {"predictor": {"latestCreatedRevision": "x-2", "latestReadyRevision": "x-1"}}
    failing = pod(ready=False, revision="x-2", main=waiting("ErrImagePull", "manifest unknown"))
    api = Api(service(conditions=READY, components=components), pod("v1", name="old", revision="x-1"), failing)
    with pytest.raises(DeploymentError, match="manifest unknown"):
        serving.wait_ready(api.cluster, "dog-cat", 60, version="v2", after="x-1", interval=0.01)
    # Before KServe has made a revision of the change, everything is still about the one before.
    components["predictor"]["latestCreatedRevision"] = "x-1"
    api.pods = [pod(ready=False, revision="x-1", main=waiting("ErrImagePull", "manifest unknown"))]
    with pytest.raises(DeploymentError, match="Not ready within 0 s"):
        serving.wait_ready(api.cluster, "dog-cat", 0.0, version="v2", after="x-1")


def test_who_holds_the_place() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    pods = [
        read_pod(pod("v2", ready=False, name="new", unschedulable="0/1 nodes", requests={"cpu": "2"})),
        read_pod(pod("v1", name="old", requests={"cpu": "2", "memory": "4Gi"})),
        read_pod(pod("v0", name="older", ends="2026-01-01T00:01:00Z", requests={"cpu": "1"})),
    ]
    assert holders(pods, "dog-cat", now) == [
        "pod older is ending and holds cpu 1 for at most 60 s more",
        "pod old (the version before) holds cpu 2, memory 4Gi",
    ]
    api = Api(service(), pod(ready=False, unschedulable="0/1 nodes are available: 1 Insufficient cpu."))
    api.pods.append(pod("v0", name="older", ends="2026-01-01T00:01:00Z", requests={"cpu": "1"}))
    with pytest.raises(DeploymentError, match="Insufficient cpu") as caught:
        serving.wait_ready(api.cluster, "dog-cat", 0.0, version="v2")
    assert "pod older is ending" in str(caught.value)
    assert "predictor_requests" in caught.value.fix


@pytest.mark.parametrize(
    ("message", "failed"),
    [
        ('Revision "x-2" failed with message: Container failed with: handler broken', True),
        # Knative takes that back as soon as there is room.
        ('Revision "x-2" failed with message: 0/1 nodes are available: 1 Insufficient cpu.', False),
        ('Revision "x-1" failed with message: Container failed with: handler broken', False),
    ],
)
def test_a_revision_that_knative_has_given_up(message: str, failed: bool) -> None:
    condition = {
        "type": "PredictorConfigurationReady",
        "status": "False",
        "reason": "RevisionFailed",
        "message": message,
    }
    components = {"predictor": {"latestCreatedRevision": "x-2"}}
    assert read_status(service(conditions=[condition], components=components)).revision_failed is failed


@pytest.mark.parametrize(
    ("features", "mode", "refused"),
    [
        ({}, "Serverless", True),
        ({"kubernetes.podspec-tolerations": "disabled"}, "Serverless", True),
        ({"kubernetes.podspec-tolerations": "enabled"}, "Serverless", False),
        ({}, "RawDeployment", False),
        # The pipelines' account may not read it.
        (None, "Serverless", False),
    ],
)
def test_tolerations_are_asked_for_before_kserve(features: dict[str, str] | None, mode: str, refused: bool) -> None:
    created: list[Any] = []

    def read(name: str, namespace: str, **options: Any) -> Any:
        if (name, namespace) == ("inferenceservice-config", "kserve"):
            return SimpleNamespace(data={"deploy": json.dumps({"defaultDeploymentMode": mode})})
        if (name, namespace) == ("config-features", "knative-serving") and features is not None:
            return SimpleNamespace(data={"_example": "...", **features})
        raise kubernetes.client.ApiException(status=403)

    def absent(*given: Any, **named: Any) -> Any:
        raise kubernetes.client.ApiException(status=404)

    custom = SimpleNamespace(
        get_namespaced_custom_object=absent,
        create_namespaced_custom_object=lambda *given, **named: created.append(given[4]),
    )
    cluster = Cluster(custom, SimpleNamespace(read_namespaced_config_map=read), "models", "https://cluster")
    wanted = serving.Deployment(
        name="dog-cat", storage_uri="s3://b/v1/", model="m", version="v1", tolerations=({"key": "gpu"},)
    )
    if refused:
        with pytest.raises(DeploymentError, match="refuses tolerations") as caught:
            serving.apply(cluster, wanted)
        assert "config-features" in caught.value.fix
        assert created == []
    else:
        assert serving.apply(cluster, wanted).action == "created"


def test_a_request_does_not_hold_its_pod_for_minutes() -> None:
    made = serving.manifest(serving.Deployment("dog-cat", "s3://b/v1/", "m", "v1"), "models")
    # Knative makes it the grace period of the pod, too.
    assert made["spec"]["predictor"]["timeout"] == 60


def test_a_host_inside_the_cluster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    answer = requests.Response()
    answer.status_code, answer._content = 404, b""
    monkeypatch.setattr(requests, "post", lambda *given, **named: answer)
    for host, word in (("x.models.svc.cluster.local", "config-domain"), ("x.models.example.com", "Host header")):
        with pytest.raises(PredictionError, match="404") as caught:
            serving.predict(Endpoint("x", "127.0.0.1:80", host, "m"), images=[{"data": "AA=="}])
        assert word in caught.value.fix


def test_a_trouble_is_one_line() -> None:
    assert str(Trouble("p", "c", "Error", "no key")) == "pod p, c: Error: no key"
    assert Pod("p").troubles == ()
