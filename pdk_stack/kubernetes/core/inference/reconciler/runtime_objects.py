"""The ClusterServingRuntimes that say which model servers there are."""

from __future__ import annotations

import contextlib

from pdk_stack.kubernetes.core.inference.reconciler.workloads import IMAGES
from pdk_stack.kubernetes.core.inference.revisions.template import CONTAINER
from pdk_stack.kubernetes.core.inference.servers.runtimes import PROTOCOLS, RUNTIMES, default_runtime
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.runtime_kinds import CLUSTER_SERVING_RUNTIMES

__all__ = ["write_runtimes"]


def write_runtimes(store: ObjectStore) -> None:
    """Write one object for each runtime; the one that is chosen by itself can have changed since the last start."""
    chosen, kind = default_runtime(), CLUSTER_SERVING_RUNTIMES
    for name in RUNTIMES:
        formats = [{"name": "pytorch", "version": "1", **({"autoSelect": True} if name == chosen else {})}]
        spec = {
            "supportedModelFormats": formats,
            "protocolVersions": list(PROTOCOLS),
            "containers": [{"name": CONTAINER, "image": IMAGES[CONTAINER]}],
        }
        new: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": spec}
        with contextlib.suppress(StatusError):
            new["metadata"] = store.get(kind, None, name)["metadata"]
            store.update(kind, None, name, new)
            continue
        store.create(kind, None, new)
