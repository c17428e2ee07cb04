"""Calls on objects: get, list, watch, create, update, patch, delete, pod logs."""

from __future__ import annotations

import base64
from typing import Any

from starlette.responses import Response

from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.logs import PodKeeper, pod_log
from pdk_stack.kubernetes.api.replies import list_of, reply, typed, warned
from pdk_stack.kubernetes.api.tables import table, wants_table
from pdk_stack.kubernetes.api.watches import watch
from pdk_stack.kubernetes.core.admission import admit, mutate
from pdk_stack.kubernetes.core.managed_fields import apply, track
from pdk_stack.kubernetes.core.patches import REJECTED, json_patch, merge_patch, strategic_merge_patch
from pdk_stack.kubernetes.errors import StatusError, bad_request, invalid_fields, no_resource, not_implemented
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import NAMESPACES
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry
from pdk_stack.kubernetes.store.schemas import complete
from pdk_stack.kubernetes.store.validation import Findings, check
from pdk_stack.kubernetes.store.workload_kinds import PODS

# How often a patch is retried after a conflicting write, as the real API does.
PATCH_ATTEMPTS = 5


class Resources:
    """Answers calls from the object store."""

    def __init__(self, store: ObjectStore, registry: Registry, pods: PodKeeper) -> None:
        self._store = store
        self._registry = registry
        self._pods = pods

    def handle(self, call: ResourceCall) -> Response:
        """Answer one call.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        if call.kind is PODS and call.subresource == "log" and call.method == "GET":
            return pod_log(self._store, self._pods.log, call)
        if call.subresource not in ("", "status") or (call.subresource and not call.kind.status):
            raise no_resource(f"{call.method} {call.kind.plural}/{call.subresource}")
        if call.method in ("GET", "HEAD"):
            if call.flag("watch"):
                return watch(self._store, call)
            if call.name:
                return self._object(call, self._store.get(call.kind, call.namespace, call.name))
            return self._list(call)
        if call.kind is PODS and call.method == "DELETE":
            return self._replace_pods(call)
        if call.kind.written_by:
            raise not_implemented(f"{call.verb} of {call.kind.plural}: {call.kind.written_by}")
        handlers = {"POST": self._create, "PUT": self._replace, "PATCH": self._patch, "DELETE": self._delete}
        handler = handlers.get(call.method)
        if handler is None:
            message = "the server does not allow this method on the requested resource"
            raise StatusError(405, "MethodNotAllowed", message)
        return handler(call)

    def _object(self, call: ResourceCall, obj: Object, code: int = 200) -> Response:
        if wants_table(call.accept):
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            body = table(call.kind, [obj], meta, call.query.get("includeObject", ""))
        else:
            body = typed(call.kind, obj)
        return reply(body, code)

    def _list(self, call: ResourceCall) -> Response:
        matches = call.matches()
        found, version = self._store.view(call.kind, call.namespace)
        objects = [obj for obj in found if matches(obj)]
        meta: dict[str, Any] = {"resourceVersion": str(version)}
        try:
            limit = int(call.query.get("limit") or 0)
            start = int(base64.b64decode(call.query.get("continue", "")) or 0)
        except ValueError as error:
            raise bad_request(f"limit or continue cannot be read: {error}") from error
        if limit and len(objects) > start + limit:
            meta["continue"] = base64.b64encode(str(start + limit).encode()).decode()
            meta["remainingItemCount"] = len(objects) - start - limit
        objects = objects[start : start + limit] if limit else objects[start:]
        if wants_table(call.accept):
            return reply(table(call.kind, objects, meta, call.query.get("includeObject", "")))
        return reply(list_of(call.kind, [typed(call.kind, obj) for obj in objects], **meta))

    def _create(self, call: ResourceCall) -> Response:
        obj, warnings = self._checked(call)
        if call.kind.namespaced and obj["metadata"].get("namespace") not in (None, "", call.namespace):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        admit(call.kind, obj)
        obj["metadata"].pop("managedFields", None)
        track(call.kind, None, obj, call.manager)
        return self._created(call, obj, warnings)

    def _created(self, call: ResourceCall, obj: Object, warnings: list[str]) -> Response:
        stored = self._store.create(call.kind, call.namespace, obj, dry_run=call.dry_run)
        return warned(self._object(call, stored, 201), warnings)

    def _updated(self, call: ResourceCall, obj: Object, warnings: list[str]) -> Response:
        stored = self._store.update(
            call.kind, call.namespace, call.name, obj, subresource=call.subresource, dry_run=call.dry_run
        )
        return warned(self._object(call, stored), warnings)

    def _checked(self, call: ResourceCall) -> tuple[Object, list[str]]:
        """Return the body as an object of the call's kind, and warnings; typed clients omit kind and version."""
        if not isinstance(call.body, dict):
            raise bad_request("the request has no object")
        obj = call.body
        obj.setdefault("metadata", {})
        if not call.kind.custom:
            obj.setdefault("kind", call.kind.kind)
            obj.setdefault("apiVersion", call.kind.api_version)
        if (obj.get("kind"), obj.get("apiVersion")) != (call.kind.kind, call.kind.api_version):
            raise bad_request(
                f'{call.kind.kind} in version "{call.kind.version}" cannot be handled as a {call.kind.kind}: no kind '
                f'"{obj.get("kind")}" is registered for version "{obj.get("apiVersion")}"'
            )
        return self._valid(call, obj)

    def _valid(self, call: ResourceCall, obj: Object) -> tuple[Object, list[str]]:
        """Return the object without the fields that its kind lacks.

        Raises:
            StatusError: 400 for such fields under strict validation, 422 for invalid values.
        """
        if call.kind.schema is None or call.subresource:
            return obj, []
        schema, findings = complete(call.kind.schema), Findings()
        checked = check(schema, obj, "", findings)
        if findings.wrong and not call.kind.custom:
            path, text = findings.wrong[0]
            raise bad_request(f"{call.kind.kind} in version {call.kind.version!r} cannot be handled: {path}: {text}")
        mode = call.query.get("fieldValidation", "Warn")
        told = [f'unknown field "{path}"' for path in findings.unknown]
        if told and mode == "Strict":
            raise bad_request(
                f'{call.kind.kind} in version "{call.kind.version}" cannot be handled as a {call.kind.kind}: '
                f"strict decoding error: {', '.join(told)}"
            )
        if call.kind.custom:
            mutate(self._store, call.kind, checked)
            findings = Findings()
            checked = check(schema, checked, "", findings)
            if findings.wrong:
                raise invalid_fields(*call.kind.resource, call.name or _name(obj), findings.wrong)
        return checked, told if mode == "Warn" else []

    def _replace(self, call: ResourceCall) -> Response:
        obj, warnings = self._checked(call)
        if not call.subresource:
            admit(call.kind, obj)
        self._track(call, self._store.get(call.kind, call.namespace, call.name), obj)
        return self._updated(call, obj, warnings)

    @staticmethod
    def _track(call: ResourceCall, before: Object, after: Object) -> None:
        if not call.subresource:
            after["metadata"].pop("managedFields", None)
            if call.kind.status and call.kind.custom:
                # Status that a client sends is not stored here.
                after = {**after, "status": before.get("status")} if "status" in before else after
            track(call.kind, before, after, call.manager)

    def _patch(self, call: ResourceCall) -> Response:
        if call.content_type == "application/apply-patch+yaml":
            return self._apply(call)
        named_version = isinstance(call.body, dict) and (call.body.get("metadata") or {}).get("resourceVersion")
        for attempt in range(PATCH_ATTEMPTS):
            current = self._store.get(call.kind, call.namespace, call.name)
            new = self._patched(call, current)
            if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
                raise StatusError(422, "Invalid", REJECTED)
            if not named_version:
                new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
            new, warnings = self._valid(call, new)
            if not call.subresource:
                admit(call.kind, new)
            self._track(call, current, new)
            try:
                return self._updated(call, new, warnings)
            except StatusError as error:
                if error.http_status != 409 or named_version or attempt == PATCH_ATTEMPTS - 1:
                    raise
        raise AssertionError("the loop returns or raises")

    @staticmethod
    def _patched(call: ResourceCall, current: Object) -> Any:
        if call.content_type == "application/merge-patch+json":
            return merge_patch(current, call.body)
        if call.content_type == "application/json-patch+json":
            return json_patch(current, call.body)
        if call.content_type == "application/strategic-merge-patch+json" and not call.kind.custom:
            return strategic_merge_patch(current, call.body)
        known = ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"]
        if not call.kind.custom:
            known.append("application/strategic-merge-patch+json")
        raise StatusError(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(known),
        )

    def _apply(self, call: ResourceCall) -> Response:
        """Server-side apply."""
        if not call.query.get("fieldManager"):
            raise bad_request(
                "PatchOptions.meta.k8s.io is invalid: fieldManager: Required value: is required for apply"
            )
        wanted, warnings = self._checked(call)
        wanted["metadata"]["name"] = call.name
        if wanted["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        wanted["metadata"].pop("managedFields", None)
        current = self._store.find(call.kind, call.namespace, call.name)
        if not call.kind.custom:
            # What the API fills in belongs to whoever applies. Webhooks see the whole object.
            admit(call.kind, wanted)
        new = apply(call.kind, current, wanted, call.manager, force=call.flag("force"))
        if current is None:
            return self._created(call, new, warnings)
        new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        admit(call.kind, new)
        return self._updated(call, new, warnings)

    def _delete(self, call: ResourceCall) -> Response:
        if call.name:
            if call.dry_run:
                return self._object(call, self._store.get(call.kind, call.namespace, call.name))
            policy = (call.body or {}).get("propagationPolicy") or call.query.get("propagationPolicy")
            if policy == "Orphan" or (call.body or {}).get("orphanDependents"):
                owner = self._store.get(call.kind, call.namespace, call.name)
                self._store.orphan(owner["metadata"]["uid"], self._registry.named)
            obj, gone = self._store.delete(call.kind, call.namespace, call.name, call.body)
            if call.kind is NAMESPACES and gone:
                self._empty_namespace(call.name)
            if not gone:
                return self._object(call, obj)
            details = {"name": call.name, "kind": call.kind.plural, "uid": obj["metadata"]["uid"]}
            if call.kind.group:
                details["group"] = call.kind.group
            done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
            return reply(done)
        matches = call.matches()
        found, version = self._store.select(call.kind, call.namespace)
        doomed = [obj for obj in found if matches(obj)]
        for obj in doomed:
            meta = obj["metadata"]
            self._delete_if_there(call.kind, meta.get("namespace"), meta["name"], call.body)
        return reply(list_of(call.kind, doomed, resourceVersion=str(version)))

    def _replace_pods(self, call: ResourceCall) -> Response:
        """Delete pods after their requests end, and start replacements as a ReplicaSet does."""
        if call.name:
            doomed = [self._store.get(PODS, call.namespace, call.name)]
        else:
            matches = call.matches()
            doomed = [obj for obj in self._store.select(PODS, call.namespace)[0] if matches(obj)]
        for pod in doomed if not call.dry_run else ():
            meta = pod["metadata"]
            if not self._pods.replace(meta["namespace"], meta["name"]):
                text = f"delete of pod {meta['name']}: its revision has failed, and nothing would take its place"
                raise not_implemented(text)
        if call.name:
            return self._object(call, doomed[0])
        return reply(list_of(PODS, doomed))

    def _empty_namespace(self, namespace: str) -> None:
        """Delete everything in a deleted namespace."""
        for group, plural, name in self._store.objects_in(namespace):
            if kind := self._registry.named(group, plural):
                self._delete_if_there(kind, namespace, name)

    def _delete_if_there(self, kind: Kind, namespace: str | None, name: str, options: Any = None) -> None:
        """Delete an object that its owner or controller can delete first."""
        try:
            self._store.delete(kind, namespace, name, options)
        except StatusError as error:
            if error.http_status != 404:
                raise


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name") or "")
