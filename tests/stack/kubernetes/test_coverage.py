"""The generated page is current, and the kubectl commands that it names work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdk_stack.kubernetes.coverage import page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "coverage-kubernetes.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "python -m pdk_stack.kubernetes.coverage > docs/coverage-kubernetes.md"


def test_commands_that_no_other_test_runs(api: Any, kubectl: Callable[..., str]) -> None:
    assert "inferenceservices" in kubectl("api-resources")
    assert "serving.kserve.io/v1beta1" in kubectl("api-versions")
    assert "Server Version: v1.31" in kubectl("version")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "replaced"}, "data": {"a": "1"}}
    kubectl("create", "-f", "-", text=json.dumps(config))
    kubectl("replace", "-f", "-", text=json.dumps({**config, "data": {"a": "2"}}))
    assert kubectl("get", "configmap", "replaced", "-o", "jsonpath={.data.a}") == "2"
    assert "replaced" in kubectl("get", "configmaps", "--field-selector", "metadata.name=replaced")
    kubectl("annotate", "configmap", "replaced", "note=x")
    # A watch until its time is over.
    assert "replaced" in kubectl("get", "configmap", "replaced", "-w", "--request-timeout=2s")
    assert 'a: "2"' in kubectl("get", "configmap", "replaced", "-o", "yaml")
    assert '-  a: "2"' in kubectl("diff", "-f", "-", text=json.dumps({**config, "data": {"a": "3"}}), code=1)
    assert kubectl("create", "token", "default").count(".") == 2
    labelled = {**config, "metadata": {"name": "pruned", "labels": {"of": "prune"}}}
    kubectl("apply", "-f", "-", text=json.dumps(labelled))
    labelled["metadata"] = {**labelled["metadata"], "name": "kept"}
    assert "pruned" in kubectl("apply", "--prune", "-l", "of=prune", "-f", "-", text=json.dumps(labelled))
    kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps({**config, "metadata": {"name": "never"}}))


def test_what_an_object_lacks_is_refused_by_name_and_what_is_absent_is_not_found(
    api: Any, kubectl: Callable[..., str]
) -> None:
    # Through the raw API: kubectl looks for a pod first, and there is none without a model.
    assert "does not offer nodes/proxy" in kubectl("get", "--raw", "/api/v1/nodes/embedded/proxy/", code=1)
    assert 'pods "x" not found' in kubectl("get", "--raw", "/api/v1/namespaces/models/pods/x/exec", code=1)
