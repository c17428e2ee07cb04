"""The generated page is current, and the kubectl commands that it names work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.test import Client

from pdk_nb.local.kubernetes.api.application import Application
from pdk_nb.local.kubernetes.coverage import page
from pdk_nb.local.kubernetes.kinds import CONFIG_MAPS, NAMESPACES
from pdk_nb.local.kubernetes.rbac import MASTERS, User
from pdk_nb.local.kubernetes.registry import Registry
from pdk_nb.local.kubernetes.store import ObjectStore

PAGE = Path(__file__).resolve().parents[3] / "docs" / "coverage-kubernetes.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "python -m pdk_nb.local.kubernetes.coverage > docs/coverage-kubernetes.md"


def test_commands_that_no_other_test_runs(api: Any, kubectl: Callable[..., str]) -> None:
    assert "inferenceservices" in kubectl("api-resources")
    assert "serving.kserve.io/v1beta1" in kubectl("api-versions")
    assert "Server Version: v1.32" in kubectl("version")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "replaced"}, "data": {"a": "1"}}
    kubectl("create", "-f", "-", text=json.dumps(config))
    kubectl("replace", "-f", "-", text=json.dumps({**config, "data": {"a": "2"}}))
    assert kubectl("get", "configmap", "replaced", "-o", "jsonpath={.data.a}") == "2"
    assert "replaced" in kubectl("get", "configmaps", "--field-selector", "metadata.name=replaced")
    kubectl("annotate", "configmap", "replaced", "note=x")
    # A watch until its time is over.
    assert "replaced" in kubectl("get", "configmap", "replaced", "-w", "--request-timeout=2s")
    assert 'a: "2"' in kubectl("get", "configmap", "replaced", "-o", "yaml")
    kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps({**config, "metadata": {"name": "never"}}))


def test_port_forward_and_exec_are_refused_by_name(api: Any, kubectl: Callable[..., str]) -> None:
    # Through the raw API: kubectl looks for the pod first, and there is none without a model.
    told = kubectl("get", "--raw", "/api/v1/namespaces/models/pods/x/exec?command=ls", code=1)
    assert "does not offer pods/exec" in told


def test_a_thousand_objects_are_listed_in_a_third_of_a_second(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "objects.sqlite")
    store.create(NAMESPACES, None, {"metadata": {"name": "many"}})
    for number in range(1000):
        store.create(CONFIG_MAPS, "many", {"metadata": {"name": f"c{number:04d}"}, "data": {"k": "v" * 100}})
    application = Application(store, Registry(), {"t": User.named("admin", (MASTERS,))}, lambda *_: None)
    headers = {"Authorization": "Bearer t", "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    times = []
    for _ in range(3):
        started = time.perf_counter()
        answer = Client(application).get("/api/v1/namespaces/many/configmaps", headers=headers)
        times.append(time.perf_counter() - started)
        assert len(answer.json["rows"]) == 1000
    store.close()
    assert min(times) < 0.3
