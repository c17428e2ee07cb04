"""Discovery and OpenAPI documents, which tell clients which kinds exist."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pdk_stack.kubernetes.api.reviews import REVIEWS
from pdk_stack.kubernetes.core.version import VERSION
from pdk_stack.kubernetes.errors import no_resource
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import NAMESPACES, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.models import Schema
from pdk_stack.kubernetes.store.registry import Registry
from pdk_stack.kubernetes.store.schemas import complete
from pdk_stack.kubernetes.store.workload_kinds import PODS

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
CUSTOM_VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
READ_VERBS = ["get", "list", "watch"]
STATUS_VERBS = ["get", "patch", "update"]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# Types that objects of all groups share.
META = "io.k8s.apimachinery.pkg.apis.meta.v1"
META_TYPES = ("LabelSelector", "LabelSelectorRequirement", "ManagedFieldsEntry", "ObjectMeta", "OwnerReference")
# Groups in the order in which clients prefer them; those of custom kinds follow.
ORDER = [
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
]

Groups = dict[str, dict[str, list[Kind]]]


def group_path(group: str, version: str) -> str:
    """Return ``api/v1`` or ``apis/<group>/<version>``."""
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _groups(registry: Registry) -> Groups:
    """Return all groups with their kinds, those of the reviews too, which have no stored kinds."""
    known = registry.groups()
    reviews: Groups = {group: {"v1": []} for group, _ in REVIEWS}
    found = reviews | known
    return {name: found[name] for name in sorted(found, key=lambda each: ORDER.index(each) if each in ORDER else 99)}


def paths(registry: Registry) -> list[str]:
    """Answer ``GET /``."""
    groups = [f"/apis/{group}" for group in _groups(registry) if group]
    versions = [f"/{group_path(group, each)}" for group, found in _groups(registry).items() for each in found]
    return sorted({"/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version", *groups, *versions})


def group_list(registry: Registry) -> dict[str, Any]:
    """Answer ``GET /apis`` for clients without aggregated discovery."""
    groups = [_group(registry, name) for name in _groups(registry) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def _group(registry: Registry, group: str) -> dict[str, Any]:
    versions = _groups(registry)[group]
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def api_group(registry: Registry, group: str) -> dict[str, Any] | None:
    """Answer ``GET /apis/<group>``; None when the group doesn't exist."""
    if not group or group not in _groups(registry):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}


def resource_list(registry: Registry, group: str, version: str) -> dict[str, Any]:
    """Answer ``GET /api/v1`` and ``GET /apis/<group>/<version>``.

    Raises:
        StatusError: 404 when the version doesn't exist.
    """
    kinds = _groups(registry).get(group, {}).get(version)
    if kinds is None:
        raise no_resource()
    resources: list[dict[str, Any]] = []
    for kind in sorted(kinds, key=lambda each: each.plural):
        common = {"namespaced": kind.namespaced, "kind": kind.kind}
        entry = {"name": kind.plural, "singularName": kind.singular, **common, "verbs": verbs(kind)}
        resources.append({**entry, **_other_names(kind)})
        for name, served, told in subresources(kind):
            own = {**common, **told}
            resources.append({"name": f"{kind.plural}/{name}", "singularName": "", **own, "verbs": served})
    for (in_group, plural), name in REVIEWS.items():
        if in_group == group:
            local = plural.startswith("local")
            shown = {"name": plural, "singularName": name.lower(), "namespaced": local, "kind": name}
            resources.append({**shown, "verbs": ["create"]})
    place = f"{group}/{version}" if group else version
    body = {"kind": "APIResourceList", "groupVersion": place, "resources": resources}
    return {**body, "apiVersion": "v1"} if group else body


def _other_names(kind: Kind) -> dict[str, list[str]]:
    found = {"shortNames": list(kind.short), "categories": list(kind.categories)}
    return {name: values for name, values in found.items() if values}


def verbs(kind: Kind) -> list[str]:
    """Return what can be done with a kind."""
    if kind.read_only:
        return READ_VERBS
    if kind is NAMESPACES:
        return [each for each in VERBS if each != "deletecollection"]
    return CUSTOM_VERBS if kind.custom else VERBS


def subresources(kind: Kind) -> list[tuple[str, list[str], dict[str, str]]]:
    """Return the names and verbs of a kind's subresources, and what else discovery says of them."""
    if kind.read_only:
        return [("status", ["get"], {})] if kind.status else []
    found: list[tuple[str, list[str], dict[str, str]]] = []
    if kind is NAMESPACES:
        found.append(("finalize", ["update"], {}))
    if kind is PODS:
        found.append(("log", ["get"], {}))
        found.append(("proxy", ["get"], {"kind": "PodProxyOptions"}))
    if kind.status:
        found.append(("status", STATUS_VERBS, {}))
    if kind is SERVICE_ACCOUNTS:
        found.append(("token", ["create"], {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}))
    return found


def aggregated(registry: Registry, *, core: bool) -> dict[str, Any]:
    """Answer aggregated ``GET /api`` and ``GET /apis`` (``apidiscovery.k8s.io/v2``)."""
    items = []
    for group, versions in _groups(registry).items():
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
        "verbs": verbs(kind),
        **_other_names(kind),
    }
    inner = [
        {"subresource": name, "responseKind": {**response_kind, **told}, "verbs": served}
        for name, served, told in subresources(kind)
    ]
    return {**entry, "subresources": inner} if inner else entry


def openapi_index(registry: Registry) -> dict[str, Any]:
    """Answer ``GET /openapi/v3``; the hash lets clients cache each document."""
    paths = {}
    for group, versions in registry.groups().items():
        for version, kinds in versions.items():
            path = group_path(group, version)
            # The schemas of Kubernetes' own kinds change only with this program's version.
            told = [(kind.kind, kind.schema if kind.custom else VERSION["gitVersion"]) for kind in kinds]
            digest = hashlib.sha256(json.dumps([path, told]).encode()).hexdigest()[:32].upper()
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
        raise no_resource()
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in ("dryRun", "fieldManager", "fieldValidation")
    ]
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for kind in kinds:
        prefix = ".".join(reversed(group.split("."))) if group else "io.k8s.api.core"
        package = f"{prefix}.{version}"
        name = f"{package}.{kind.kind}"
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        schema = complete(kind.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
        schemas[name] = {**_with_references(schema, package, schemas), "x-kubernetes-group-version-kind": [gvk]}
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


def _with_references(schema: Schema, package: str, schemas: dict[str, Schema]) -> Schema:
    """Replace the types inside a schema by references, from which ``kubectl explain`` knows their names.

    Args:
        schema: The schema.
        package: Where types belong that are no part of every object.
        schemas: The referenced types, by name; filled here.
    """
    found = dict(schema)
    if "properties" in schema:
        found["properties"] = {name: _reference(each, package, schemas) for name, each in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            found[name] = _reference(schema[name], package, schemas)
    return found


def _reference(schema: Schema, package: str, schemas: dict[str, Schema]) -> Schema:
    go_type = schema.get("x-go-type")
    if go_type is None or "properties" not in schema:
        return _with_references(schema, package, schemas)
    name = f"{META if go_type in META_TYPES else package}.{go_type}"
    if name not in schemas:
        schemas[name] = {}  # types can contain themselves
        schemas[name] = _with_references(schema, package, schemas)
        schemas[name].pop("description", None)  # it is about the field
    told = {"description": schema["description"]} if "description" in schema else {}
    return {**told, "allOf": [{"$ref": f"#/components/schemas/{name}"}], "default": {}}
