"""The object store: Kubernetes' rules for versions, generations, and deletion, on SQLite. Independent of HTTP.

One counter gives every write its ``resourceVersion``; a write that changes nothing keeps it, as etcd3 storage does.
"""

from __future__ import annotations

import copy
import json
import re
import secrets
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_stack.common.database import Database, Schema
from pdk_stack.common.errors import StorageFull
from pdk_stack.kubernetes.errors import (
    FieldError,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
    required,
    storage_full,
)
from pdk_stack.kubernetes.store.columns import Object, timestamp
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import NAMESPACES

# How many changes a watch can lag before it must list again; the real API's watch cache is of similar size.
WATCH_HISTORY = 5000
# Server-owned metadata, which is kept from the stored object regardless of what a client sends.
SERVER_FIELDS = (
    *("uid", "creationTimestamp", "generation", "namespace", "name"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
# What generated names are made of, and how long their random part is (``k8s.io/apiserver/pkg/storage/names``).
NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
RANDOM_LETTERS, GENERATED_LENGTH = 5, 63
CHANGED = "the object has been modified; please apply your changes to the latest version and try again"

# Versions start above zero, because clients send zero for "any".
FIRST_VERSION = 1000
SCHEMA = Schema(
    version=1,
    script=f"""
    CREATE TABLE IF NOT EXISTS objects (grp TEXT, plural TEXT, namespace TEXT, name TEXT, version INTEGER, body TEXT,
        PRIMARY KEY (grp, plural, namespace, name));
    CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER);
    INSERT OR IGNORE INTO counter VALUES (1, {FIRST_VERSION});
    """,
)

Key = tuple[str, str, str, str]


def generated_name(base: str) -> str:
    """Return a name for ``generateName``."""
    base = base[: GENERATED_LENGTH - RANDOM_LETTERS]
    return base + "".join(secrets.choice(NAME_LETTERS) for _ in range(RANDOM_LETTERS))


def version_number(text: str) -> int:
    """Return a ``resourceVersion`` as a number.

    Raises:
        StatusError: 400 for anything else.
    """
    if not re.fullmatch("[0-9]{1,20}", text):
        raise bad_request(f'strconv.ParseUint: parsing "{text[:100]}": invalid syntax')
    return int(text)


@dataclass(frozen=True)
class Change:
    """An entry in the watch history."""

    version: int
    type: str
    group: str
    plural: str
    object: Object


class ObjectStore:
    """All objects of the embedded cluster.

    Args:
        path: SQLite file; created when absent.

    Raises:
        StackError: It cannot be used, or is empty beside certificates, volumes, or services of earlier objects.

    Attributes:
        database: The SQLite database.
        bell: Notified after each change, and at the end.
        version: The ``resourceVersion`` of the newest change.
        ended: Whether waiting watches must stop.
    """

    def __init__(self, path: Path) -> None:
        beside = [path.with_name(name) for name in ("pki", "services", "volumes")]
        self.database = Database(path, SCHEMA, beside=beside)
        self.bell = self.database.bell
        self.ended = False
        with self.database.read() as connection:
            rows = connection.execute("SELECT grp, plural, namespace, name, body FROM objects").fetchall()
            self.version = int(connection.execute("SELECT n FROM counter").fetchone()[0])
        self._objects: dict[Key, Object] = {(row[0], row[1], row[2], row[3]): json.loads(row[4]) for row in rows}
        self._history: deque[Change] = deque(maxlen=WATCH_HISTORY)
        # A watch can't start before this version, because the history doesn't reach back further.
        self._first_known = self.version if rows or self.version > FIRST_VERSION else 0
        self._listeners: list[Callable[[Change], None]] = []
        self._before_update: dict[tuple[str, str], Callable[[Object, Object], None]] = {}

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Call a listener after each change, in order; it must return quickly."""
        with self.database.lock:
            self._listeners.append(listener)

    def before_update(self, kind: Kind, hook: Callable[[Object, Object], None]) -> None:
        """Register a ``hook(old, new)`` that can change an object within the client's write."""
        self._before_update[kind.resource] = hook

    def end(self) -> None:
        """Stop waiting watches."""
        self.ended = True
        self.bell.ring()

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    @staticmethod
    def _key(kind: Kind, namespace: str | None, name: str) -> Key:
        return (*kind.storage, (namespace or "") if kind.namespaced else "", name)

    def _commit(self, change: str, kind: Kind, key: Key, obj: Object) -> None:
        """Write one change and set the object's new version.

        Raises:
            StatusError: 507 when the disk is full; then nothing changes and no listener is called.
        """
        version = self.version + 1
        obj["metadata"]["resourceVersion"] = str(version)
        entry = Change(version, change, *kind.storage, copy.deepcopy(obj))
        try:
            with self.database.write() as connection:
                if change == "DELETED":
                    connection.execute("DELETE FROM objects WHERE grp=? AND plural=? AND namespace=? AND name=?", key)
                else:
                    row = (*key, version, json.dumps(obj))
                    connection.execute("INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?,?)", row)
                connection.execute("UPDATE counter SET n=?", (version,))
                self.database.after_commit(lambda: self._committed(key, entry))
        except StorageFull as error:
            raise storage_full(error.message) from error

    def _committed(self, key: Key, entry: Change) -> None:
        """Apply a committed change in memory, then call the listeners."""
        self.version = entry.version
        if entry.type == "DELETED":
            self._objects.pop(key, None)
        else:
            # Listeners get a copy, because they can keep and change it.
            self._objects[key] = copy.deepcopy(entry.object)
        if len(self._history) == WATCH_HISTORY:
            self._first_known = self._history[0].version
        self._history.append(entry)
        for listener in self._listeners:
            listener(entry)

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object:
        """Return an object.

        Raises:
            StatusError: 404 when it doesn't exist.
        """
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(*kind.resource, name)
        return found

    def find(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """Return an object; None when it doesn't exist."""
        with self.database.lock:
            return copy.deepcopy(self._objects.get(self._key(kind, namespace, name)))

    def select(self, kind: Kind, namespace: str | None = None) -> tuple[list[Object], int]:
        """Return all objects of a kind, ordered by namespace and name, and the store's version."""
        found, version = self.view(kind, namespace)
        return [copy.deepcopy(obj) for obj in found], version

    def view(self, kind: Kind, namespace: str | None = None) -> tuple[list[Object], int]:
        """Like ``select`` without copies: callers must not change the objects, and the store never does so in place."""
        with self.database.lock:
            keys = sorted(
                key for key in self._objects if key[:2] == kind.storage and (namespace is None or key[2] == namespace)
            )
            return [self._objects[key] for key in keys], self.version

    def create(self, kind: Kind, namespace: str | None, obj: Object, *, dry_run: bool = False) -> Object:
        """Store a new object.

        Raises:
            StatusError: It exists (409), its namespace doesn't exist (404), or it has no name (422).
        """
        with self.database.lock:
            meta = obj.setdefault("metadata", {})
            if not meta.get("name"):
                if not meta.get("generateName"):
                    why = required("metadata.name", "name or generateName is required")
                    raise invalid(*kind.group_kind, "", [why])
                meta["name"] = generated_name(meta["generateName"])
            if kind.namespaced:
                meta["namespace"] = namespace
                self.check_namespace(kind, namespace or "", meta["name"])
            else:
                meta.pop("namespace", None)
            key = self._key(kind, namespace, meta["name"])
            if key in self._objects:
                raise already_exists(*kind.resource, meta["name"])
            meta["uid"] = str(uuid.uuid4())
            meta["creationTimestamp"] = timestamp()
            for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
                meta.pop(field, None)
            if kind.custom:
                meta["generation"] = 1
                if kind.status:
                    obj.pop("status", None)
            if not dry_run:
                self._commit("ADDED", kind, key, obj)
            return copy.deepcopy(obj)

    def check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        """Refuse an object in a namespace that is absent or on its way out (``NamespaceLifecycle``).

        Raises:
            StatusError: 404 or 403.
        """
        with self.database.lock:
            found = self._objects.get(self._key(NAMESPACES, None, namespace))
        if found is None:
            raise not_found("", "namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            error = forbidden(*kind.resource, name, why)
            told = f"namespace {namespace} is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": told, "field": "metadata.namespace"}
            error.details = {**(error.details or {}), "causes": [cause]}
            raise error

    def update(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        new: Object,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Replace an object, or its status.

        Raises:
            StatusError: It doesn't exist (404), its version is outdated (409), or it lacks a version (422).
        """
        with self.database.lock:
            key = self._key(kind, namespace, name)
            old = self._objects.get(key)
            if old is None:
                raise not_found(*kind.resource, name)
            new.setdefault("metadata", {})
            self.check_version(kind, new, old, strict=not subresource)
            result = self._merged(kind, old, new, subresource)
            hook = self._before_update.get(kind.resource)
            if hook and not subresource:
                hook(old, result)
            if result == old or dry_run:
                return copy.deepcopy(result)
            ended = result["metadata"].get("deletionTimestamp") and not result["metadata"].get("finalizers")
            self._commit("DELETED" if ended else "MODIFIED", kind, key, result)
            return copy.deepcopy(result)

    @staticmethod
    def check_version(kind: Kind, new: Object, old: Object, *, strict: bool = True) -> None:
        """Compare the version that a client changed with the stored one.

        Args:
            kind: The objects' kind.
            new: What the client sends.
            old: The stored object.
            strict: Whether custom objects need a version.

        Raises:
            StatusError: 409 for an outdated version or another object of the same name, 422 for a missing version.
        """
        meta, before = new["metadata"], old["metadata"]
        name = before["name"]
        wanted = meta.get("resourceVersion")
        if kind.custom and not wanted and strict:
            why = "Invalid value: 0x0: must be specified for an update"
            raise invalid(*kind.group_kind, name, [FieldError("metadata.resourceVersion", "FieldValueInvalid", why)])
        if wanted and version_number(str(wanted)) != int(before["resourceVersion"]):
            raise conflict(*kind.resource, name, CHANGED)
        uid = meta.get("uid")
        if uid and uid != before["uid"]:
            parts = (kind.group if kind.custom else "", kind.plural, before.get("namespace"), name)
            place = "/".join(filter(None, parts))
            why = (
                f"StorageError: invalid object, Code: 4, Key: /registry/{place}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
                f"UID in object meta: {before['uid']}"
            )
            raise conflict(*kind.resource, name, why)

    def write(self, kind: Kind, namespace: str | None, obj: Object) -> Object:
        """Store an object as it is, for the cluster's own controllers.

        Returns:
            The object with its new version.
        """
        with self.database.lock:
            self._commit("MODIFIED", kind, self._key(kind, namespace, obj["metadata"]["name"]), obj)
            return copy.deepcopy(obj)

    @staticmethod
    def _merged(kind: Kind, old: Object, new: Object, subresource: str) -> Object:
        """Return the object to store: the client's fields plus the server-owned ones."""
        if subresource == "status":
            result = copy.deepcopy(old)
            result["status"] = copy.deepcopy(new.get("status", {}))
            return result
        result = copy.deepcopy(new)
        for field in SERVER_FIELDS:
            if field in old["metadata"]:
                result["metadata"][field] = old["metadata"][field]
            else:
                result["metadata"].pop(field, None)
        if kind.custom and kind.status:
            result.pop("status", None)
            if "status" in old:
                result["status"] = copy.deepcopy(old["status"])
        if "generation" in old["metadata"] and _spec(old) != _spec(result):
            result["metadata"]["generation"] = old["metadata"]["generation"] + 1
        result["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        return result

    def delete(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        options: dict[str, Any] | None = None,
        *,
        holding: str = "",
    ) -> tuple[Object, bool]:
        """Delete an object, or mark it when finalizers hold it.

        Args:
            kind: Its kind.
            namespace: Its namespace, if it has one.
            name: Its name.
            options: The deletion's options: ``preconditions`` and ``dryRun``.
            holding: A finalizer to add, which the garbage collector takes away after its work.

        Returns:
            The object, and whether it is gone.

        Raises:
            StatusError: It doesn't exist (404), or a precondition fails (409).
        """
        options = options or {}
        with self.database.lock:
            obj = self.get(kind, namespace, name)
            meta = obj["metadata"]
            _check_preconditions(kind, meta, options.get("preconditions") or {})
            key = self._key(kind, namespace, name)
            dry_run = bool(options.get("dryRun"))
            if meta.get("finalizers") or holding:
                if not meta.get("deletionTimestamp"):
                    meta["deletionTimestamp"] = timestamp()
                    meta["deletionGracePeriodSeconds"] = 0
                    if holding:
                        meta["finalizers"] = [*(meta.get("finalizers") or []), holding]
                    if "generation" in meta:
                        meta["generation"] += 1
                    if not dry_run:
                        self._commit("MODIFIED", kind, key, obj)
                return obj, False
            if not dry_run:
                self._commit("DELETED", kind, key, obj)
            return obj, True

    def objects_in(self, namespace: str) -> list[tuple[str, str, str]]:
        """Return the group, plural, and name of every object in a namespace."""
        with self.database.lock:
            return [(key[0], key[1], key[3]) for key in self._objects if key[2] == namespace]

    def dependents(self, uid: str) -> list[Key]:
        """Return the keys of the objects whose only owner has this uid."""
        with self.database.lock:
            return [
                key
                for key, obj in self._objects.items()
                if [each.get("uid") for each in obj["metadata"].get("ownerReferences") or []] == [uid]
            ]

    def orphan(self, uid: str, kind_of: Callable[[str, str], Kind | None]) -> None:
        """Remove an owner from its dependents, which stay."""
        with self.database.lock:
            for key in self.dependents(uid):
                kind, obj = kind_of(key[0], key[1]), copy.deepcopy(self._objects[key])
                if kind:
                    del obj["metadata"]["ownerReferences"]
                    self.update(kind, key[2], key[3], obj)

    def changes(self, kind: Kind, namespace: str | None, after: int) -> list[Change]:
        """Return a kind's changes after a version, oldest first.

        Raises:
            StatusError: 410 when the version is older than the history.
        """
        with self.database.lock:
            if after < self._first_known:
                message = f"too old resource version: {after} ({self._first_known})"
                raise StatusError(410, "Expired", message)
            return [
                change
                for change in self._history
                if change.version > after
                and (change.group, change.plural) == kind.storage
                and (namespace is None or change.object["metadata"].get("namespace") == namespace)
            ]


def _check_preconditions(kind: Kind, meta: Object, wanted: dict[str, Any]) -> None:
    for field, told, past in (
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ):
        given = wanted.get(field)
        if given is not None and given != meta[field]:
            why = (
                f"the {told} in the precondition ({given}) does not match the {told} in record ({meta[field]}). "
                f"The object might have been {past}"
            )
            raise conflict(*kind.group_kind, meta["name"], why)


def _spec(obj: Object) -> Object:
    """Return the fields that count for the generation: all except metadata and status."""
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}
