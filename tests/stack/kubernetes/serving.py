"""What tests of InferenceServices share: manifests, predictions, load, waiting."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

import kubernetes

from pdk_stack.kubernetes.core.inference.servers.warm_up import warm_up_body
from tests.support.processes import ServiceProcess

NAMESPACE = "models"
KIND = ("serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices")


def manifest(name: str, uri: str, annotations: dict[str, str] | None = None, **predictor: Any) -> dict[str, Any]:
    """An InferenceService of the tiny model."""
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations or {}},
        "spec": {"predictor": {"pytorch": {"storageUri": uri}, **predictor}},
    }


class Service:
    """One InferenceService under test."""

    def __init__(self, cluster: ServiceProcess, api: Any, name: str) -> None:
        self.cluster, self.name = cluster, name
        self._custom = kubernetes.client.CustomObjectsApi(api)

    def create(self, uri: str, annotations: dict[str, str] | None = None, **predictor: Any) -> None:
        self._custom.create_namespaced_custom_object(*KIND, manifest(self.name, uri, annotations, **predictor))

    def patch(self, patch: dict[str, Any]) -> None:
        self._custom.patch_namespaced_custom_object(*KIND, self.name, patch)

    def annotate(self, **notes: str) -> None:
        self.patch({"metadata": {"annotations": notes}})

    def remove(self) -> None:
        self._custom.delete_namespaced_custom_object(*KIND, self.name)

    def delete(self) -> None:
        self.remove()
        wait_for(lambda: self.predict()[0] == 404)

    def status(self) -> dict[str, Any]:
        return dict(self._custom.get_namespaced_custom_object(*KIND, self.name).get("status", {}))

    def predictor(self) -> dict[str, Any]:
        return dict(self.status()["components"]["predictor"])

    def ready(self) -> bool:
        conditions = {each["type"]: each["status"] for each in self.status().get("conditions", [])}
        return conditions.get("Ready") == "True"

    def wait_ready(self, seconds: float = 90) -> None:
        wait_for(self.ready, seconds, lambda: json.dumps(self.status())[:1500])

    def predict(self, host: str = "", path: str = "/v1/models/tiny:predict") -> tuple[int, Any, str]:
        """Status, body and revision of one prediction."""
        headers = {"Host": host or f"{self.name}.{NAMESPACE}.example.com"}
        call = urllib.request.Request(self.cluster.ready["ingress"] + path, warm_up_body(), headers)
        try:
            with urllib.request.urlopen(call, timeout=60) as answer:
                return answer.status, json.loads(answer.read()), answer.headers["X-Revision"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read()), ""


class Load:
    """Clients that ask without a pause until the block ends.

    Attributes:
        codes: How often each status code came; an exception counts by its name.
        revisions: The revisions of each client's answers, in order.
    """

    def __init__(self, service: Service, clients: int) -> None:
        self.codes: Counter[Any] = Counter()
        self.revisions: list[list[str]] = [[] for _ in range(clients)]
        self._service = service
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]

    def _run(self, number: int) -> None:
        while not self._ended.is_set():
            try:
                code, _, revision = self._service.predict()
            except OSError as error:
                code, revision = type(error).__name__, ""
            self.codes[code] += 1
            self.revisions[number].append(revision)

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()


def wait_for(condition: Callable[[], bool], seconds: float = 180, why: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition did not come true in time {why()}"
        time.sleep(0.1)
