"""Server-side apply with owners and conflicts, strict fields, schemas, bookmarks, explain, edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import kubernetes
import pytest

from pdk_stack.kubernetes.core import managed_fields
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.schemas import INFERENCE_SERVICE, complete
from pdk_stack.kubernetes.store.validation import Findings, check
from tests.stack.kubernetes.serving import KIND, manifest
from tests.support.reference import reference_dir

Kubectl = Callable[..., str]


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data}


def test_what_a_manager_wants_no_more_is_taken_away() -> None:
    first = managed_fields.apply(CONFIG_MAPS, None, config_map(a="1", b="2"), "one", force=False)
    second = managed_fields.apply(CONFIG_MAPS, first, config_map(b="2", c="3"), "two", force=False)
    third = managed_fields.apply(CONFIG_MAPS, second, config_map(a="1"), "one", force=False)
    # b is two's as well, so that it stays.
    assert third["data"] == {"a": "1", "b": "2", "c": "3"}
    fourth = managed_fields.apply(CONFIG_MAPS, third, config_map(a="1"), "two", force=False)
    assert fourth["data"] == {"a": "1"}


def test_a_conflict_names_fields_and_owners_and_force_takes_over() -> None:
    before = config_map(a="1")
    managed_fields.track(CONFIG_MAPS, None, before, "kubectl-create")
    with pytest.raises(StatusError) as caught:
        managed_fields.apply(CONFIG_MAPS, before, config_map(a="2"), "pipeline", force=False)
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "kubectl-create" using v1: .data.a'
    taken = managed_fields.apply(CONFIG_MAPS, before, config_map(a="2"), "pipeline", force=True)
    assert taken["data"] == {"a": "2"}
    owners = {each["manager"]: each["fieldsV1"] for each in taken["metadata"]["managedFields"]}
    # The first manager keeps the map that it made, and nothing in it.
    assert owners == {"pipeline": {"f:data": {"f:a": {}}}, "kubectl-create": {"f:data": {".": {}}}}
    # The same value is no conflict: both own it.
    shared = managed_fields.apply(CONFIG_MAPS, taken, config_map(a="2"), "third", force=False)
    assert [each["manager"] for each in shared["metadata"]["managedFields"]] == [
        *("pipeline", "third", "kubectl-create"),
    ]


def test_items_of_keyed_lists_have_owners_of_their_own() -> None:
    def account(*names: str) -> dict[str, Any]:
        return {"metadata": {"name": "s"}, "secrets": [{"name": name} for name in names]}

    one = managed_fields.apply(SERVICE_ACCOUNTS, None, account("a"), "one", force=False)
    both = managed_fields.apply(SERVICE_ACCOUNTS, one, account("b"), "two", force=False)
    assert {each["name"] for each in both["secrets"]} == {"a", "b"}
    assert [
        each["name"] for each in managed_fields.apply(SERVICE_ACCOUNTS, both, account(), "one", force=False)["secrets"]
    ] == ["b"]


def test_paths_survive_their_encoding() -> None:
    paths = {("f:data", "f:a"), ("f:secrets", 'k:{"name":"x"}', "f:name")}
    assert managed_fields.decode(managed_fields.encode(paths)) == paths


def test_kubectl_applies_on_the_server(api: Any, kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl(*apply, text=json.dumps(config_map(a="1", b="1")))
    kubectl("patch", "configmap", "shared", "--type", "merge", "-p", '{"data":{"b":"2"}}')
    told = kubectl(*apply, text=json.dumps(config_map(a="1", b="1")), code=1)
    assert 'conflict with "kubectl-patch" using v1: .data.b' in told
    kubectl(*apply, "--force-conflicts", text=json.dumps(config_map(a="1", b="1")))
    kubectl(*apply, text=json.dumps(config_map(b="1")))
    assert json.loads(kubectl("get", "configmap", "shared", "-o", "jsonpath={.data}")) == {"b": "1"}
    shown = json.loads(kubectl("get", "configmap", "shared", "-o", "json", "--show-managed-fields"))
    assert shown["metadata"]["managedFields"][0]["operation"] == "Apply"


def test_unknown_and_wrong_fields_are_refused_by_name(api: Any, kubectl: Kubectl) -> None:
    service = manifest("strict", "file:///x")
    service["spec"]["predictor"]["pytorch"]["storageURI"] = "file:///y"
    told = kubectl("apply", "-f", "-", text=json.dumps(service), code=1)
    assert 'strict decoding error: unknown field "spec.predictor.pytorch.storageURI"' in told
    told = kubectl("apply", "--validate=warn", "-f", "-", text=json.dumps(service))
    assert 'Warning: unknown field "spec.predictor.pytorch.storageURI"' in told
    stored = kubectl("-n", "models", "get", "isvc", "strict", "-o", "jsonpath={.spec.predictor.model}")
    assert "storageURI" not in stored
    kubectl("-n", "models", "delete", "isvc", "strict")
    wrong = manifest("strict", "file:///x", scaleMetric="luck", logger={"mode": "some"})
    custom = kubernetes.client.CustomObjectsApi(api)
    with pytest.raises(kubernetes.client.ApiException) as caught:
        custom.create_namespaced_custom_object(*KIND, wrong)
    assert caught.value.status == 422
    causes = json.loads(caught.value.body)["details"]["causes"]
    assert [each["field"] for each in causes] == ["spec.predictor.logger.mode", "spec.predictor.scaleMetric"]
    told = kubectl("create", "-f", "-", text=json.dumps({**config_map(), "data": {"a": 1}}), code=1)
    assert "cannot unmarshal number into Go struct field ConfigMap.data of type string" in told


def test_kubectl_explains_edits_and_describes(api: Any, kubectl: Kubectl) -> None:
    assert "canaryTrafficPercent" in kubectl("explain", "isvc.spec.predictor")
    assert "s3://" in kubectl("explain", "inferenceservices.spec.predictor.model.storageUri")
    assert "metadata\t<ObjectMeta>" in kubectl("explain", "configmap")
    assert "initContainers\t<[]Container>" in kubectl("explain", "deployment.spec.template.spec")
    assert "httpGet" in kubectl("explain", "pods.spec.containers.livenessProbe", "--recursive")
    kubectl("create", "configmap", "edited", "--from-literal=a=one")
    # An editor that changes one word, as a person would.
    done = kubectl("edit", "configmap", "edited", environment={"KUBE_EDITOR": "sed -i s/one/two/"})
    assert "edited" in done
    assert json.loads(kubectl("get", "configmap", "edited", "-o", "jsonpath={.data}")) == {"a": "two"}
    assert "BinaryData" in kubectl("describe", "configmap", "edited")
    kubectl("create", "--dry-run=server", "configmap", "never")
    assert "NotFound" in kubectl("get", "configmap", "never", code=1)


def test_the_schema_says_what_the_official_one_says() -> None:
    folder = reference_dir()
    path = folder / "schemas" / "kserve" / "inferenceservice-crd-v0.13.1.json" if folder else None
    if path is None or not path.exists():
        pytest.skip("the official CustomResourceDefinition is not here")
    official = json.loads(path.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    compared = 0

    def compare(ours: dict[str, Any], theirs: dict[str, Any], where: str) -> None:
        nonlocal compared
        if ours.get("x-kubernetes-int-or-string"):
            assert theirs.get("x-kubernetes-int-or-string"), where
            return
        assert ours["type"] == theirs["type"], where
        assert ours.get("enum") == theirs.get("enum"), where
        compared += 1
        if "properties" in ours:
            assert set(ours["properties"]) == set(theirs["properties"]), where
            assert set(ours.get("required", [])) == set(theirs.get("required", [])), where
            for name, each in ours["properties"].items():
                compare(each, theirs["properties"][name], f"{where}.{name}")
        elif "items" in ours:
            compare(ours["items"], theirs["items"], f"{where}[]")
        elif "additionalProperties" in ours:
            compare(ours["additionalProperties"], theirs["additionalProperties"], f"{where}{{}}")

    for name in ("spec", "status"):
        compare(INFERENCE_SERVICE["properties"][name], official["properties"][name], name)
    assert compared > 300


def test_the_check_prunes_and_counts() -> None:
    findings = Findings()
    service = manifest("x", "y", minReplicas=True)
    service["spec"]["predictor"]["pytorch"]["resources"] = {"limits": {"cpu": 1, "memory": "1Gi"}}
    service["metadata"]["lables"] = {}
    pruned = check(complete(INFERENCE_SERVICE), service, "", findings)
    assert findings.unknown == ["metadata.lables"]
    assert [each.field for each in findings.wrong] == ["spec.predictor.minReplicas"]
    assert "lables" not in pruned["metadata"]
    assert pruned["spec"] == service["spec"]
