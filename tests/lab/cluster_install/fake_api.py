"""A Kubernetes API in memory: any kind of object, by the rules that the installer relies on.

It answers as the real one does to get, list with selectors, create, server-side apply, merge patches, and delete. A
Deployment or StatefulSet is ready at once, unless a test says otherwise.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

# kind: (API version, plural, namespaced)
KINDS = {
    "Namespace": ("v1", "namespaces", False),
    "Node": ("v1", "nodes", False),
    "ConfigMap": ("v1", "configmaps", True),
    "Secret": ("v1", "secrets", True),
    "Service": ("v1", "services", True),
    "ServiceAccount": ("v1", "serviceaccounts", True),
    "Pod": ("v1", "pods", True),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims", True),
    "ReplicationController": ("v1", "replicationcontrollers", True),
    "Deployment": ("apps/v1", "deployments", True),
    "StatefulSet": ("apps/v1", "statefulsets", True),
    "DaemonSet": ("apps/v1", "daemonsets", True),
    "IngressClass": ("networking.k8s.io/v1", "ingressclasses", False),
    "Ingress": ("networking.k8s.io/v1", "ingresses", True),
    "StorageClass": ("storage.k8s.io/v1", "storageclasses", False),
    "Role": ("rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "InferenceService": ("serving.kserve.io/v1beta1", "inferenceservices", True),
}
MIB = 1024**2


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key) or {}, value) if isinstance(value, dict) else value
    return merged


class FakeApi:
    """One cluster.

    Attributes:
        objects: All objects, by kind, namespace, and name.
        version: Its Kubernetes version.
        admin: Whether its user may do everything.
        sick: Workloads that never become ready, by name, with the reason of their pod.
        writes: Requests that changed something, as ``METHOD path``.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.version, self.admin = "v1.31.14", True
        self.sick: dict[str, tuple[str, str]] = {}
        self.writes: list[str] = []
        #: Called before each answer: what other programs did to the cluster.
        self.before_answer: Callable[[], None] = lambda: None
        self._clock = 0
        self._lock = threading.RLock()
        self.put({"kind": "Namespace", "metadata": {"name": "default"}})
        self.put({"kind": "StorageClass", "metadata": {"name": "standard", "annotations": {
            "storageclass.kubernetes.io/is-default-class": "true"}}})  # fmt: skip
        self.node("node1", 16 * 1024 * MIB)

    def node(self, name: str, memory: int) -> None:
        """Add a node."""
        self.put({"kind": "Node", "metadata": {"name": name}, "spec": {}, "status": {
            "allocatable": {"memory": str(memory), "cpu": "4"}}})  # fmt: skip

    def put(self, thing: dict[str, Any]) -> dict[str, Any]:
        """Create or replace an object, as its controllers would fill it in."""
        with self._lock:
            kind, meta = thing["kind"], thing["metadata"]
            version, _, namespaced = KINDS[kind]
            key = (kind, meta.get("namespace", "default") if namespaced else "", meta["name"])
            kept = copy.deepcopy({"apiVersion": version, **thing})
            if namespaced:
                kept["metadata"]["namespace"] = key[1]
            if kind == "Secret":
                import base64

                plain = kept.pop("stringData", {})
                kept["data"] = {**(kept.get("data") or {}), **{
                    name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}}  # fmt: skip
            old = self.objects.get(key)
            kept["metadata"].pop("resourceVersion", None)
            before = copy.deepcopy(old)
            if before:
                before["metadata"].pop("resourceVersion", None)
            if before == kept and old is not None:
                return old
            self._clock += 1
            kept["metadata"]["resourceVersion"] = str(self._clock)
            self.objects[key] = kept
            return kept

    def seen(self, key: tuple[str, str, str]) -> dict[str, Any]:
        """An object as it is read: workloads with their status."""
        thing = copy.deepcopy(self.objects[key])
        if key[0] in ("Deployment", "StatefulSet"):
            sick = key[2] in self.sick
            count = thing.get("spec", {}).get("replicas", 1)
            done = 0 if sick else count
            thing["metadata"].setdefault("generation", 1)
            thing["status"] = {"observedGeneration": 1, "updatedReplicas": count, "replicas": count,
                               "readyReplicas": done, "availableReplicas": done}  # fmt: skip
        return thing

    def found(self, kind: str, namespace: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Objects of a kind, by selectors."""
        if kind == "Pod" and self.sick:
            reason, message = next(iter(self.sick.values()))
            waiting = [{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]
            return [{"metadata": {"name": f"{next(iter(self.sick))}-0", "namespace": namespace},
                     "status": {"containerStatuses": waiting}}]  # fmt: skip
        result = []
        for key in sorted(self.objects):
            if key[0] != kind or (namespace and key[1] != namespace):
                continue
            thing = self.seen(key)
            labels = thing["metadata"].get("labels") or {}
            wanted = [part.split("=") for part in query.get("labelSelector", [""])[0].split(",") if part]
            named = [part.split("=")[1] for part in query.get("fieldSelector", [""])[0].split(",") if part]
            if all(labels.get(name) == value for name, value in wanted) and all(key[2] == name for name in named):
                result.append(thing)
        return result

    def names(self, kind: str) -> list[str]:
        """Names of the objects of a kind."""
        return [name for each, _, name in sorted(self.objects) if each == kind]


class _Handler(BaseHTTPRequestHandler):
    wbufsize = -1  # one packet for each answer: otherwise, the second waits for the acknowledgement of the first
    api: FakeApi

    def log_message(self, *arguments: object) -> None:
        """Nothing: the test's output is for the test."""

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, {"kind": "Status", "status": "Failure", "message": message, "code": status})

    def _handle(self) -> None:
        address = urlsplit(self.path)
        query, parts = parse_qs(address.query), [unquote(each) for each in address.path.strip("/").split("/")]
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        api = self.api
        with api._lock:
            api.before_answer()
        if address.path == "/version":
            return self._answer(200, {"gitVersion": api.version})
        if parts[-1] == "selfsubjectaccessreviews":
            return self._answer(201, {"status": {"allowed": api.admin}})
        version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        known = {plural: (kind, scoped) for kind, (at, plural, scoped) in KINDS.items() if at == version}
        if not rest:
            if not known:
                return self._refuse(404, "the server could not find the requested resource")
            resources = [
                {"name": plural, "kind": kind, "namespaced": scoped} for plural, (kind, scoped) in known.items()
            ]
            return self._answer(200, {"kind": "APIResourceList", "resources": resources})
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        if rest[0] not in known:
            return self._refuse(404, "the server could not find the requested resource")
        kind, scoped = known[rest[0]]
        name = rest[1] if len(rest) > 1 else ""
        with api._lock:
            self._object(kind, namespace if scoped else "", name, query, body)

    def _object(self, kind: str, namespace: str, name: str, query: dict[str, list[str]], body: dict[str, Any]) -> None:
        api, key = self.api, (kind, namespace, name)
        there = key in api.objects
        if self.command == "GET":
            if not name:
                return self._answer(200, {"kind": f"{kind}List", "items": api.found(kind, namespace, query)})
            return self._answer(200, api.seen(key)) if there else self._refuse(404, f'{kind} "{name}" not found')
        api.writes.append(f"{self.command} {self.path.split('?')[0]}")
        if self.command == "DELETE":
            if not there:
                return self._refuse(404, f'{kind} "{name}" not found')
            del api.objects[key]
            if kind == "Namespace":
                for each in [each for each in api.objects if each[1] == name]:
                    del api.objects[each]
            return self._answer(200, {"kind": "Status", "status": "Success"})
        if self.command == "POST":
            made = {**body, "kind": kind, "metadata": {**body["metadata"], "namespace": namespace}}
            if (kind, namespace, body["metadata"]["name"]) in api.objects:
                return self._refuse(409, "already exists")
            return self._answer(201, api.put(made))
        if not there and "apply-patch" not in self.headers["Content-Type"]:
            return self._refuse(404, f'{kind} "{name}" not found')
        old = {each: value for each, value in (api.objects.get(key) or {}).items()}
        meta = {"name": name, **({"namespace": namespace} if namespace else {})}
        merged = _merge(old, {**body, "kind": kind, "metadata": {**body.get("metadata", {}), **meta}})
        self._answer(200, api.put(merged))

    do_GET = do_POST = do_PATCH = do_DELETE = _handle


@contextmanager
def serving(api: FakeApi) -> Iterator[str]:
    """Serve a cluster on the loopback address.

    Yields:
        Its address.
    """
    handler = type("Handler", (_Handler,), {"api": api, "protocol_version": "HTTP/1.1"})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
