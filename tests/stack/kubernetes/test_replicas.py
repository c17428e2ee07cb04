"""More than one replica: shared load, deaths, scaling by hand and by load, and room on the node."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubernetes
import psutil
import pytest

from pdk_nb.arguments import key_values
from pdk_stack import seed
from pdk_stack.kubernetes.core.inference import resources
from pdk_stack.kubernetes.core.inference.failures import ModelServerError
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.workloads import Workload
from pdk_stack.kubernetes.core.inference.revisions import replica as replica_module
from pdk_stack.kubernetes.core.inference.revisions.replica_pool import ReplicaPool
from pdk_stack.kubernetes.core.inference.revisions.scaling import Bounds, Scaler, target_of, window_of
from pdk_stack.kubernetes.store.kinds import INFERENCE_SERVICES, NAMESPACES
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import DEPLOYMENTS
from tests.stack.kubernetes.serving import KIND, NAMESPACE, Service, manifest, wait_for
from tests.support.processes import ServiceProcess

Kubectl = Callable[..., str]
IN_MODELS = ("-n", NAMESPACE)
# Says who it is; a path that is a number makes it take so many seconds.
SERVER = """
import http.server, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(float(self.path[1:] or 0))
        text = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
print("serving as", os.getpid(), flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Own(Service):
    """A service whose container says its process id."""

    def begin(self, notes: dict[str, str] | None = None, requests: dict[str, str] | None = None, **more: Any) -> None:
        container: dict[str, Any] = {"name": "kserve-container", "image": "lab/own:1"}
        container |= {"command": ["python", "-c", SERVER], "resources": {"requests": requests or {}}}
        body = manifest(self.name, "", notes)
        body["spec"]["predictor"] = {"containers": [container], **more}
        self._custom.create_namespaced_custom_object(*KIND, body)

    def ask(self, seconds: float = 0) -> int:
        headers = {"Host": f"{self.name}.{NAMESPACE}.example.com"}
        call = urllib.request.Request(f"{self.cluster.ready['ingress']}/{seconds}", b"{}", headers)
        with urllib.request.urlopen(call, timeout=60) as answer:
            return int(answer.read())

    def ask_together(self, count: int, seconds: float) -> Counter[int]:
        found: Counter[int] = Counter()
        clients = [threading.Thread(target=lambda: found.update([self.ask(seconds)])) for _ in range(count)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
        return found

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        conditions = self.status().get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})


@pytest.fixture
def own(cluster: ServiceProcess, api: Any) -> Callable[[str], Own]:
    return lambda name: Own(cluster, api, name)


def pods(kubectl: Kubectl, name: str) -> dict[str, list[str]]:
    """READY, STATUS and RESTARTS of a service's pods."""
    text = kubectl(*IN_MODELS, "get", "pods", "--no-headers", "-l", f"serving.kserve.io/inferenceservice={name}")
    return {line.split()[0]: line.split()[1:4] for line in text.splitlines() if "-deployment-" in line}


def test_two_replicas_share_the_load_and_one_that_dies_is_started_again(
    own: Callable[[str], Own], kubectl: Kubectl
) -> None:
    service = own("pair")
    service.begin(minReplicas=2, maxReplicas=3)
    service.wait_ready()
    deployment = "deploy/pair-predictor-00001-deployment"
    row = kubectl(*IN_MODELS, "get", deployment, "--no-headers").split()
    assert row[1:4] == ["2/2", "2", "2"]
    assert [state for state in pods(kubectl, "pair").values()] == [["1/1", "Running", "0"]] * 2
    assert service.status()["modelStatus"]["copies"]["totalCopies"] == 2
    assert sorted(service.ask_together(4, 0.5).values()) == [2, 2]
    # Each pod has a log of its own.
    said = {kubectl(*IN_MODELS, "logs", name).split()[2] for name in pods(kubectl, "pair")}
    workers = {str(each) for each in service.ask_together(4, 0.3)}
    assert said == workers

    # One dies, with nothing under way in it: nobody notices.
    victim = int(workers.pop())
    failed: list[Exception] = []
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            try:
                service.ask()
            except OSError as error:
                failed.append(error)

    # The one that lives is asked without a pause; the least busy one next to it may be the dead one.
    os.kill(victim, signal.SIGKILL)
    clients = [threading.Thread(target=load) for _ in range(3)]
    for each in clients:
        each.start()
    wait_for(lambda: sorted(pods(kubectl, "pair").values()) == [["1/1", "Running", "0"], ["1/1", "Running", "1"]])
    ended.set()
    for each in clients:
        each.join()
    assert not failed
    assert service.ready()
    assert victim not in service.ask_together(4, 0.3)
    described = kubectl(*IN_MODELS, "describe", "pods", "-l", "app=pair-predictor-00001")
    assert "Last State:     Terminated" in described
    assert "BackOff" in described

    # Scaled by hand, without a new revision.
    kubectl(*IN_MODELS, "patch", "isvc", "pair", "--type=merge", "-p", '{"spec":{"predictor":{"minReplicas":3}}}')
    kubectl(*IN_MODELS, "rollout", "status", deployment, "--timeout=30s")
    wait_for(lambda: len(service.ask_together(6, 0.3)) == 3)
    assert service.status()["modelStatus"]["copies"]["totalCopies"] == 3
    change = '{"spec":{"predictor":{"minReplicas":1,"maxReplicas":1}}}'
    kubectl(*IN_MODELS, "patch", "isvc", "pair", "--type=merge", "-p", change)
    wait_for(lambda: len(pods(kubectl, "pair")) == 1)
    assert service.predictor()["latestCreatedRevision"] == "pair-predictor-00001"
    assert len(service.ask_together(3, 0.2)) == 1
    service.delete()
    wait_for(lambda: not pods(kubectl, "pair"))


def test_the_only_replica_dies_and_the_next_request_waits_for_it(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    service = own("single")
    service.begin()
    service.wait_ready()
    first = service.ask()
    os.kill(first, signal.SIGKILL)
    second = service.ask()
    assert second != first
    name = next(iter(pods(kubectl, "single")))
    assert str(second) in kubectl(*IN_MODELS, "logs", name)
    service.delete()


def test_a_pod_that_is_deleted_ends_its_requests_and_another_takes_its_place(
    own: Callable[[str], Own], kubectl: Kubectl
) -> None:
    service = own("replaced")
    service.begin()
    service.wait_ready()
    (first,) = pods(kubectl, "replaced")
    before = service.ask()
    slow: list[int] = []
    client = threading.Thread(target=lambda: slow.append(service.ask(1.5)))
    client.start()
    wait_for(lambda: "POST" in kubectl(*IN_MODELS, "logs", first) or client.is_alive())
    assert "deleted" in kubectl(*IN_MODELS, "delete", "pod", first)
    wait_for(lambda: list(pods(kubectl, "replaced").values()) == [["1/1", "Running", "0"]])
    client.join()
    assert slow == [before]
    assert service.ask() != before
    assert first not in pods(kubectl, "replaced")
    kubectl(*IN_MODELS, "delete", "pods", "-l", "serving.kserve.io/inferenceservice=replaced")
    wait_for(lambda: list(pods(kubectl, "replaced").values()) == [["1/1", "Running", "0"]])
    service.delete()


def test_a_namespace_goes_with_its_services(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    container = {"name": "kserve-container", "image": "lab/own:1", "command": ["python", "-c", SERVER]}
    kubectl("create", "namespace", "short")
    for name in ("one", "two", "three"):
        body = manifest(name, "")
        body["metadata"]["namespace"] = "short"
        body["spec"]["predictor"] = {"containers": [container]}
        kubectl("apply", "-f", "-", text=json.dumps(body))
    kubectl("-n", "short", "wait", "isvc", "--all", "--for=condition=Ready", "--timeout=60s")
    assert "deleted" in kubectl("delete", "namespace", "short")
    wait_for(lambda: "No resources found" in kubectl("-n", "short", "get", "isvc,pods,deploy,rs"))


def test_wrong_numbers_of_replicas_are_refused(kubectl: Kubectl, api: Any) -> None:
    body = manifest("wrong", "file:///x", minReplicas=3, maxReplicas=2)
    told = kubectl("apply", "-f", "-", text=json.dumps(body), code=1)
    assert "denied the request: MinReplicas cannot be greater than MaxReplicas." in told
    body = manifest("wrong", "file:///x", minReplicas=-1)
    assert "MinReplicas cannot be less than 0." in kubectl("apply", "-f", "-", text=json.dumps(body), code=1)


def test_load_makes_replicas_and_quiet_takes_them_away(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    service = own("elastic")
    notes = {"autoscaling.knative.dev/window": "6s"}
    service.begin(notes, minReplicas=1, maxReplicas=3, scaleTarget=2, scaleMetric="concurrency")
    service.wait_ready()
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            service.ask(0.2)

    # Four at once, at 2 x 0.7 for each: three replicas.
    clients = [threading.Thread(target=load) for _ in range(4)]
    for each in clients:
        each.start()
    wait_for(lambda: len(pods(kubectl, "elastic")) == 3, 60)
    ended.set()
    for each in clients:
        each.join()
    wait_for(lambda: len(pods(kubectl, "elastic")) == 1, 60)
    assert "goes from" in kubectl(*IN_MODELS, "describe", "isvc", "elastic")
    service.delete()


def test_what_does_not_fit_beside_the_others_waits_for_room(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    cpus = psutil.cpu_count() or 1
    first, second = own("roomy"), own("late")
    first.begin(requests={"cpu": f"{cpus * 1000 - 400}m"})
    first.wait_ready()
    second.begin(requests={"cpu": "500m", "memory": "1Mi"})
    wait_for(lambda: second.condition().get("status") == "False")
    assert second.condition()["reason"] == "RevisionFailed"
    assert "0/1 nodes are available: 1 Insufficient cpu. preemption: " in second.condition()["message"]
    assert second.status()["modelStatus"]["transitionStatus"] == "InProgress"
    name, state = next(iter(pods(kubectl, "late").items()))
    assert state == ["0/1", "Pending", "0"]
    described = kubectl(*IN_MODELS, "describe", "pod", name)
    assert "FailedScheduling" in described
    assert "waiting for a place: cpu 0.5 asked for, 0.4 of " in described
    pod = json.loads(kubectl(*IN_MODELS, "get", "pod", name, "-o", "json"))
    assert pod["status"]["conditions"][0]["reason"] == "Unschedulable"
    assert "nodeName" not in pod["spec"]
    allocated = kubectl("describe", "node", "embedded")
    assert f"{cpus * 1000 - 400}m" in allocated

    # An update of the first would need room for the old beside the new, more than the reserve.
    first.annotate(pach_id="2")
    wait_for(lambda: "waiting for a place: cpu " in first.condition().get("message", ""))
    assert "the reserve for roll-outs is in use" in first.condition()["message"]
    assert first.ask()
    # Room is made: the one that waits longest, and fits, starts by itself.
    first.delete()
    second.wait_ready(30)
    assert second.ask()
    assert next(iter(pods(kubectl, "late").values())) == ["1/1", "Running", "0"]
    second.delete()


def test_services_on_a_full_node_are_updated_one_after_the_other(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    part = f"{(psutil.cpu_count() or 1) * 250}m"
    services = [own(f"full{number}") for number in range(4)]
    for each in services:
        each.begin(requests={"cpu": part})
    for each in services:
        each.wait_ready()
    for each in services:
        each.annotate(pach_id="2")
    for each in services:
        wait_for(lambda each=each: each.ready() and each.predictor()["latestReadyRevision"].endswith("-00002"))  # type: ignore[misc]
    # All but one waited, and said so.
    events = kubectl(*IN_MODELS, "get", "events", "--field-selector", "reason=Unschedulable")
    told = [line for line in events.splitlines() if "; the reserve for roll-outs is in use (0/1 nodes" in line]
    assert len({line.split()[3] for line in told}) >= 3
    for each in services:
        each.delete()


def test_more_than_the_machine_has_is_never_scheduled(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    service = own("huge")
    service.begin(requests={"cpu": "4096", "nvidia.com/gpu": "1"})
    wait_for(lambda: service.condition().get("status") == "False")
    told = service.condition()["message"]
    assert "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient nvidia.com/gpu." in told
    assert "Preemption is not helpful" in told
    node = json.loads(kubectl("get", "node", "embedded", "-o", "json"))["status"]
    assert node["capacity"] == resources.capacity()
    assert kubectl("get", "nodes", "--no-headers").split()[:3] == ["embedded", "Ready", "control-plane"]
    assert kubectl("get", "nodes", "--no-headers").split()[4] == node["nodeInfo"]["kubeletVersion"]
    # Asked for less, it starts.
    container = {"name": "kserve-container", "image": "lab/own:1", "command": ["python", "-c", SERVER]}
    service.patch({"spec": {"predictor": {"containers": [container]}}})
    service.wait_ready(30)
    service.delete()


def test_replicas_without_room_leave_those_that_serve_alone(own: Callable[[str], Own], kubectl: Kubectl) -> None:
    cpus = psutil.cpu_count() or 1
    service = own("crowd")
    service.begin(requests={"cpu": f"{cpus * 600}m"})
    service.wait_ready()
    service.patch({"spec": {"predictor": {"minReplicas": 2}}})
    wait_for(lambda: sorted(state[1] for state in pods(kubectl, "crowd").values()) == ["Pending", "Running"])
    assert service.ready()
    assert service.ask()
    service.patch({"spec": {"predictor": {"minReplicas": 1}}})
    wait_for(lambda: [state[1] for state in pods(kubectl, "crowd").values()] == ["Running"])
    service.delete()


def test_a_node_counts_as_the_scheduler_does() -> None:
    node = Node({"cpu": "2", "memory": "4Gi"})
    assert [node.place(f"m/{number}", {"cpu": 0.1}) for number in range(20)] == [""] * 20
    told = node.place("m/x", {"cpu": 0.1, "memory": 5 * 2**30})
    assert told == (
        "waiting for a place: cpu 0.1 asked for, 0 of 2 free; memory 5120Mi asked for, 4096Mi of 4096Mi free "
        "(0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: "
        "1 Preemption is not helpful for scheduling.)"
    )
    # A pod that has its place keeps it, whatever it asks.
    assert node.place("m/0", {"cpu": 99}) == ""
    node.free("m/0")
    assert node.place("m/y", {"cpu": 0.1}) == ""
    assert node.place("m/none", {}) == ""


def test_roll_outs_take_turns_on_a_reserve() -> None:
    node = Node({"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"})
    small = {"cpu": 0.25, "memory": 2**29}
    assert [node.place(f"m/{number}", small) for number in range(8)] == [""] * 8
    # Nobody else gets a place.
    assert node.place("m/more", small).startswith("waiting for a place: cpu 0.25 asked for, 0 of 2 free (0/1 nodes")
    assert [node.place(f"m/new{number}", small, rollout=True) for number in range(2)] == [""] * 2
    for number in (2, 3):
        told = node.place(f"m/new{number}", small, rollout=True)
        assert told.startswith(
            "waiting for a place: cpu 0.25 asked for, 0 of 2 free; the reserve for roll-outs is in use (0/1 nodes"
        )
    # The old revision goes; the roll-out that came first is next, and a new service still waits.
    node.free("m/0")
    assert node.place("m/new2", {}) == ""
    assert node.place("m/new3", {}) and node.place("m/more", {})
    # Those that are no longer wanted give up their turn.
    node.free("m/new3")
    for number in range(1, 4):
        node.free(f"m/{number}")
    assert node.place("m/more", {}) == ""
    # There is no reserve of what is counted by the piece, nor for what is larger than the node and its reserve.
    assert node.place("m/gpu", {"nvidia.com/gpu": 1}) == ""
    assert "1 Insufficient nvidia.com/gpu" in node.place("m/gpu2", {"nvidia.com/gpu": 1}, rollout=True)
    assert "Preemption is not helpful" in node.place("m/huge", {"cpu": 3}, rollout=True)


def test_only_a_queue_that_stands_still_is_stuck() -> None:
    now = 0.0
    node = Node({"cpu": "1"}, lambda: now)
    assert node.place("m/first", {"cpu": 1}) == ""
    assert node.place("m/late", {"cpu": 1}) and node.place("m/huge", {"cpu": 9})
    now = 100.0
    node.free("m/first")
    assert (node.stuck("m/late"), node.stuck("m/huge")) == (0, 100)
    assert node.place("m/last", {"cpu": 1})
    now = 150.0
    assert (node.stuck("m/last"), node.stuck("m/huge")) == (50, 150)


def test_a_laptop_holds_two_services_of_the_lab_and_an_update_of_each() -> None:
    addresses = dict.fromkeys(("pachd", "determined", "kubernetes", "ingress", "s3"), "http://127.0.0.1:1")
    asked = key_values(seed.config_values(addresses, Path("/checkout"))["predictor_requests"], "predictor_requests")
    requests = {name: resources.quantity(text) for name, text in asked.items()}
    node = Node({"cpu": "2", "memory": "7Gi"})
    assert [node.place(f"models/{number}", requests) for number in range(4)] == [""] * 4


def test_a_pod_that_waits_too_long_fails_its_deployments_deadline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(replica_module, "PROGRESS_SECONDS", 0.2)
    node = Node({"cpu": "1"})
    assert node.place("models/other", {"cpu": 1}) == ""
    states: list[replica_module.PodState] = []
    server: Any = SimpleNamespace(stop=lambda: None)
    waiting = replica_module.Replica("p", server, b"", threading.Condition(), lambda one: states.append(one.state))
    waiting.start(node, "models/p", {"cpu": 1}, threading.Event())
    wait_for(lambda: bool(states) and states[-1].trouble.final, 5)
    store = ObjectStore(tmp_path / "objects.sqlite")
    store.create(NAMESPACES, None, {"metadata": {"name": NAMESPACE}})
    service = store.create(INFERENCE_SERVICES, NAMESPACE, manifest("a", ""))
    Workload(store, service, "a-predictor-00001").show([states[-1]])
    (deployment,) = store.view(DEPLOYMENTS, NAMESPACE)[0]
    progress = {each["type"]: each for each in deployment["status"]["conditions"]}["Progressing"]
    assert (progress["status"], progress["reason"]) == ("False", "ProgressDeadlineExceeded")
    # A revision that waits for it fails.
    pool = ReplicaPool(lambda _number: waiting, lambda: None)
    pool.scale(1)
    with pytest.raises(ModelServerError, match="became free within .* s: waiting for a place: cpu 1 asked for"):
        pool.wait_placed(lambda: False, lambda _why: None)
    # It waits on, and gets its place all the same.
    node.free("models/other")
    wait_for(lambda: states[-1].step == "Fetching", 5)
    waiting.stop()
    store.close()


class WorkerlessServer:
    """A model server whose process runs, with or without workers."""

    inference_port = 1
    inference_headers: dict[str, str] = {}

    def __init__(self) -> None:
        self.why = ""
        self.starts = 0

    def start(self) -> None:
        self.why = ""
        self.starts += 1

    def wait_ready(self, _timeout: float, _given_up: Callable[[], bool]) -> None:
        pass

    def warm_up(self, _body: bytes) -> None:
        pass

    def wait(self, seconds: float) -> bool:
        return threading.Event().wait(seconds)

    def lost_workers(self) -> str:
        return self.why

    def is_ready(self) -> bool:
        return not self.why

    def stop(self) -> None:
        pass


def test_a_replica_is_as_ready_as_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(replica_module, "RECHECK_SECONDS", 0.01)
    seen: list[tuple[str, bool, str]] = []

    def note(one: replica_module.Replica) -> None:
        seen.append((one.step, one.ready, one.trouble.reason))

    server: Any = WorkerlessServer()
    one, fetched = replica_module.Replica("p", server, b"", threading.Condition(), note), threading.Event()
    fetched.set()
    one.start(Node({"cpu": "1"}), "models/p", {}, fetched)
    wait_for(lambda: one.ready, 5)
    server.why = "no worker"
    wait_for(lambda: one.step == "Unhealthy", 5)
    assert not one.ready
    server.why = ""
    wait_for(lambda: one.ready, 5)
    # They don't come back: the server is started again.
    monkeypatch.setattr(replica_module, "RECOVERY_SECONDS", 0.05)
    server.why = "no worker"
    wait_for(lambda: server.starts == 2 and one.ready, 5)
    one.stop()
    assert seen[-5:] == [
        ("Ready", True, ""),
        ("Unhealthy", False, "Unhealthy"),
        ("Failed", False, "Unhealthy"),
        ("Loading", False, "Unhealthy"),
        ("Ready", True, "Unhealthy"),
    ]


def test_bounds_targets_and_windows() -> None:
    assert Bounds.of({}) == Bounds(1, psutil.cpu_count() or 1)
    assert Bounds.of({"minReplicas": 0, "maxReplicas": 3}) == Bounds(0, 3)
    assert Bounds.of({"minReplicas": 64}).most == 64
    assert [Bounds(0, 3).clip(count) for count in (0, 2, 9)] == [1, 2, 3]
    assert target_of({}) == ("concurrency", 70)
    assert target_of({"containerConcurrency": 2})[1] == pytest.approx(1.4)
    assert target_of({"containerConcurrency": 2, "scaleTarget": 10})[1] == pytest.approx(1.4)
    assert target_of({"scaleMetric": "rps", "scaleTarget": 10}) == ("rps", 7)
    assert window_of({"autoscaling.knative.dev/window": "30s"}) == 30
    assert window_of(None) == 60


def test_the_scaler_is_quick_upwards_and_slow_downwards() -> None:
    scaler = Scaler(60)
    # Ten requests under way all the time, one replica for each: it panics at once.
    assert scaler.desired(0, 0, 1, 1) == 0
    assert scaler.desired(2, 20, 1, 1) == 10
    # The load stops: it stays up for a window, then goes down by halves.
    assert scaler.desired(20, 20, 1, 10) == 10
    assert scaler.desired(70, 20, 1, 10) == 5
    assert scaler.desired(200, 20, 1, 5) == 2
    assert scaler.desired(300, 20, 1, 1) == 0
    steady = Scaler(60)
    assert [steady.desired(second, 1.5 * second, 1, 2) for second in (0, 2, 4)] == [1, 2, 2]


# Last: a restart gives the daemon another address.
def test_after_a_restart_those_that_served_have_their_places_and_the_others_wait_on(
    own: Callable[[str], Own], cluster: ServiceProcess, kubectl: Kubectl
) -> None:
    cpus = psutil.cpu_count() or 1
    # By name, the one that waits comes first.
    first, second = own("zebra"), own("ape")
    first.begin(requests={"cpu": f"{cpus * 400}m"}, minReplicas=2)
    first.wait_ready()
    second.begin(requests={"cpu": f"{cpus * 500}m"})
    wait_for(lambda: "Insufficient cpu" in second.condition().get("message", ""))
    cluster.kill()
    cluster.start()
    with kubernetes.config.new_client_from_config(config_file=cluster.ready["kubeconfig"]) as client:
        first, second = Own(cluster, client, "zebra"), Own(cluster, client, "ape")
        first.wait_ready(60)
        assert first.predictor()["latestReadyRevision"] == "zebra-predictor-00001"
        wait_for(lambda: list(pods(kubectl, "zebra").values()) == [["1/1", "Running", "0"]] * 2)
        wait_for(lambda: "Insufficient cpu" in second.condition().get("message", ""))
        first.patch({"spec": {"predictor": {"minReplicas": 1, "maxReplicas": 1}}})
        second.wait_ready(60)
        assert first.ask() != second.ask()
        first.delete()
        second.delete()
