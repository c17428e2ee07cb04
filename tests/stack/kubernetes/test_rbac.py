"""Rights: what the pipelines' account may do and what not, roles that people add, questions about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import kubernetes
import pytest

from tests.stack.kubernetes.conftest import CREDENTIALS
from tests.stack.kubernetes.serving import KIND, manifest
from tests.support.processes import ServiceProcess

WORKER = "system:serviceaccount:default:pachyderm-worker"


@pytest.fixture
def worker(cluster: ServiceProcess, api: Any) -> Iterator[Any]:
    path = Path(cluster.ready["kubeconfig"]).with_name("worker-kubeconfig")
    with kubernetes.config.new_client_from_config(config_file=str(path)) as client:
        yield client


def test_the_worker_deploys_models_and_reads_why_they_fail(worker: Any) -> None:
    custom, core = kubernetes.client.CustomObjectsApi(worker), kubernetes.client.CoreV1Api(worker)
    custom.create_namespaced_custom_object(*KIND, manifest("mine", "file:///not/there"))
    custom.patch_namespaced_custom_object(*KIND, "mine", {"metadata": {"annotations": {"a": "b"}}})
    stored = custom.get_namespaced_custom_object(*KIND, "mine")
    custom.replace_namespaced_custom_object(*KIND, "mine", stored)
    assert custom.list_namespaced_custom_object(*KIND)["items"]
    core.list_namespaced_event("models")
    core.list_namespaced_pod("models")
    custom.delete_namespaced_custom_object(*KIND, "mine")


def test_pachd_keeps_secrets_with_the_workers_account(worker: Any) -> None:
    core = kubernetes.client.CoreV1Api(worker)
    core.create_namespaced_secret("default", {"metadata": {"name": "of-pachd"}, "stringData": {"k": "v"}})
    assert core.read_namespaced_secret("of-pachd", "default").data == {"k": "dg=="}
    assert "of-pachd" in [each.metadata.name for each in core.list_namespaced_secret("default").items]
    core.delete_namespaced_secret("of-pachd", "default")


@pytest.mark.parametrize(
    ("call", "arguments", "told"),
    [
        ("list_namespaced_secret", ("models",), 'cannot list resource "secrets" in API group "" in the namespace'),
        ("delete_namespaced_config_map", ("pdk-config", "default"), 'cannot delete resource "configmaps"'),
        ("create_namespace", ({"metadata": {"name": "new"}},), "at the cluster scope"),
        ("list_secret_for_all_namespaces", (), "at the cluster scope"),
    ],
)
def test_the_worker_may_do_nothing_else(worker: Any, call: str, arguments: tuple[Any, ...], told: str) -> None:
    with pytest.raises(kubernetes.client.ApiException) as caught:
        getattr(kubernetes.client.CoreV1Api(worker), call)(*arguments)
    assert caught.value.status == 403
    assert f'User \\"{WORKER}\\"' in caught.value.body
    assert told.replace('"', '\\"') in caught.value.body


def test_kubectl_asks_for_rights_and_makes_roles(api: Any, kubectl: Callable[..., str]) -> None:
    assert kubectl("auth", "can-i", "delete", "nodes").splitlines()[0] == "yes"
    can = ("auth", "can-i", "--as", "system:serviceaccount:default:reader")
    assert kubectl(*can, "get", "configmaps", code=1).splitlines()[0] == "no"
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=configmaps")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    assert kubectl(*can, "get", "configmaps").splitlines()[0] == "yes"
    assert kubectl(*can, "get", "configmaps", "-n", "models", code=1).splitlines()[0] == "no"
    kubectl("--as", "system:serviceaccount:default:reader", "get", "configmaps")
    assert "Forbidden" in kubectl("--as", "system:serviceaccount:default:reader", "get", "secrets", code=1)
    assert "configmaps" in kubectl(*can, "--list")
    assert "Role/reader" in kubectl("get", "rolebinding", "reader")
    assert WORKER in kubectl("auth", "whoami", "--as", WORKER)
    assert kubectl("auth", "can-i", "create", "isvc", "-n", "models", "--as", WORKER).splitlines()[0] == "yes"


@pytest.fixture
def as_dev(cluster: ServiceProcess, api: Any) -> Iterator[httpx.Client]:
    """A client of the user ``dev``, who is an admin of the namespace ``default``."""
    admin = {"Authorization": f"Bearer {CREDENTIALS['admin_token']}"}
    with httpx.Client(base_url=cluster.ready["kubernetes"], headers=admin, verify=False, timeout=20) as client:
        subject = {"kind": "User", "apiGroup": GROUP, "name": "dev"}
        client.post(f"{RIGHTS}/rolebindings", json=binding("dev", "admin", subject))
        client.headers["Impersonate-User"] = "dev"
        yield client


GROUP = "rbac.authorization.k8s.io"
RIGHTS = f"/apis/{GROUP}/v1/namespaces/default"


def binding(name: str, role: str, *subjects: dict[str, Any], kind: str = "ClusterRole") -> dict[str, Any]:
    reference = {"apiGroup": GROUP, "kind": kind, "name": role}
    return {"metadata": {"name": name}, "roleRef": reference, "subjects": list(subjects)}


def role(name: str, verbs: list[str], resources: list[str]) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]}


def test_an_admin_of_a_namespace_grants_what_they_have(as_dev: httpx.Client) -> None:
    assert (
        as_dev.post(f"{RIGHTS}/roles", json=role("held", ["get", "list"], ["secrets", "pods/log"])).status_code == 201
    )
    assert as_dev.post(f"{RIGHTS}/rolebindings", json=binding("held", "held", kind="Role")).status_code == 201
    assert as_dev.post(f"{RIGHTS}/rolebindings", json=binding("viewers", "view")).status_code == 201


def test_nobody_grants_more_than_they_have(as_dev: httpx.Client) -> None:
    body = role("more", ["get", "delete"], ["secrets", "nodes"])
    refused = as_dev.post(f"{RIGHTS}/roles", json=body)
    why = (
        f'roles.{GROUP} "more" is forbidden: user "dev" (groups=["system:authenticated"]) is attempting to grant RBAC '
        'permissions not currently held:\n{APIGroups:[""], Resources:["nodes"], Verbs:["get" "delete"]}'
    )
    assert (refused.status_code, refused.json()["message"]) == (403, why)
    refused = as_dev.post(f"{RIGHTS}/rolebindings", json=binding("root", "cluster-admin"))
    assert refused.status_code == 403
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}\n{NonResourceURLs:["*"]' in refused.json()["message"]
    absent = as_dev.post(f"{RIGHTS}/rolebindings", json=binding("absent", "absent"))
    assert (absent.status_code, absent.json()["message"]) == (404, f'clusterroles.{GROUP} "absent" not found')
    # Also not by a change.
    as_dev.post(f"{RIGHTS}/roles", json=role("grows", ["get"], ["pods"]))
    patch = {"rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]}
    merge = {"Content-Type": "application/merge-patch+json"}
    assert as_dev.patch(f"{RIGHTS}/roles/grows", json=patch, headers=merge).status_code == 403


def test_who_may_bind_or_escalate_grants_more(as_dev: httpx.Client, kubectl: Callable[..., str]) -> None:
    kubectl("create", "clusterrole", "grants", "--verb=bind,escalate", f"--resource=roles.{GROUP},clusterroles.{GROUP}")
    kubectl("create", "rolebinding", "grants", "--clusterrole=grants", "--user=dev")
    assert as_dev.post(f"{RIGHTS}/roles", json=role("escalated", ["get"], ["nodes"])).status_code == 201
    assert as_dev.post(f"{RIGHTS}/rolebindings", json=binding("bound", "cluster-admin")).status_code == 201
    kubectl("delete", "rolebinding", "grants")
