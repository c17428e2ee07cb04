"""The routing table from host names to the revisions that share a service's traffic; switching is atomic."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_stack.kubernetes.core.inference.reconciler.status import DOMAIN, host
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision

HOST = re.compile(
    rf"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(\.{re.escape(DOMAIN)}|(\.svc(\.cluster\.local)?)?)"
)


@dataclass
class Target:
    """One revision's share of the traffic.

    Attributes:
        percent: Share of the traffic, 0 to 100.
        tag: Name that addresses the revision directly: ``<tag>-<service>-predictor.<namespace>...``.
        credit: State of the weighted round robin.
    """

    revision: Revision
    percent: int = 100
    tag: str = ""
    credit: int = 0


@dataclass(frozen=True)
class Entry:
    """The target of a request, which is already counted as in flight."""

    namespace: str
    service: str
    revision: Revision


class Routes:
    """Maps each service to the revisions that serve it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, str], tuple[Target, ...]] = {}

    def set(self, namespace: str, name: str, targets: Sequence[Target]) -> None:
        """Set a service's traffic split."""
        with self._lock:
            self._targets[(namespace, name)] = tuple(targets)

    def remove(self, namespace: str, name: str) -> None:
        """Remove a service."""
        with self._lock:
            self._targets.pop((namespace, name), None)

    def hosts(self) -> list[str]:
        """List all routed host names."""
        with self._lock:
            return sorted(host(name, namespace) for namespace, name in self._targets)

    def inflight(self) -> dict[tuple[str, str, str], int]:
        """Count the requests in flight by namespace, service, and revision."""
        with self._lock:
            return {
                (namespace, name, target.revision.name): target.revision.load.inflight
                for (namespace, name), targets in self._targets.items()
                for target in targets
            }

    def enter(self, header: str) -> Entry | None:
        """Resolve a ``Host`` header and count the request as in flight; None for an unknown host.

        Matches as KServe's virtual service does: ``<name>.<ns>.<domain>`` and, for callers inside the cluster,
        ``<name>.<ns>[.svc[.cluster.local]]``, each also with ``-predictor`` and with a tag before that.
        """
        match = HOST.fullmatch(header.split(":")[0].lower())
        if not match:
            return None
        asked, namespace = match["service"], match["namespace"]
        with self._lock:
            # Count under the lock, so that a switch can't stop the revision in between.
            targets = self._targets.get((namespace, asked))
            if targets:
                return self._counted(namespace, asked, _next(targets))
            plain = asked.removesuffix("-predictor")
            if plain == asked:
                return None
            targets = self._targets.get((namespace, plain))
            if targets:
                return self._counted(namespace, plain, _next(targets))
            tag, _, name = plain.partition("-")
            for target in self._targets.get((namespace, name), ()):
                if target.tag == tag:
                    return self._counted(namespace, name, target)
            return None

    @staticmethod
    def _counted(namespace: str, service: str, target: Target) -> Entry:
        target.revision.load.enter()
        return Entry(namespace, service, target.revision)


def _next(targets: tuple[Target, ...]) -> Target:
    """Choose by smooth weighted round robin: exact shares over any 100 requests, without bursts."""
    if len(targets) == 1:
        return targets[0]
    for target in targets:
        target.credit += target.percent
    chosen = max(targets, key=lambda each: each.credit)
    chosen.credit -= 100
    return chosen
