"""Kinds that people add, owners and what depends on them, finalizers over the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import kubernetes

from tests.stack.kubernetes.serving import wait_for
from tests.support.processes import ServiceProcess

Kubectl = Callable[..., str]
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["species"],
            "properties": {
                "species": {"type": "string", "enum": ["dog", "cat"]},
                "legs": {"type": "integer", "minimum": 0, "default": 4},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "pets.lab.example.com"},
    "spec": {
        "group": "lab.example.com",
        "scope": "Namespaced",
        "names": {"plural": "pets", "kind": "Pet", "shortNames": ["pt"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Species", "type": "string", "jsonPath": ".spec.species"}],
            }
        ],
    },
}


def pet(name: str, **spec: Any) -> str:
    kind = {"apiVersion": "lab.example.com/v1", "kind": "Pet", "metadata": {"name": name}}
    return json.dumps({**kind, "spec": spec})


def test_a_kind_of_ones_own(cluster: ServiceProcess, api: Any, kubectl: Kubectl) -> None:
    assert "inferenceservices.serving.kserve.io" in kubectl("get", "crds")
    kubectl("apply", "-f", "-", text=json.dumps(DEFINITION))
    kubectl("wait", "--for=condition=Established", "crd/pets.lab.example.com", "--timeout=5s")
    kubectl("apply", "-f", "-", text=pet("rex", species="dog"))
    assert kubectl("get", "pt").splitlines()[0].split() == ["NAME", "SPECIES"]
    assert kubectl("get", "pets", "rex", "-o", "jsonpath={.spec.legs}") == "4"
    assert "unknown field" in kubectl("apply", "-f", "-", text=pet("tom", species="cat", tail=1), code=1)
    assert 'supported values: "dog", "cat"' in kubectl("apply", "-f", "-", text=pet("tom", species="cow"), code=1)
    assert "Required value" in kubectl("apply", "-f", "-", text=pet("tom"), code=1)
    assert "greater than or equal to 0" in kubectl("apply", "-f", "-", text=pet("t", species="cat", legs=-1), code=1)
    kubectl("explain", "pets.spec.species")
    # A restart keeps the kind and its objects.
    cluster.kill()
    cluster.start()
    assert "rex" in kubectl("get", "pets")
    kubectl("delete", "crd", "pets.lab.example.com")
    wait_for(lambda: "pets" not in kubectl("api-resources", "--cached=false"))
    kubectl("apply", "-f", "-", text=json.dumps(DEFINITION))
    assert "No resources found" in kubectl("get", "pets")
    wrong = json.loads(json.dumps(DEFINITION))
    wrong["metadata"]["name"] = "dogs.lab.example.com"
    assert 'must be spec.names.plural+"."+spec.group' in kubectl("create", "-f", "-", text=json.dumps(wrong), code=1)


def test_what_depends_on_something_goes_with_it(cluster: ServiceProcess, kubectl: Kubectl) -> None:
    with kubernetes.config.new_client_from_config(config_file=cluster.ready["kubeconfig"]) as client:
        core = kubernetes.client.CoreV1Api(client)

        def owned(name: str, owner: Any) -> Any:
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": owner.metadata.uid}
            return core.create_namespaced_config_map(
                "default", {"metadata": {"name": name, "ownerReferences": [reference]}}
            )

        def names() -> set[str]:
            return {each.metadata.name for each in core.list_namespaced_config_map("default").items}

        top = core.create_namespaced_config_map("default", {"metadata": {"name": "top"}})
        owned("grandchild", owned("child", top))
        core.delete_namespaced_config_map("top", "default")
        wait_for(lambda: not names() & {"top", "child", "grandchild"})
        top = core.create_namespaced_config_map("default", {"metadata": {"name": "top"}})
        owned("kept", top)
        kubectl("delete", "configmap", "top", "--cascade=orphan")
        assert core.read_namespaced_config_map("kept", "default").metadata.owner_references is None


def test_a_finalizer_holds_an_object_until_it_is_taken_off(api: Any, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "held")
    kubectl("patch", "configmap", "held", "--type", "merge", "-p", '{"metadata":{"finalizers":["lab.example.com/x"]}}')
    kubectl("delete", "configmap", "held", "--wait=false")
    assert kubectl("get", "configmap", "held", "-o", "jsonpath={.metadata.deletionTimestamp}")
    kubectl("patch", "configmap", "held", "--type", "merge", "-p", '{"metadata":{"finalizers":null}}')
    assert "NotFound" in kubectl("get", "configmap", "held", code=1)
