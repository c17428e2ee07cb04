"""The life of namespaces: what each one holds from the start, and how it ends.

Sources: the admission plugin ``NamespaceLifecycle``, and ``pkg/controller/namespace``, ``serviceaccount`` and
``certificates/rootcacertpublisher``.
"""

from __future__ import annotations

import contextlib

from pdk_stack.kubernetes.errors import StatusError, forbidden
from pdk_stack.kubernetes.store.columns import Object, timestamp
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from pdk_stack.kubernetes.store.objects import Change, ObjectStore
from pdk_stack.kubernetes.store.registry import Registry

#: Namespaces that cannot be deleted.
IMMORTAL = ("default", "kube-system", "kube-public")
ACCOUNT = "default"
ROOT_CERTIFICATE = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class Namespaces:
    """Fills new namespaces and empties deleted ones.

    Args:
        store: The cluster's objects.
        registry: The served kinds.
        certificate: The API's CA certificate (PEM), which every namespace has a copy of.
    """

    def __init__(self, store: ObjectStore, registry: Registry, certificate: str) -> None:
        self._store = store
        self._registry = registry
        self._certificate = certificate

    def start(self) -> None:
        """Fill the namespaces, and follow changes."""
        self._store.subscribe(self._changed)
        for namespace in self._store.select(NAMESPACES)[0]:
            if namespace["metadata"].get("deletionTimestamp"):
                self.end(namespace["metadata"]["name"])
            else:
                self._fill(namespace)

    def _changed(self, change: Change) -> None:
        key = change.group, change.plural
        meta = change.object["metadata"]
        if key == NAMESPACES.resource and change.type == "ADDED":
            self._fill(change.object)
        elif change.type == "DELETED" and meta.get("namespace"):
            namespace = self._store.find(NAMESPACES, None, meta["namespace"])
            if namespace is None:
                return
            if namespace["metadata"].get("deletionTimestamp"):
                self._finish(meta["namespace"])
            elif (key, meta["name"]) in (
                (SERVICE_ACCOUNTS.resource, ACCOUNT),
                (CONFIG_MAPS.resource, ROOT_CERTIFICATE),
            ):
                self._fill(namespace)

    def _fill(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        note = {"kubernetes.io/description": DESCRIPTION}
        root = {"metadata": {"name": ROOT_CERTIFICATE, "annotations": note}, "data": {"ca.crt": self._certificate}}
        self._keep(SERVICE_ACCOUNTS, name, {"metadata": {"name": ACCOUNT}})
        self._keep(CONFIG_MAPS, name, root)

    def _keep(self, kind: Kind, namespace: str, obj: Object) -> None:
        """Create an object, or bring the data of an older one up to date."""
        name = obj["metadata"]["name"]
        known = self._store.find(kind, namespace, name)
        if known is None:
            self._store.create(kind, namespace, {"apiVersion": kind.api_version, "kind": kind.kind, **obj})
        elif "data" in obj and known.get("data") != obj["data"]:
            self._store.update(kind, namespace, name, {**known, "data": obj["data"]})

    @staticmethod
    def check_deletion(name: str) -> None:
        """Refuse to delete a namespace that the cluster needs.

        Raises:
            StatusError: 403.
        """
        if name in IMMORTAL:
            raise forbidden("", NAMESPACES.plural, name, "this namespace may not be deleted")

    def end(self, name: str) -> Object:
        """Mark a namespace as deleted, and delete what is in it; without finalizers in the way, it is gone at once.

        Returns:
            The marked namespace.
        """
        with self._store.database.lock:
            namespace = self._store.get(NAMESPACES, None, name)
            if not namespace["metadata"].get("deletionTimestamp"):
                namespace["metadata"]["deletionTimestamp"] = timestamp()
                namespace["status"] = {**(namespace.get("status") or {}), "phase": "Terminating"}
                namespace = self._store.write(NAMESPACES, None, namespace)
            for group, plural, inner in self._store.objects_in(name):
                if kind := self._registry.named(group, plural):
                    # Its owner or controller can delete it first.
                    with contextlib.suppress(StatusError):
                        self._store.delete(kind, name, inner)
            self._finish(name)
            return namespace

    def _finish(self, name: str) -> None:
        """Delete a namespace that is marked and empty."""
        namespace = self._store.find(NAMESPACES, None, name)
        if namespace is not None and not self._store.objects_in(name) and not namespace["metadata"].get("finalizers"):
            with contextlib.suppress(StatusError):
                self._store.delete(NAMESPACES, None, name)
