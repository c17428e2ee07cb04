"""Discovery and OpenAPI documents, which tell clients which kinds exist."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pdk_stack.kubernetes.core.version import VERSION
from pdk_stack.kubernetes.errors import no_resource
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.registry import Registry
from pdk_stack.kubernetes.store.schemas import complete
from pdk_stack.kubernetes.store.workload_kinds import PODS

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
STATUS_VERBS = ["get", "patch", "update"]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PATHS = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]


def group_path(group: str, version: str) -> str:
    """Return ``api/v1`` or ``apis/<group>/<version>``."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def group_list(registry: Registry) -> dict[str, Any]:
    """Answer ``GET /apis`` for clients without aggregated discovery."""
    groups = [api_group(registry, name) for name in registry.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def api_group(registry: Registry, group: str) -> dict[str, Any]:
    """Answer ``GET /apis/<group>``.

    Raises:
        StatusError: 404 when the group doesn't exist.
    """
    versions = registry.groups().get(group)
    if not versions:
        raise no_resource(f"/apis/{group}")
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": group,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def resource_list(registry: Registry, group: str, version: str) -> dict[str, Any]:
    """Answer ``GET /api/v1`` and ``GET /apis/<group>/<version>``.

    Raises:
        StatusError: 404 when the version doesn't exist.
    """
    kinds = registry.groups().get(group, {}).get(version)
    if kinds is None:
        raise no_resource(f"/{group_path(group, version)}")
    resources: list[dict[str, Any]] = []
    for kind in kinds:
        common = {"namespaced": kind.namespaced, "kind": kind.kind}
        entry = {"name": kind.plural, "singularName": kind.singular, **common, "verbs": VERBS}
        resources.append({**entry, **_other_names(kind)})
        for name, verbs in subresources(kind):
            resources.append({"name": f"{kind.plural}/{name}", "singularName": "", **common, "verbs": verbs})
    body = {"kind": "APIResourceList", "groupVersion": kinds[0].api_version, "resources": resources}
    return {**body, "apiVersion": "v1"} if group else body


def _other_names(kind: Kind) -> dict[str, list[str]]:
    found = {"shortNames": list(kind.short), "categories": list(kind.categories)}
    return {name: values for name, values in found.items() if values}


def subresources(kind: Kind) -> list[tuple[str, list[str]]]:
    """Return the names and verbs of a kind's subresources."""
    found = [("status", STATUS_VERBS)] if kind.status else []
    return [*found, ("log", ["get"])] if kind is PODS else found


def aggregated(registry: Registry, *, core: bool) -> dict[str, Any]:
    """Answer aggregated ``GET /api`` and ``GET /apis`` (``apidiscovery.k8s.io/v2``)."""
    items = []
    for group, versions in registry.groups().items():
        if (group == "") == core:
            listed = [
                {
                    "version": version,
                    "resources": [_aggregated(kind) for kind in kinds],
                    "freshness": "Current",
                }
                for version, kinds in versions.items()
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated(kind: Kind) -> dict[str, Any]:
    response_kind = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    entry: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": response_kind,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": VERBS,
        **_other_names(kind),
    }
    inner = [{"subresource": name, "responseKind": response_kind, "verbs": verbs} for name, verbs in subresources(kind)]
    return {**entry, "subresources": inner} if inner else entry


def openapi_index(registry: Registry) -> dict[str, Any]:
    """Answer ``GET /openapi/v3``; the hash lets clients cache each document."""
    paths = {}
    for group, versions in registry.groups().items():
        for version, kinds in versions.items():
            path = group_path(group, version)
            content = json.dumps([path, [(kind.kind, kind.schema) for kind in kinds]])
            digest = hashlib.sha256(content.encode()).hexdigest()[:32].upper()
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
    return {"paths": paths}


def openapi_document(registry: Registry, group: str, version: str) -> dict[str, Any]:
    """Answer ``GET /openapi/v3/<group path>``, which kubectl reads before it applies anything.

    kubectl looks for a patch operation with the kind and a ``fieldValidation`` parameter, and refuses to apply
    without one.

    Raises:
        StatusError: 404 when the version doesn't exist.
    """
    kinds = registry.groups().get(group, {}).get(version)
    if kinds is None:
        raise no_resource(f"/openapi/v3/{group_path(group, version)}")
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for kind in kinds:
        prefix = ".".join(reversed(group.split("."))) if group else "io.k8s.api.core"
        name = f"{prefix}.{version}.{kind.kind}"
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        schema = complete(kind.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
        schemas[name] = {**schema, "x-kubernetes-group-version-kind": [gvk]}
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

        def operation(action: str, gvk: Any = gvk, content: Any = content, kind: Kind = kind) -> dict[str, Any]:
            return {
                "operationId": f"{action}{kind.kind}",
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": gvk,
                "parameters": parameters if action in ("post", "put", "patch") else [],
                "responses": {"200": {"description": "OK", "content": content}},
            }

        scope = "/namespaces/{namespace}/" if kind.namespaced else "/"
        base = f"/{group_path(group, version)}{scope}{kind.plural}"
        paths[base] = {"get": operation("list"), "post": operation("post")}
        paths[base + "/{name}"] = {verb: operation(verb) for verb in ("get", "put", "patch", "delete")}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": schemas},
    }
