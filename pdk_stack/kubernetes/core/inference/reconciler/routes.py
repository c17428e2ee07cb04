"""The routing table: host name to the revisions that share a service's traffic. A switch is one assignment."""

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
    """One revision's share.

    Attributes:
        percent: Share of the traffic, 0 to 100.
        tag: Name under which the revision can be asked by itself: ``<tag>-<service>-predictor.<namespace>...``.
        credit: State of the weighted rotation.
    """

    revision: Revision
    percent: int = 100
    tag: str = ""
    credit: int = 0


@dataclass(frozen=True)
class Entry:
    """Where a request goes, counted in."""

    namespace: str
    service: str
    revision: Revision


class Routes:
    """Which revisions answer for which service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._targets: dict[tuple[str, str], tuple[Target, ...]] = {}

    def set(self, namespace: str, name: str, targets: Sequence[Target]) -> None:
        """Share a service's traffic out."""
        with self._lock:
            self._targets[(namespace, name)] = tuple(targets)

    def remove(self, namespace: str, name: str) -> None:
        """Take a service out."""
        with self._lock:
            self._targets.pop((namespace, name), None)

    def hosts(self) -> list[str]:
        """All host names that lead somewhere."""
        with self._lock:
            return sorted(host(name, namespace) for namespace, name in self._targets)

    def inflight(self) -> dict[tuple[str, str, str], int]:
        """Requests under way by namespace, service and revision."""
        with self._lock:
            return {
                (namespace, name, target.revision.name): target.revision.load.inflight
                for (namespace, name), targets in self._targets.items()
                for target in targets
            }

    def enter(self, header: str) -> Entry | None:
        """Where a ``Host`` header leads, with the request counted in; None for an unknown host.

        Matches as KServe's virtual service does: ``<name>.<ns>.<domain>`` and, for callers inside the cluster,
        ``<name>.<ns>[.svc[.cluster.local]]``, each also with ``-predictor`` and with a tag before that.
        """
        match = HOST.fullmatch(header.split(":")[0].lower())
        if not match:
            return None
        asked, namespace = match["service"], match["namespace"]
        with self._lock:
            # Counted in under the lock, so that a switch cannot stop the revision in between.
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
    """Smooth weighted rotation: exact shares over any 100 requests, without bursts."""
    if len(targets) == 1:
        return targets[0]
    for target in targets:
        target.credit += target.percent
    chosen = max(targets, key=lambda each: each.credit)
    chosen.credit -= 100
    return chosen
