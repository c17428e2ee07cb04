"""Requests to the Kubernetes API: objects of all kinds with confused types, by its OpenAPI documents and by examples.

InferenceServices and what runs programs is only tried (``dryRun=All``).
"""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.fuzz.asking import Asker, Case
from tests.fuzz.values import RAW, SCALARS, by_schema, confused, odd
from tests.support.processes import ServiceProcess

NAMESPACE = "fuzz"
RUNNING = {"InferenceService", "Pod", "Deployment"}
PATCHES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
CONTAINER = {"name": "c", "image": "x", "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "1"}}}
PODS = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
MODEL = {"modelFormat": {"name": "pytorch"}, "storageUri": "s3://b/k", "resources": {"requests": {"memory": "1Gi"}}}
#: Good objects; the rest of the kinds come from the schemas alone.
SPECS: dict[str, dict[str, Any]] = {
    "ConfigMap": {"data": {"a": "b"}, "binaryData": {"c": "eA=="}, "immutable": False},
    "Secret": {"stringData": {"a": "b"}, "data": {"c": "eA=="}, "type": "Opaque"},
    "Service": {"spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}},
    "Deployment": {"spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": PODS}},
    "Pod": {"spec": PODS["spec"]},
    "PersistentVolumeClaim": {
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    },
    "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    "RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "a"},
        "subjects": [{"kind": "User", "name": "a"}],
    },
    "InferenceService": {"spec": {"predictor": {"minReplicas": 1, "model": MODEL}, "transformer": None}},
}
SELECTORS = ("a=b", "a in (b)", "a in (", "!a", "=", "metadata.name=a", "spec.x=1", ",", "a notin (b,c),d")


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Asker, list[ServiceProcess]]]:
    """Start an API server with a namespace."""
    server = ServiceProcess("kubernetes", folder, {"admin_token": "fuzz-admin", "worker_token": "fuzz-worker"})
    try:
        server.start()
        config = yaml.safe_load(Path(server.ready["kubeconfig"]).read_text())
        cluster, authority = config["clusters"][0]["cluster"], folder / "authority.pem"
        if "certificate-authority-data" in cluster:
            authority.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        else:
            authority = Path(cluster["certificate-authority"])
        token = config["users"][0]["user"]["token"]
        asker = Asker(
            cluster["server"],
            {"Authorization": f"Bearer {token}"},
            server.log,
            str(authority),
            endless=lambda case: "watch" in case.target or "follow" in case.target,
            allowed="Too large resource version",
        )
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        asker.ask(Case("POST namespaces", "POST", "/api/v1/namespaces", body=namespace))
        asker.kinds, asker.documents = _described(cluster["server"], token, str(authority))
        yield asker, [server]
    finally:
        server.stop()


def _described(url: str, token: str, authority: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read all kinds from discovery, with their schemas, and the OpenAPI documents that these come from."""
    session = requests.Session()
    session.trust_env = False  # a bundle of certificates in the environment would replace the cluster's own
    session.headers["Authorization"], session.verify = f"Bearer {token}", authority
    kinds, documents = [], []
    for path in session.get(f"{url}/openapi/v3", timeout=30).json()["paths"]:
        document = session.get(f"{url}/openapi/v3/{path}", timeout=60).json()
        documents.append(document)
        schemas = document.get("components", {}).get("schemas", {})
        by_kind = {
            each["kind"]: schema
            for schema in schemas.values()
            for each in schema.get("x-kubernetes-group-version-kind", ())
        }
        for each in session.get(f"{url}/{path}", timeout=30).json()["resources"]:
            if "/" not in each["name"]:
                kinds.append({**each, "path": path, "schema": by_kind.get(each["kind"], {}), "schemas": schemas})
    return kinds, documents


def tamed(case: Case) -> Case:
    """Return a request that starts no program, changes nothing, and ends in time."""
    query = dict(case.query) if isinstance(case.query, dict) else {}
    if case.method == "GET":
        return replace(case, query={name: value for name, value in query.items() if name not in ("watch", "follow")})
    headers = dict(case.headers)
    if case.method == "PATCH":
        # The documents say that any type is taken.
        headers["Content-Type"] = PATCHES["merge"]
    return replace(case, query={**query, "dryRun": "All"}, headers=headers)


def cases(chance: random.Random, kinds: list[dict[str, Any]]) -> Iterator[Case]:
    """Yield requests without end.

    Args:
        chance: Decides.
        kinds: What :func:`_kinds` found.
    """
    well_known = [each for each in kinds if each["kind"] in SPECS]
    while True:
        kind = chance.choice(well_known if chance.random() < 0.7 else kinds)
        yield _case(chance, kind)


def _case(chance: random.Random, kind: dict[str, Any]) -> Case:
    namespace = f"/namespaces/{NAMESPACE}" if kind["namespaced"] else ""
    collection = f"/{kind['path']}{namespace}/{kind['name']}"
    name = chance.choice(("a", "b", "A_", "x" * 300, "..", "a/status", "a/log", "a/scale", "a/none"))
    query: dict[str, Any] = {"dryRun": "All"} if kind["kind"] in RUNNING else {}
    method = chance.choice(("POST", "POST", "POST", "PUT", "PATCH", "PATCH", "GET", "GET", "DELETE"))
    if method == "GET":
        query = {
            word: chance.choice((*SELECTORS, *map(str, SCALARS)))
            for word in (
                "labelSelector",
                "fieldSelector",
                "limit",
                "continue",
                "resourceVersion",
                "watch",
                "timeoutSeconds",
            )
            if chance.random() < 0.25
        }
        accept = chance.choice(("application/json", "*/*", "text/html", "application/json;as=Table;v=v1;g=meta.k8s.io"))
        path = collection if chance.random() < 0.7 else f"{collection}/{name}"
        return Case("GET object", "GET", path, query, headers={"Accept": accept})
    if chance.random() < 0.2:
        query |= {chance.choice(("fieldManager", "force", "fieldValidation", "dryRun", "pretty")): odd(chance)}
        if kind["kind"] in RUNNING:
            query |= {"dryRun": "All"}
    body = _object(chance, kind)
    headers = {}
    if method == "PATCH":
        label, content_type = chance.choice(list(PATCHES.items()))
        headers["Content-Type"] = content_type
        if label == "json":
            body = [
                {
                    "op": chance.choice(("add", "replace", "remove", "test", "move", "x")),
                    "path": chance.choice(("/data/a", "/metadata/labels", "", "/spec/ports/0/port", "/-", "a")),
                    "value": odd(chance),
                }
            ]
            body = confused(chance, body) if chance.random() < 0.5 else body
        if label == "apply":
            query |= {"fieldManager": "fuzz"}
    if method == "DELETE":
        body = confused(
            chance,
            {
                "kind": "DeleteOptions",
                "apiVersion": "v1",
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": "a"},
                "propagationPolicy": "Background",
            },
        )
    if chance.random() < 0.06:
        body = chance.choice(RAW)
    if chance.random() < 0.05:
        headers["Content-Type"] = chance.choice(
            ("text/plain", "application/yaml", "application/cbor", "x", "application/vnd.kubernetes.protobuf")
        )
    path = collection if method == "POST" else f"{collection}/{name}"
    return Case(f"{method} object", method, path, query, body, headers)


def _object(chance: random.Random, kind: dict[str, Any]) -> Any:
    version = kind["path"].removeprefix("apis/").removeprefix("api/")
    good = {
        "apiVersion": version,
        "kind": kind["kind"],
        "metadata": {
            "name": chance.choice("ab"),
            "labels": {"a": "b"},
            "annotations": {"c": "d"},
            "ownerReferences": [],
        },
    }
    if kind["kind"] in SPECS and chance.random() < 0.7:
        good |= SPECS[kind["kind"]]
    else:
        made = by_schema(chance, kind["schema"], kind["schemas"])
        good = {**(made if isinstance(made, dict) else {}), **good}
    return confused(chance, good) if chance.random() < 0.85 else good
