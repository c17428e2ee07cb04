"""The routing table: host name to the revision that has the traffic. A switch is one assignment."""

from __future__ import annotations

import re
import threading

from pdk_nb.local.kubernetes.inference.revision import Revision
from pdk_nb.local.kubernetes.inference.status import DOMAIN, host


class Routes:
    """Which revision answers for which service."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revisions: dict[tuple[str, str], Revision] = {}

    def set(self, namespace: str, name: str, revision: Revision) -> None:
        """Give a service's traffic to a revision."""
        with self._lock:
            self._revisions[(namespace, name)] = revision

    def remove(self, namespace: str, name: str) -> None:
        """Take a service out."""
        with self._lock:
            self._revisions.pop((namespace, name), None)

    def hosts(self) -> list[str]:
        """All host names that lead somewhere."""
        with self._lock:
            return sorted(host(name, namespace) for namespace, name in self._revisions)

    def enter(self, header: str) -> Revision | None:
        """The revision for a ``Host`` header, with the request counted in; None for an unknown host.

        Matches as KServe's virtual service does: ``<name>.<ns>.<domain>`` and, for callers inside the cluster,
        ``<name>.<ns>[.svc[.cluster.local]]``, each also with ``-predictor``.
        """
        name = header.split(":")[0].lower()
        match = re.fullmatch(
            rf"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)(\.{re.escape(DOMAIN)}|(\.svc(\.cluster\.local)?)?)",
            name,
        )
        if not match:
            return None
        service, namespace = match["service"], match["namespace"]
        with self._lock:
            revision = self._revisions.get((namespace, service))
            if revision is None and service.endswith("-predictor"):
                revision = self._revisions.get((namespace, service.removesuffix("-predictor")))
            if revision is not None:
                # Counted in under the lock, so that a switch cannot stop it in between.
                revision.enter()
            return revision
