"""What is refused of an object, by rule: names, metadata, fields of each kind, and what an update may not change."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.kubernetes.core.admission import prepare_change, prepare_new
from pdk_stack.kubernetes.core.validation.rules import errors_on_create, errors_on_update
from pdk_stack.kubernetes.core.validation.syntax import (
    config_key,
    dns_1035_label,
    dns_label,
    dns_subdomain,
    env_name,
    label_value,
    path_segment,
    port_name,
    prefix_of,
    qualified_name,
)
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import (
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)

NAME = {"name": "a"}
GROUP = "rbac.authorization.k8s.io"
ROLE = {"apiGroup": GROUP, "kind": "Role", "name": "r"}
RULE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ObjectStore]:
    found = ObjectStore(tmp_path / "objects.sqlite")
    for name in ("lab", "default"):
        found.create(NAMESPACES, None, {"metadata": {"name": name}})
    yield found
    found.close()


def make(store: ObjectStore, kind: Kind, namespace: str = "lab", **obj: Any) -> dict[str, Any]:
    """Create an object as the API does."""
    given = copy.deepcopy({"metadata": NAME, **obj})
    new = prepare_new(store, kind, given, namespace if kind.namespaced else None)
    return store.create(kind, namespace, new)


def test_what_an_older_version_stored_without_its_defaults_can_be_changed(store: ObjectStore) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "embedded",
    }
    older = store.create(PERSISTENT_VOLUME_CLAIMS, "lab", {"metadata": {"name": "older"}, "spec": spec})
    new = {**older, "metadata": {**older["metadata"], "labels": {"a": "b"}}}
    changed = prepare_change(store, PERSISTENT_VOLUME_CLAIMS, copy.deepcopy(new), older)
    assert (changed["spec"]["volumeMode"], "volumeMode" in older["spec"]) == ("Filesystem", False)


def refusal(store: ObjectStore, kind: Kind, **obj: Any) -> list[str]:
    """Return the field and the start of the reason of everything that is wrong with an object."""
    with pytest.raises(StatusError) as caught:
        make(store, kind, **obj)
    assert caught.value.http_status == 422, caught.value.message
    assert caught.value.details is not None
    return [f"{cause['field']}: {cause['message']}" for cause in caught.value.details["causes"]]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (dns_label, ["a", "a-1", "1a", "a" * 63], ["", "A", "a.b", "-a", "a-", "a_b", "a" * 64, "ä"]),
        (dns_subdomain, ["a", "a.b", "1.2", "a" * 253], ["", "A", ".a", "a.", "a..b", "a/b", "a:b", "a" * 254]),
        (dns_1035_label, ["a", "a-1"], ["1a", "", "a.b", "-a", "a" * 64]),
        (path_segment, ["a", "A:b", "ä", "a b"], [".", "..", "a/b", "a%b"]),
        (qualified_name, ["a", "a.b/c", "A_b.c-d"], ["", "/a", "a/", "a/b/c", "A/b", "a b", "-a", "a" * 64]),
        (label_value, ["", "a", "A_b.c"], ["a b", "-a", "a-", "a" * 64, "ä"]),
        (config_key, ["a", "A.b_c-d", ".a"], ["", "a b", ".", "..", "..a", "a" * 254]),
        (env_name, ["a", "A_B.c-d", "-a"], ["", "1a", "a=b", "a b", ".."]),
        (port_name, ["http", "a1", "1a"], ["", "a" * 16, "1", "a--b", "-a", "A"]),
        (prefix_of(dns_label), ["a-", "a"], ["AB-", "-"]),
        (prefix_of(path_segment), [".", "A:"], ["a/"]),
    ],
)
def test_the_syntax_of_texts(rule: Any, good: list[str], bad: list[str]) -> None:
    assert [each for each in good if rule(each)] == []
    assert [each for each in bad if not rule(each)] == []


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (NAMESPACES, "a-1", "a.b"),
        (CONFIG_MAPS, "a.b", "a:b"),
        (SERVICE_ACCOUNTS, "a.b", "A"),
        (SERVICES, "a-1", "1a"),
        (ROLES, "system:Role", "a/b"),
        (CLUSTER_ROLES, "system:Role", ".."),
        (EVENTS, "A:b", "a%b"),
        (PERSISTENT_VOLUMES, "a.b", "a_b"),
    ],
)
def test_each_kind_has_its_rule_for_names(kind: Kind, good: str, bad: str) -> None:
    def fields(name: str) -> set[str]:
        meta = {"name": name, **({"namespace": "lab"} if kind.namespaced else {})}
        return {each.field for each in errors_on_create(kind, {"metadata": meta})}

    assert "metadata.name" not in fields(good)
    assert "metadata.name" in fields(bad)


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "a", "labels": {"a b": ""}}, 'metadata.labels: Invalid value: "a b": name part must consist of'),
        ({"name": "a", "labels": {"a": "b c"}}, 'metadata.labels: Invalid value: "b c": a valid label must be an'),
        ({"name": "a", "annotations": {"a b": ""}}, 'metadata.annotations: Invalid value: "a b": name part must'),
        (
            {"name": "a", "annotations": {"a": "x" * (1 << 18)}},
            "metadata.annotations: Too long: must have at most",
        ),
        (
            {"name": "a", "finalizers": ["gold"]},
            'metadata.finalizers[0]: Invalid value: "gold": name is neither a standard finalizer name nor is it fully',
        ),
        (
            {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]},
            "metadata.finalizers: Invalid value: []string",
        ),
        (
            {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": ""}]},
            'metadata.ownerReferences.uid: Invalid value: "": uid must not be empty',
        ),
        (
            {
                "name": "a",
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": "u", "controller": True}
                    for name in "bc"
                ],
            },
            "metadata.ownerReferences: Invalid value: ",
        ),
        ({"name": "a", "generation": -1}, "metadata.generation: Invalid value: -1: must be greater than or equal to 0"),
    ],
)
def test_metadata_that_is_refused(store: ObjectStore, meta: dict[str, Any], told: str) -> None:
    (found,) = refusal(store, CONFIG_MAPS, metadata=meta)
    assert found.startswith(told)


def test_annotations_may_have_upper_case_domains(store: ObjectStore) -> None:
    made = make(store, CONFIG_MAPS, metadata={"name": "a", "annotations": {"Example.com/A": "x"}})
    assert made["metadata"]["annotations"] == {"Example.com/A": "x"}


PORT = {"port": 80}
PORTS = {"spec": {"ports": [PORT]}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
VOLUME = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Mi"}, "hostPath": {"path": "/tmp"}}


def container(**more: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "a", "image": "x", **more}]}}


def deployment(**more: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "a"}}, **container()}
    return {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template, **more}}


@pytest.mark.parametrize(
    ("kind", "obj", "fields"),
    [
        (CONFIG_MAPS, {"data": {"a b": ""}}, ["data[a b]: Invalid"]),
        (CONFIG_MAPS, {"data": {"a": ""}, "binaryData": {"a": ""}}, ["data[a]: Invalid"]),
        (CONFIG_MAPS, {"data": {"a": "x" * (1 << 20), "b": "y"}}, ["[]: Too long: must have at most 1048576 bytes"]),
        (SECRETS, {"data": {"a": base64.b64encode(b"x" * ((1 << 20) + 1)).decode()}}, ["data: Too long"]),
        (SECRETS, {"stringData": {"a b": "x"}}, ["data[a b]: Invalid"]),
        (SECRETS, {"type": "kubernetes.io/tls", "stringData": {"tls.crt": ""}}, ["data[tls.key]: Required"]),
        (SECRETS, {"type": "kubernetes.io/basic-auth"}, ["data[username]: Required", "data[password]: Required"]),
        (SECRETS, {"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required"]),
        (SECRETS, {"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]: Required"]),
        (
            SECRETS,
            {"type": "kubernetes.io/dockercfg", "stringData": {".dockercfg": "{"}},
            ['data[.dockercfg]: Invalid value: "<secret contents redacted>"'],
        ),
        (
            SECRETS,
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required"],
        ),
        (ROLES, {"rules": [{"apiGroups": [""], "resources": ["pods"]}]}, ["rules[0].verbs: Required"]),
        (ROLES, {"rules": [{"verbs": ["get"]}]}, ["rules[0].apiGroups: Required", "rules[0].resources: Required"]),
        (ROLES, {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}, ["rules[0].nonResourceURLs: Invalid"]),
        (CLUSTER_ROLES, {"rules": [{**RULE, "nonResourceURLs": ["/x"]}]}, ["rules[0].nonResourceURLs: Invalid"]),
        (CLUSTER_ROLES, {"aggregationRule": {}}, ["aggregationRule.clusterRoleSelectors: Required"]),
        (ROLE_BINDINGS, {}, ['roleRef.kind: Unsupported value: ""', "roleRef.name: Required"]),
        (ROLE_BINDINGS, {"roleRef": ROLE, "subjects": [{"kind": "Gold", "name": "x"}]}, ["subjects[0].kind: Unsup"]),
        (
            CLUSTER_ROLE_BINDINGS,
            {"roleRef": {**ROLE, "kind": "ClusterRole"}, "subjects": [{"kind": "ServiceAccount", "name": "x"}]},
            ["subjects[0].namespace: Required"],
        ),
        (CLUSTER_ROLE_BINDINGS, {"roleRef": ROLE}, ['roleRef.kind: Unsupported value: "Role"']),
        (EVENTS, {"involvedObject": {"namespace": "default"}}, ["involvedObject.namespace: Invalid"]),
        (SERVICES, {"spec": {}}, ["spec.ports: Required"]),
        (
            SERVICES,
            {"spec": {"ports": [{"port": 0}]}},
            ["spec.ports[0].port: Invalid", "spec.ports[0].targetPort: I"],
        ),
        (SERVICES, {"spec": {"ports": [{"port": 1}, {"port": 2}]}}, ["spec.ports[0].name: R", "spec.ports[1].name: R"]),
        (
            SERVICES,
            {"spec": {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}},
            ["spec.ports[1]: Duplicate value: core.ServicePort"],
        ),
        (SERVICES, {"spec": {"ports": [{"port": 1, "protocol": "GOLD"}]}}, ["spec.ports[0].protocol: Unsupported"]),
        (SERVICES, {"spec": {"type": "Gold", "ports": [PORT]}}, ["spec.type: Unsupported"]),
        (SERVICES, {"spec": {"clusterIP": "gold", "ports": [PORT]}}, ['spec.clusterIPs[0]: Invalid value: "gold"']),
        (SERVICES, {"spec": {"clusterIP": "10.1.2.3", "ports": [PORT]}}, ["spec.clusterIPs: Invalid value"]),
        (SERVICES, {"spec": {"type": "ExternalName"}}, ["spec.externalName: Required"]),
        (
            SERVICES,
            {"spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": 5}]}},
            ["spec.ports[0].nodePort: Invalid value: 5: provided port is not in the valid range"],
        ),
        (SERVICES, {"spec": {"ports": [{"port": 1, "nodePort": 30000}]}}, ["spec.ports[0].nodePort: Forbidden"]),
        (SERVICES, {"spec": {"selector": {"a b": "c"}, "ports": [PORT]}}, ["spec.selector: Invalid"]),
        (SERVICES, {"spec": {"sessionAffinity": "Gold", "ports": [PORT]}}, ["spec.sessionAffinity: Unsupported"]),
        (PERSISTENT_VOLUME_CLAIMS, {"spec": {**CLAIM, "accessModes": []}}, ["spec.accessModes: Required"]),
        (PERSISTENT_VOLUME_CLAIMS, {"spec": {**CLAIM, "accessModes": ["Gold"]}}, ["spec.accessModes: Unsupported"]),
        (PERSISTENT_VOLUME_CLAIMS, {"spec": {"accessModes": ["ReadWriteOnce"]}}, ["spec.resources[storage]: Required"]),
        (
            PERSISTENT_VOLUME_CLAIMS,
            {"spec": {**CLAIM, "resources": {"requests": {"storage": "0"}}}},
            ["spec.resources[storage]: Invalid"],
        ),
        (PERSISTENT_VOLUMES, {"spec": {**VOLUME, "hostPath": None}}, ["spec: Required value: must specify a volume"]),
        (PERSISTENT_VOLUMES, {"spec": {**VOLUME, "nfs": {}}}, ["spec.nfs: Forbidden"]),
        (PERSISTENT_VOLUMES, {"spec": {**VOLUME, "hostPath": {"path": "/a/../b"}}}, ["spec.hostPath.path: Invalid"]),
        (PODS, {}, ["spec.containers: Required"]),
        (PODS, {"spec": {"containers": [{"name": "a"}]}}, ["spec.containers[0].image: Required"]),
        (PODS, container(name="A_b"), ["spec.containers[0].name: Invalid"]),
        (PODS, {"spec": {"containers": [{"name": "a", "image": "x"}] * 2}}, ["spec.containers[1].name: Duplicate"]),
        (PODS, container(ports=[{"containerPort": 70000}]), ["spec.containers[0].ports[0].containerPort: Invalid"]),
        (PODS, container(env=[{"name": "a=b"}]), ["spec.containers[0].env[0].name: Invalid"]),
        (
            PODS,
            container(env=[{"name": "a", "value": "b", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            PODS,
            container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        (PODS, container(imagePullPolicy="Gold"), ["spec.containers[0].imagePullPolicy: Unsupported"]),
        (
            PODS,
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        (
            PODS,
            container(resources={"requests": {"cpu": "-1"}}),
            ['spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            PODS,
            {"spec": {**container()["spec"], "volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]}},
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (PODS, {"spec": {**container()["spec"], "restartPolicy": "Gold"}}, ["spec.restartPolicy: Unsupported"]),
        (
            PODS,
            container(livenessProbe={}),
            ["spec.containers[0].livenessProbe: Required value"],
        ),
        (DEPLOYMENTS, deployment(replicas=-1), ["spec.replicas: Invalid value: -1"]),
        (
            DEPLOYMENTS,
            deployment(selector={"matchLabels": {"app": "b"}}),
            ["spec.template.metadata.labels: Invalid value: map[string]string"],
        ),
        (DEPLOYMENTS, deployment(selector={}), ["spec.selector: Invalid value: v1.LabelSelector"]),
        (
            DEPLOYMENTS,
            deployment(strategy={"type": "Recreate", "rollingUpdate": {}}),
            ["spec.strategy.rollingUpdate: Forbidden"],
        ),
        (
            DEPLOYMENTS,
            {},
            ["spec.selector: Required", "spec.template.metadata.labels: Invalid", "spec.template.spec.containers: Req"],
        ),
        (
            CUSTOM_RESOURCE_DEFINITIONS,
            {"spec": {"group": "example.com", "names": {"plural": "as", "kind": "A"}, "scope": "Gold", "versions": []}},
            ["metadata.name: Invalid", "spec.scope: Unsupported", "spec.versions: Invalid value"],
        ),
    ],
)
def test_objects_that_are_refused(store: ObjectStore, kind: Kind, obj: dict[str, Any], fields: list[str]) -> None:
    found = refusal(store, kind, **obj)
    assert len(found) == len(fields), found
    for told, wanted in zip(found, fields, strict=True):
        assert told.startswith(wanted)


@pytest.mark.parametrize(
    ("kind", "before", "after", "field"),
    [
        (CONFIG_MAPS, {"immutable": True, "data": {"a": "1"}}, {"immutable": True, "data": {"a": "2"}}, "data"),
        (CONFIG_MAPS, {"immutable": True}, {"immutable": False}, "immutable"),
        (SECRETS, {"immutable": True}, {"immutable": True, "stringData": {"a": "b"}}, "data"),
        (SECRETS, {}, {"type": "other"}, "type"),
        (ROLE_BINDINGS, {"roleRef": ROLE}, {"roleRef": {**ROLE, "name": "other"}}, "roleRef"),
        (
            SERVICES,
            {"spec": {"ports": [PORT]}},
            {"spec": {"ports": [PORT], "clusterIP": "10.43.9.9"}},
            "spec.clusterIPs[0]",
        ),
        (PERSISTENT_VOLUME_CLAIMS, {"spec": CLAIM}, {"spec": {**CLAIM, "accessModes": ["ReadOnlyMany"]}}, "spec"),
    ],
)
def test_what_an_update_may_not_change(
    store: ObjectStore, kind: Kind, before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    old = make(store, kind, **before)
    with pytest.raises(StatusError) as caught:
        prepare_change(store, kind, copy.deepcopy({"metadata": NAME, **after}), old)
    assert caught.value.details is not None
    assert {cause["field"] for cause in caught.value.details["causes"]} == {field}
    same = prepare_change(store, kind, copy.deepcopy({"metadata": {**NAME, "labels": {"a": "b"}}, **before}), old)
    assert same["metadata"]["labels"] == {"a": "b"}


def test_no_finalizer_can_be_added_to_what_is_being_deleted(store: ObjectStore) -> None:
    make(store, CONFIG_MAPS, metadata={"name": "a", "finalizers": ["example.com/f"]})
    held, gone = store.delete(CONFIG_MAPS, "lab", "a")
    assert (gone, held["metadata"]["deletionGracePeriodSeconds"]) == (False, 0)
    new = {"metadata": {**held["metadata"], "finalizers": ["example.com/f", "example.com/g"]}}
    (told,) = {str(each) for each in errors_on_update(CONFIG_MAPS, new, held)}
    assert told.startswith(
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
    )
    changed = prepare_change(store, CONFIG_MAPS, {"metadata": {**held["metadata"]}, "data": {"a": "b"}}, held)
    assert changed["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        ({"resourceVersion": "gold"}, 400),
        ({"resourceVersion": "1"}, 409),
        ({"uid": "00000000-0000-4000-8000-000000000000"}, 409),
    ],
)
def test_an_update_of_another_version_or_object_is_a_conflict(
    store: ObjectStore, meta: dict[str, str], code: int
) -> None:
    old = make(store, CONFIG_MAPS)
    with pytest.raises(StatusError) as caught:
        prepare_change(store, CONFIG_MAPS, {"metadata": {**NAME, **meta}}, old)
    assert caught.value.http_status == code


def test_the_server_sets_what_is_its_own(store: ObjectStore) -> None:
    given = {
        "name": "a",
        "uid": "x",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "x",
        "selfLink": "x",
    }
    meta = make(store, CONFIG_MAPS, metadata=given)["metadata"]
    assert meta["uid"] != "x"
    assert not meta["creationTimestamp"].startswith("2001")
    assert not {"deletionTimestamp", "selfLink"} & meta.keys()
    with pytest.raises(StatusError, match="resourceVersion should not be set") as caught:
        make(store, CONFIG_MAPS, metadata={"name": "b", "resourceVersion": "5"})
    assert caught.value.http_status == 400


def test_generated_names_have_the_letters_of_kubernetes(store: ObjectStore) -> None:
    name = make(store, CONFIG_MAPS, metadata={"generateName": "a-"})["metadata"]["name"]
    assert set(name.removeprefix("a-")) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert len(name) == len("a-") + 5


def test_a_service_gets_its_defaults_addresses_and_node_ports(store: ObjectStore) -> None:
    plain = make(store, SERVICES, metadata={"name": "a"}, spec={"selector": {"a": "b"}, "ports": [PORT]})
    assert plain["status"] == {"loadBalancer": {}}
    address = plain["spec"].pop("clusterIP")
    assert address.startswith("10.43.")
    assert plain["spec"] == {
        "selector": {"a": "b"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "clusterIPs": [address],
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "sessionAffinity": "None",
        "type": "ClusterIP",
    }
    taken = {address}
    for name, kind in (("b", "NodePort"), ("c", "LoadBalancer")):
        spec = make(store, SERVICES, metadata={"name": name}, spec={"type": kind, "ports": [PORT]})["spec"]
        assert spec["clusterIP"] not in taken
        assert 30000 <= spec["ports"][0]["nodePort"] < 32768
        taken |= {spec["clusterIP"], spec["ports"][0]["nodePort"]}
    assert len(taken) == 5
    headless = make(store, SERVICES, metadata={"name": "d"}, spec={"clusterIP": "None", "ports": [PORT]})["spec"]
    assert (headless["clusterIPs"], headless["ipFamilyPolicy"]) == (["None"], "RequireDualStack")
    outside = make(
        store, SERVICES, metadata={"name": "e"}, spec={"type": "ExternalName", "externalName": "a.example.com"}
    )
    assert outside["spec"] == {"type": "ExternalName", "externalName": "a.example.com", "sessionAffinity": "None"}


def test_an_update_keeps_the_addresses_that_it_leaves_out(store: ObjectStore) -> None:
    old = make(store, SERVICES, spec={"type": "NodePort", "ports": [PORT]})
    given = {"metadata": dict(NAME), "spec": {"type": "NodePort", "ports": [dict(PORT)]}}
    new = prepare_change(store, SERVICES, given, old)
    assert new["spec"] == old["spec"]


def test_empty_lists_and_maps_are_left_out_as_go_does(store: ObjectStore) -> None:
    made = make(store, CONFIG_MAPS, metadata={"name": "a", "labels": {}, "finalizers": []}, data={}, immutable=False)
    assert "data" not in made
    assert made["immutable"] is False
    assert not {"labels", "finalizers"} & made["metadata"].keys()
    assert make(store, ROLES, rules=[])["rules"] is None


def test_only_the_status_subresource_writes_a_status(store: ObjectStore) -> None:
    made = make(store, PERSISTENT_VOLUME_CLAIMS, spec=CLAIM, status={"phase": "Bound"})
    assert made["status"] == {"phase": "Pending"}
    changed = prepare_change(
        store, PERSISTENT_VOLUME_CLAIMS, {"metadata": dict(NAME), "spec": CLAIM, "status": {"phase": "Lost"}}, made
    )
    assert changed["status"] == {"phase": "Pending"}
