"""Calls on objects: get, list, watch, create, update, patch, delete, pod logs."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from pdk_nb.local.kubernetes.admission import admit
from pdk_nb.local.kubernetes.api.tables import table, wants_table
from pdk_nb.local.kubernetes.errors import ApiError, bad_request, invalid_fields, no_resource, not_implemented
from pdk_nb.local.kubernetes.fields import apply, track
from pdk_nb.local.kubernetes.kinds import NAMESPACES, PODS, Kind, Object, Registry
from pdk_nb.local.kubernetes.patches import json_patch, merge_patch, strategic_merge_patch
from pdk_nb.local.kubernetes.schemas import Findings, check, complete
from pdk_nb.local.kubernetes.selectors import Predicate, field_selector, label_selector
from pdk_nb.local.kubernetes.store import ObjectStore

# The real API's default for watches without a limit is 30 to 60 minutes.
WATCH_SECONDS = 1800.0
# White space between events is ignored by clients and tells us when one has gone.
HEARTBEAT_SECONDS = 10.0
# How often a patch is computed again when somebody else was quicker, as the real API does.
PATCH_ATTEMPTS = 5


@dataclass(frozen=True)
class ResourceCall:
    """One call on a resource, taken apart.

    Attributes:
        name: Object name; empty for the collection.
        subresource: ``status``, ``log`` or empty.
    """

    method: str
    kind: Kind
    namespace: str | None
    name: str
    subresource: str
    query: dict[str, str]
    body: Any
    accept: str
    content_type: str
    user_agent: str = ""

    @property
    def manager(self) -> str:
        """Who writes, for ``managedFields``: the field manager, else the program's name."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0] or "unknown"

    def flag(self, name: str) -> bool:
        """A boolean query parameter; apimachinery takes only ``0`` and ``false`` as false."""
        return name in self.query and self.query[name].lower() not in ("0", "false")

    @property
    def verb(self) -> str:
        """The verb that roles name."""
        if self.method in ("GET", "HEAD"):
            return "watch" if self.flag("watch") else "get" if self.name else "list"
        if self.method == "DELETE":
            return "delete" if self.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(self.method, self.method.lower())

    @property
    def dry_run(self) -> bool:
        """Whether nothing shall be stored."""
        return self.query.get("dryRun") == "All"

    def matches(self) -> Predicate:
        """Both selectors of the call."""
        labels = label_selector(self.query.get("labelSelector", ""))
        fields = field_selector(self.query.get("fieldSelector", ""), self.kind)
        return lambda obj: labels(obj) and fields(obj)


class Resources:
    """Answers calls from the object store."""

    def __init__(self, store: ObjectStore, registry: Registry, pod_logs: Callable[[str, str], bytes]) -> None:
        self._store = store
        self._registry = registry
        self._pod_logs = pod_logs

    def handle(self, call: ResourceCall) -> Response:
        """Answer one call.

        Raises:
            ApiError: As the Kubernetes API would.
        """
        if call.kind is PODS and call.subresource == "log" and call.method == "GET":
            return self._log(call)
        if call.subresource not in ("", "status") or (call.subresource and not call.kind.status):
            raise no_resource(f"{call.method} {call.kind.plural}/{call.subresource}")
        if call.method in ("GET", "HEAD"):
            if call.flag("watch"):
                return self._watch(call)
            if call.name:
                return self._object(call, self._store.get(call.kind, call.namespace, call.name))
            return self._list(call)
        handlers = {"POST": self._create, "PUT": self._replace, "PATCH": self._patch, "DELETE": self._delete}
        handler = handlers.get(call.method)
        if handler is None:
            message = "the server does not allow this method on the requested resource"
            raise ApiError(405, "MethodNotAllowed", message)
        return handler(call)

    def _object(self, call: ResourceCall, obj: Object, code: int = 200) -> Response:
        if wants_table(call.accept):
            meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            body = table(call.kind, [obj], meta, call.query.get("includeObject", ""))
        else:
            body = _typed(call.kind, obj)
        return _json(body, code)

    def _list(self, call: ResourceCall) -> Response:
        matches = call.matches()
        found, version = self._store.select(call.kind, call.namespace)
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
            return _json(table(call.kind, objects, meta, call.query.get("includeObject", "")))
        items = [_typed(call.kind, obj) for obj in objects]
        return _json(
            {
                "kind": f"{call.kind.kind}List",
                "apiVersion": call.kind.api_version,
                "metadata": meta,
                "items": items,
            }
        )

    def _create(self, call: ResourceCall) -> Response:
        if call.kind is PODS:
            raise not_implemented("pods that people create: it runs no containers, only pipelines and model servers")
        obj, warnings = self._checked(call)
        if call.kind.namespaced and obj["metadata"].get("namespace") not in (None, "", call.namespace):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        admit(call.kind, obj)
        obj["metadata"].pop("managedFields", None)
        track(call.kind, None, obj, call.manager)
        stored = self._store.create(call.kind, call.namespace, obj, dry_run=call.dry_run)
        return _warned(self._object(call, stored, 201), warnings)

    def _checked(self, call: ResourceCall) -> tuple[Object, list[str]]:
        """The body as an object of the call's kind, and warnings; typed clients leave kind and version out."""
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

    @staticmethod
    def _valid(call: ResourceCall, obj: Object) -> tuple[Object, list[str]]:
        """The object without fields that its kind does not have.

        Raises:
            ApiError: 400 for such fields when the client wants to know, 422 for values that do not fit.
        """
        if call.kind.schema is None or call.subresource:
            return obj, []
        findings = Findings()
        checked = check(complete(call.kind.schema), obj, "", findings)
        if findings.wrong:
            if call.kind.custom:
                raise invalid_fields(call.kind.group, call.kind.plural, call.name or _name(obj), findings.wrong)
            path, text = findings.wrong[0]
            raise bad_request(f"{call.kind.kind} in version {call.kind.version!r} cannot be handled: {path}: {text}")
        mode = call.query.get("fieldValidation", "Warn")
        told = [f'unknown field "{path}"' for path in findings.unknown]
        if told and mode == "Strict":
            raise bad_request(
                f'{call.kind.kind} in version "{call.kind.version}" cannot be handled as a {call.kind.kind}: '
                f"strict decoding error: {', '.join(told)}"
            )
        return checked, told if mode == "Warn" else []

    def _replace(self, call: ResourceCall) -> Response:
        obj, warnings = self._checked(call)
        if not call.subresource:
            admit(call.kind, obj)
        self._track(call, self._store.get(call.kind, call.namespace, call.name), obj)
        stored = self._store.update(
            call.kind, call.namespace, call.name, obj, subresource=call.subresource, dry_run=call.dry_run
        )
        return _warned(self._object(call, stored), warnings)

    @staticmethod
    def _track(call: ResourceCall, before: Object, after: Object) -> None:
        if not call.subresource:
            after["metadata"].pop("managedFields", None)
            if call.kind.status and call.kind.custom:
                # What a client sends as status is not stored here.
                after = {**after, "status": before.get("status")} if "status" in before else after
            track(call.kind, before, after, call.manager)

    def _patch(self, call: ResourceCall) -> Response:
        if call.content_type == "application/apply-patch+yaml":
            return self._apply(call)
        named_version = isinstance(call.body, dict) and (call.body.get("metadata") or {}).get("resourceVersion")
        for attempt in range(PATCH_ATTEMPTS):
            current = self._store.get(call.kind, call.namespace, call.name)
            new = self._patched(call, current)
            if not named_version:
                new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
            new, warnings = self._valid(call, new)
            if not call.subresource:
                admit(call.kind, new)
            self._track(call, current, new)
            try:
                stored = self._store.update(
                    call.kind,
                    call.namespace,
                    call.name,
                    new,
                    subresource=call.subresource,
                    dry_run=call.dry_run,
                )
            except ApiError as error:
                if error.code != 409 or named_version or attempt == PATCH_ATTEMPTS - 1:
                    raise
                continue
            return _warned(self._object(call, stored), warnings)
        raise AssertionError("the loop returns or raises")

    @staticmethod
    def _patched(call: ResourceCall, current: Object) -> Object:
        if call.content_type == "application/merge-patch+json":
            return merge_patch(current, call.body)
        if call.content_type == "application/json-patch+json":
            return json_patch(current, call.body)
        if call.content_type == "application/strategic-merge-patch+json" and not call.kind.custom:
            return strategic_merge_patch(current, call.body)
        known = [
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/apply-patch+yaml",
        ]
        if not call.kind.custom:
            known.append("application/strategic-merge-patch+json")
        raise ApiError(
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
        current: Object | None
        try:
            current = self._store.get(call.kind, call.namespace, call.name)
        except ApiError as error:
            if error.code != 404:
                raise
            current = None
        # The framework field of a service moves before ownership is noted, as the webhook does it.
        admit(call.kind, wanted)
        new = apply(call.kind, current, wanted, call.manager, force=call.flag("force"))
        if current is None:
            created = self._store.create(call.kind, call.namespace, new, dry_run=call.dry_run)
            return _warned(self._object(call, created, 201), warnings)
        new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        admit(call.kind, new)
        stored = self._store.update(
            call.kind, call.namespace, call.name, new, subresource=call.subresource, dry_run=call.dry_run
        )
        return _warned(self._object(call, stored), warnings)

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
            return _json(
                {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": details,
                }
            )
        matches = call.matches()
        found, version = self._store.select(call.kind, call.namespace)
        doomed = [obj for obj in found if matches(obj)]
        for obj in doomed:
            meta = obj["metadata"]
            self._store.delete(call.kind, meta.get("namespace"), meta["name"], call.body)
        return _json(
            {
                "kind": f"{call.kind.kind}List",
                "apiVersion": call.kind.api_version,
                "metadata": {"resourceVersion": str(version)},
                "items": doomed,
            }
        )

    def _empty_namespace(self, namespace: str) -> None:
        """Deleting a namespace deletes what is in it."""
        kinds = [kind for versions in self._registry.groups().values() for each in versions.values() for kind in each]
        for group, plural, name in self._store.objects_in(namespace):
            for kind in kinds:
                if (kind.group, kind.plural) == (group, plural):
                    self._store.delete(kind, namespace, name)

    def _log(self, call: ResourceCall) -> Response:
        self._store.get(PODS, call.namespace, call.name)
        content = self._pod_logs(call.namespace or "", call.name)
        if call.query.get("tailLines"):
            lines = content.splitlines(keepends=True)
            content = b"".join(lines[-int(call.query["tailLines"]) :]) if int(call.query["tailLines"]) else b""
        if call.query.get("limitBytes"):
            content = content[: int(call.query["limitBytes"])]
        return Response(content, content_type="text/plain; charset=utf-8")

    def _watch(self, call: ResourceCall) -> Response:
        media = "application/json" + (";as=Table;v=v1;g=meta.k8s.io" if wants_table(call.accept) else "")
        return Response(self._events(call), content_type=media, direct_passthrough=True)

    def _events(self, call: ResourceCall) -> Iterator[bytes]:
        """The lines of a watch: what is there (without a version), then every change."""
        matches = call.matches()
        if call.name:
            by_name = field_selector(f"metadata.name={call.name}", call.kind)
            selected = matches
            matches = lambda obj: selected(obj) and by_name(obj)  # noqa: E731  one line says it best
        as_table, headers = wants_table(call.accept), True

        def line(change: str, obj: Object) -> bytes:
            nonlocal headers
            body: Any = _typed(call.kind, obj)
            if as_table:
                meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
                include = call.query.get("includeObject", "")
                body = table(call.kind, [obj], meta, include, headers=headers)
                headers = False
            return json.dumps({"type": change, "object": body}).encode() + b"\n"

        end = time.monotonic() + float(call.query.get("timeoutSeconds") or WATCH_SECONDS)
        start = call.query.get("resourceVersion", "")
        # What the watcher has seen: an object that stops matching is gone for it.
        seen: set[str] = set()
        if start in ("", "0"):
            objects, position = self._store.select(call.kind, call.namespace)
            for obj in filter(matches, objects):
                seen.add(obj["metadata"]["uid"])
                yield line("ADDED", obj)
        else:
            position = int(start)
            seen = {obj["metadata"]["uid"] for obj in self._store.select(call.kind, call.namespace)[0] if matches(obj)}
        while (left := end - time.monotonic()) > 0:
            with self._store.changed:
                try:
                    changes = self._store.changes(call.kind, call.namespace, position)
                except ApiError as error:
                    yield json.dumps({"type": "ERROR", "object": error.status()}).encode() + b"\n"
                    return
                if not changes:
                    position = max(position, self._store.version)
                    self._store.changed.wait(min(HEARTBEAT_SECONDS, left))
                    changes = self._store.changes(call.kind, call.namespace, position)
            for change in changes:
                position = change.version
                uid = change.object["metadata"]["uid"]
                if matches(change.object):
                    kind_of_change = change.type
                    seen.discard(uid) if change.type == "DELETED" else seen.add(uid)
                elif uid in seen:
                    seen.discard(uid)
                    kind_of_change = "DELETED"
                else:
                    continue
                yield line(kind_of_change, change.object)
            if not changes:
                if call.flag("allowWatchBookmarks") and not as_table:
                    yield line("BOOKMARK", {"metadata": {"resourceVersion": str(position), "creationTimestamp": None}})
                else:
                    yield b"\n"


def _name(obj: Object) -> str:
    return str(obj["metadata"].get("name") or "")


def _warned(response: Response, warnings: list[str]) -> Response:
    for text in warnings:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response


def _typed(kind: Kind, obj: Object) -> Object:
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def _json(body: Any, code: int = 200) -> Response:
    return Response(json.dumps(body), code, content_type="application/json")
