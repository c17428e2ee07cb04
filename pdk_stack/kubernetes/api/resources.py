"""Calls on objects: get, list, watch, create, update, patch, delete, pod logs."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from pdk_stack.kubernetes.api import paging, patching
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.api.logs import PodKeeper, pod_log
from pdk_stack.kubernetes.api.replies import one, reply, several, typed, warned
from pdk_stack.kubernetes.api.watches import watch
from pdk_stack.kubernetes.core.admission import prepare_change, prepare_new
from pdk_stack.kubernetes.core.custom_kinds import FOREGROUND, ORPHAN
from pdk_stack.kubernetes.core.defaults import fill_in
from pdk_stack.kubernetes.core.escalation import Escalation
from pdk_stack.kubernetes.core.managed_fields import apply, track
from pdk_stack.kubernetes.core.namespaces import Namespaces
from pdk_stack.kubernetes.core.reading import read, read_patched
from pdk_stack.kubernetes.core.validation.definitions import without_effect
from pdk_stack.kubernetes.core.validation.options import check_list, check_write, delete_options
from pdk_stack.kubernetes.core.validation.rules import errors_on_create
from pdk_stack.kubernetes.errors import (
    StatusError,
    bad_request,
    forbidden,
    invalid,
    no_method,
    no_resource,
    not_found,
    not_implemented,
    quoted,
)
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.registry import Registry
from pdk_stack.kubernetes.store.workload_kinds import PODS

# How often a patch is retried after a conflicting write, as the real API does.
PATCH_ATTEMPTS = 5
FINALIZERS = {"Orphan": ORPHAN, "Foreground": FOREGROUND}
#: Subresources that objects of a kind have, by verb.
SUBRESOURCES = ("", "status")
#: Subresources that a definition can leave out; the real API then says that the object is not found.
REFUSED_OF_CUSTOM = ("status", "scale")


class Resources:
    """Answers calls from the object store.

    Args:
        store: The objects.
        registry: The served kinds.
        pods: Gives access to the processes behind the pods.
        namespaces: Ends namespaces.
    """

    def __init__(self, store: ObjectStore, registry: Registry, pods: PodKeeper, namespaces: Namespaces) -> None:
        self._store = store
        self._registry = registry
        self._pods = pods
        self._namespaces = namespaces
        self._escalation = Escalation(store)

    def handle(self, call: ResourceCall) -> Response:
        """Answer one call.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        if call.kind is PODS and call.subresource == "log" and call.verb == "get":
            return pod_log(self._store, self._pods.log, call)
        self._check_path(call)
        handlers = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._replace,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        handler = handlers.get(call.verb)
        if handler is None:
            raise no_method()
        return handler(call)

    @staticmethod
    def _check_path(call: ResourceCall) -> None:
        """Refuse paths and methods that a resource doesn't have.

        Raises:
            StatusError: 404 or 405.
        """
        if call.subresource not in SUBRESOURCES or (call.subresource and not call.kind.status):
            if (call.kind, call.subresource, call.verb) == (NAMESPACES, "finalize", "update"):
                return
            if call.kind.custom and call.name and call.subresource in REFUSED_OF_CUSTOM:
                raise not_found(*call.kind.resource, call.name)
            raise no_resource()
        everywhere = call.kind.namespaced and call.namespace is None and call.verb not in ("list", "watch")
        named = call.verb == "create" and call.name
        unnamed = call.verb in ("update", "patch") and not call.name
        in_status = call.subresource and call.verb not in ("get", "update", "patch")
        no_collection = call.verb == "deletecollection" and call.kind is NAMESPACES
        if everywhere or named or unnamed or in_status or no_collection:
            raise no_method()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _get(self, call: ResourceCall) -> Response:
        form = call.format()
        paging.check_version(self._store, call.value("resourceVersion"))
        obj = self._store.get(call.kind, call.namespace, call.name)
        return reply(one(call.kind, obj, form, call.value("includeObject")), form=form)

    def _watch(self, call: ResourceCall) -> Response:
        check_list(call.query)
        return watch(self._store, call, call.format())

    def _list(self, call: ResourceCall) -> Response:
        form = call.format()
        check_list(call.query)
        matches = call.matches()
        page = paging.page(self._store, call, matches)
        return reply(several(call.kind, page.objects, page.meta, form, call.value("includeObject")), form=form)

    # -- writing ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _answer(call: ResourceCall, obj: Object, warnings: list[str], code: int = 200) -> Response:
        form = call.format()
        if call.kind is CUSTOM_RESOURCE_DEFINITIONS and call.verb != "delete":
            warnings = [*warnings, *without_effect(obj)]
        return warned(reply(one(call.kind, obj, form, call.value("includeObject")), code, form=form), warnings)

    @staticmethod
    def _check_place(call: ResourceCall, obj: Object, *, name: bool = True) -> None:
        """Compare an object's name and namespace with those of the path.

        Raises:
            StatusError: 400 for others.
        """
        meta = obj.setdefault("metadata", {})
        given, namespace = meta.get("name") or "", meta.get("namespace") or ""
        if name and given and given != call.name:
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({call.name})")
        if namespace and call.kind.namespaced and namespace != call.namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        if name:
            meta["name"] = call.name

    def _refuse_write(self, call: ResourceCall, obj: Object | None = None) -> None:
        """Refuse a write to objects that only a controller writes; one that is invalid, with what is wrong with it.

        Raises:
            StatusError: 422 for an invalid object, 501 for a valid one.
        """
        if not call.kind.written_by:
            return
        if obj is not None and not call.kind.read_only:
            obj["metadata"]["namespace"] = call.namespace or ""
            if call.kind is PODS:
                self._check_account(call, obj)
            fill_in(call.kind, obj)
            if wrong := errors_on_create(call.kind, obj):
                raise invalid(*call.kind.group_kind, str(obj["metadata"].get("name") or ""), wrong)
        raise not_implemented(f"{call.verb} of {call.kind.plural}: {call.kind.written_by}")

    def _check_account(self, call: ResourceCall, pod: Object) -> None:
        """Refuse a pod of an unknown account, as the admission plugin ``ServiceAccount`` does.

        Raises:
            StatusError: 403; 404 for an unknown namespace.
        """
        self._store.check_namespace(PODS, call.namespace or "", str(pod["metadata"].get("name") or ""))
        spec = pod.get("spec") or {}
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        if self._store.find(SERVICE_ACCOUNTS, call.namespace, name) is None:
            why = f"error looking up service account {call.namespace}/{name}: serviceaccount {quoted(name)} not found"
            raise forbidden("", PODS.plural, str(pod["metadata"].get("name") or ""), why)

    def _create(self, call: ResourceCall) -> Response:
        call.format()
        check_write(call.query, "Create")
        body = call.body.object(call.kind.kind)
        complete = bool(body.get("kind") and body.get("apiVersion"))
        obj, warnings = read(self._store, call.kind, body, call.mode)
        self._check_place(call, obj, name=False)
        self._refuse_write(call, obj)
        with self._store.database.lock:
            return self._created(call, self._new(call, obj), warnings, tracked=complete)

    def _new(self, call: ResourceCall, obj: Object) -> Object:
        """Return a new object as it is to be stored.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        self._escalation.check(call.user, call.kind, call.namespace, call.name, obj)
        return prepare_new(self._store, call.kind, obj, call.namespace)

    def _changed(self, call: ResourceCall, obj: Object, current: Object) -> Object:
        """Return a changed object as it is to be stored.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        self._escalation.check(call.user, call.kind, call.namespace, call.name, obj, current)
        return prepare_change(self._store, call.kind, obj, current)

    def _created(self, call: ResourceCall, obj: Object, warnings: list[str], *, tracked: bool = True) -> Response:
        obj["metadata"].pop("managedFields", None)
        # Without kind and version, the real API can't tell whose fields these are.
        if tracked:
            track(call.kind, None, obj, call.manager)
        stored = self._store.create(call.kind, call.namespace, obj, dry_run=call.dry_run)
        return self._answer(call, stored, warnings, 201)

    def _replace(self, call: ResourceCall) -> Response:
        call.format()
        check_write(call.query, "Update")
        obj, warnings = read(self._store, call.kind, call.body.object(call.kind.kind), call.mode, call.subresource)
        self._check_place(call, obj)
        if call.kind.written_by:
            self._refuse_write(call)
        with self._store.database.lock:
            current = self._store.find(call.kind, call.namespace, call.name)
            if current is None and call.kind.create_on_update and not call.subresource:
                obj["metadata"].pop("resourceVersion", None)
                return self._created(call, self._new(call, obj), warnings)
            return self._updated(call, obj, self._store.get(call.kind, call.namespace, call.name), warnings)

    def _updated(self, call: ResourceCall, obj: Object, current: Object, warnings: list[str]) -> Response:
        """Store a change of an object or its status.

        Raises:
            StatusError: As the Kubernetes API does.
        """
        if call.subresource == "finalize":
            return self._finalized(call, obj)
        if not call.subresource:
            obj = self._changed(call, obj, current)
        obj["metadata"].pop("managedFields", None)
        before = current
        if call.subresource:
            obj = {**current, "metadata": {**current["metadata"]}, "status": obj.get("status") or {}}
        elif call.kind.custom and call.kind.status:
            # Status that a client sends is not stored here.
            obj = {**{key: value for key, value in obj.items() if key != "status"}}
            before = {key: value for key, value in current.items() if key != "status"}
        track(call.kind, before, obj, call.manager, call.subresource)
        if call.subresource:
            stored = self._status(call, obj)
        else:
            stored = self._store.update(call.kind, call.namespace, call.name, obj, dry_run=call.dry_run)
        return self._answer(call, stored, warnings)

    def _status(self, call: ResourceCall, obj: Object) -> Object:
        return self._store.update(
            call.kind, call.namespace, call.name, obj, subresource=call.subresource, dry_run=call.dry_run
        )

    def _finalized(self, call: ResourceCall, obj: Object) -> Response:
        """Replace the finalizers in a namespace's spec, and end the namespace if it was deleted."""
        current = self._store.get(call.kind, None, call.name)
        self._store.check_version(call.kind, obj, current)
        finalizers = (obj.get("spec") or {}).get("finalizers") or []
        current["spec"] = {"finalizers": finalizers} if finalizers else {}
        stored = current if call.dry_run else self._store.write(call.kind, None, current)
        if stored["metadata"].get("deletionTimestamp") and not call.dry_run:
            self._namespaces.end(call.name)
        return self._answer(call, stored, [])

    def _patch(self, call: ResourceCall) -> Response:
        patching.check_type(call)
        call.format()
        applying = call.body.media_type == patching.APPLY
        check_write(call.query, "Patch", apply=applying)
        if call.kind.written_by:
            self._store.get(call.kind, call.namespace, call.name)
            self._refuse_write(call)
        if applying:
            return self._apply(call)
        patch = call.body.patch()
        named_version = isinstance(patch, dict) and (_inner(patch, "metadata") or {}).get("resourceVersion")
        for attempt in range(PATCH_ATTEMPTS):
            current = self._store.get(call.kind, call.namespace, call.name)
            new = patching.patched(call, patch, {**typed(call.kind, current)})
            new, warnings = read_patched(self._store, call.kind, new, call.mode, call.subresource)
            self._check_place(call, new)
            if not named_version:
                new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
            try:
                return self._updated(call, new, current, warnings)
            except StatusError as error:
                if error.http_status != 409 or named_version or attempt == PATCH_ATTEMPTS - 1:
                    raise
        raise AssertionError("the loop returns or raises")

    def _apply(self, call: ResourceCall) -> Response:
        """Server-side apply."""
        body = call.body.applied()
        version, kind = body.get("apiVersion"), call.kind
        if version != kind.api_version:
            told = f"Specified patch version: {version or ''}, expected: {kind.api_version}"
            raise bad_request(f"Incorrect version specified in apply patch. {told}")
        if (_inner(body, "metadata") or {}).get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        wanted, warnings = read(self._store, kind, body, "Ignore")
        strict = read(self._store, kind, {**body}, "Warn")[1]
        if strict:
            where = f"{call.namespace or ''}/{call.name}; {kind.api_version}, Kind={kind.kind}"
            fields = "; ".join(each.removeprefix("unknown field ").strip('"') for each in strict)
            why = f".{fields}: field not declared in schema"
            raise bad_request(f"failed to create typed patch object ({where}): {why}")
        self._check_place(call, wanted)
        wanted["metadata"].pop("managedFields", None)
        with self._store.database.lock:
            current = self._store.find(kind, call.namespace, call.name)
            new = apply(kind, current, wanted, call.manager, force=call.flag("force"))
            owners = new["metadata"].get("managedFields")
            if current is None:
                new = self._new(call, new)
            else:
                new["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
                new = self._changed(call, new, current)
            if owners:
                new["metadata"]["managedFields"] = owners
            if current is None:
                stored = self._store.create(kind, call.namespace, new, dry_run=call.dry_run)
                return self._answer(call, stored, warnings, 201)
            stored = self._store.update(kind, call.namespace, call.name, new, dry_run=call.dry_run)
            return self._answer(call, stored, warnings)

    # -- deleting -----------------------------------------------------------------------------------------------------

    def _delete(self, call: ResourceCall) -> Response:
        form = call.format()
        options = delete_options(call.query, call.body.options())
        if call.kind is PODS:
            return self._replace_pods(call, [self._store.get(PODS, call.namespace, call.name)], options)
        if call.kind is NAMESPACES:
            return self._delete_namespace(call, options)
        if call.kind.written_by:
            self._store.get(call.kind, call.namespace, call.name)
            self._refuse_write(call)
        obj, gone = self._removed(call.kind, call.namespace, call.name, options)
        if not gone or call.kind.returned_when_deleted:
            return self._answer(call, obj, [])
        details = {"name": call.name, "kind": call.kind.plural, "uid": obj["metadata"]["uid"]}
        if call.kind.group:
            details["group"] = call.kind.group
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return reply(done, form=form)

    def _removed(self, kind: Kind, namespace: str | None, name: str, options: dict[str, Any]) -> tuple[Object, bool]:
        """Delete an object as its deletion's options say; the garbage collector does what they ask of dependents."""
        policy = options.get("propagationPolicy") or ("Orphan" if options.get("orphanDependents") else "")
        return self._store.delete(kind, namespace, name, options, holding=FINALIZERS.get(policy, ""))

    def _delete_namespace(self, call: ResourceCall, options: dict[str, Any]) -> Response:
        with self._store.database.lock:
            dry = {**options, "dryRun": ["All"]}
            obj, _ = self._store.delete(NAMESPACES, None, call.name, dry)
            self._namespaces.check_deletion(call.name)
            if not options.get("dryRun"):
                obj = self._namespaces.end(call.name)
            return self._answer(call, obj, [])

    def _delete_collection(self, call: ResourceCall) -> Response:
        form = call.format()
        check_list(call.query)
        matches = call.matches()
        options = delete_options(call.query, call.body.options())
        found, version = self._store.select(call.kind, call.namespace)
        doomed = [obj for obj in found if matches(obj)]
        if call.kind is PODS:
            return self._replace_pods(call, doomed, options)
        self._refuse_write(call)
        for obj in doomed:
            meta = obj["metadata"]
            self._delete_if_there(call.kind, meta.get("namespace"), meta["name"], options)
        return reply(several(call.kind, doomed, {"resourceVersion": str(version)}, form), form=form)

    def _replace_pods(self, call: ResourceCall, doomed: list[Object], options: dict[str, Any]) -> Response:
        """Delete pods after their requests end, and start replacements as a ReplicaSet does."""
        form = call.format()
        for pod in doomed if not options.get("dryRun") else ():
            meta = pod["metadata"]
            if not self._pods.replace(meta["namespace"], meta["name"]):
                text = f"delete of pod {meta['name']}: its revision has failed, and nothing would take its place"
                raise not_implemented(text)
        return reply(one(PODS, doomed[0], form) if call.name else several(PODS, doomed, {}, form), form=form)

    def _delete_if_there(self, kind: Kind, namespace: str | None, name: str, options: dict[str, Any]) -> None:
        """Delete an object that its owner or controller can delete first."""
        try:
            self._removed(kind, namespace, name, options)
        except StatusError as error:
            if error.http_status != 404:
                raise


def _inner(obj: Any, name: str) -> dict[str, Any] | None:
    """Return a part of an unchecked object if it is an object."""
    found = obj.get(name) if isinstance(obj, dict) else None
    return found if isinstance(found, dict) else None
