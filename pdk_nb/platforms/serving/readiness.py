"""A service's state, and waiting until it serves the version that it was given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, Object, Where, api_errors, resolve
from pdk_nb.platforms.serving.objects import GROUP, PLURAL, VERSION, find, need, where_text
from pdk_nb.platforms.serving.pods import Pod, pods_of
from pdk_nb.platforms.serving.reasons import Failure, Tries, failure_of, fixes, reasons_of
from pdk_nb.platforms.serving.status import ServiceStatus, read_status
from pdk_nb.platforms.waiting import changes, wait
from pdk_shared.errors import DeploymentError, ServiceUnreachable

__all__ = ["observe", "service_status", "status_table", "wait_ready"]

# Pods change slowly, and Kubernetes answers the lab among others.
PODS_EVERY_S = 1.5


def observe(cluster: Cluster, service: Object) -> ServiceStatus:
    """A service's state with its pods, as far as they can be read.

    In raw mode the pods alone tell which version answers: whoever may not read them is told so.

    Args:
        cluster: The connection.
        service: The InferenceService.

    Raises:
        ServiceUnreachable: It runs in raw mode, and its pods can't be read.
    """
    without = read_status(service)
    try:
        return read_status(service, pods_of(cluster, without.name))
    except ServiceUnreachable:
        if without.mode == "raw":
            raise
        # Whether it sleeps can't be seen: believe it only where KServe would never call it ready again.
        return read_status(service, ()) if without.transition == "InProgress" else without


def service_status(where: Where, name: str) -> ServiceStatus:
    """A service's state, read now.

    Raises:
        DeploymentError: There is no such service.
        ServiceUnreachable: The cluster does not answer, or does not allow it.
    """
    cluster = resolve(where)
    return observe(cluster, need(cluster, name))


def resource_version(where: Where, name: str) -> str:
    """What Kubernetes changes with every change of a service or its status; empty while there is no such service."""
    found = find(resolve(where), name)
    return str(found["metadata"].get("resourceVersion", "")) if found else ""


def status_table(where: Where) -> list[dict[str, str]]:
    """The namespace's services with the columns of ``kubectl get inferenceservices``."""
    cluster = resolve(where)
    with api_errors(cluster, f"{PLURAL} in {cluster.namespace}"):
        found = cluster.custom.list_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL, _request_timeout=REQUEST_TIMEOUT_S
        )
    return [read_status(each).row() for each in found.get("items", [])]


@dataclass(frozen=True)
class _Look:
    """What one look at a service gives: its status, one line about it, and whether the wait is over."""

    status: ServiceStatus | None
    line: str
    ready: bool = False
    failure: Failure | None = None


@dataclass
class _Watch:
    """Looks at one service again and again, and at its pods less often."""

    cluster: Cluster
    name: str
    version: str
    after: str
    tries: Tries = field(default_factory=Tries)
    pods: tuple[Pod, ...] | None = None
    failure: Failure | None = None
    asked_at: float = -PODS_EVERY_S

    def look(self) -> _Look:
        """The service now."""
        found = find(self.cluster, self.name)
        if found is None:
            return _Look(None, "it doesn't exist yet")
        status = read_status(found)
        if self.version and status.version != self.version:
            return _Look(status, f"it still has version {status.version or 'unknown'}")
        if not status.ready:
            self._ask(found)
            status = read_status(found, self.pods)
        # Knative's revisions have names of their own; a Deployment's numbers come late (status of KServe 0.13).
        after = self.after if status.mode == "serverless" else ""
        # A new revision that fails leaves the one before it as the latest ready one, for as long as it fails.
        failure = None if status.ready or (after and after == status.latest_created) else self.failure
        stale = bool(after) and after in (status.latest_created, status.latest_ready)
        line = status.summary()
        if failure is not None and failure.text not in line:
            line = f"{line}; {failure.text}"
        return _Look(status, line, status.ready and not stale, failure)

    def _ask(self, found: Object) -> None:
        """Look at the pods and, if they tell nothing, at the events; not at every look at the service."""
        if time.monotonic() - self.asked_at < PODS_EVERY_S:
            return
        status = observe(self.cluster, found)
        self.tries.see(status.pods or ())
        self.pods, self.failure = status.pods, failure_of(self.cluster, found, status, self.tries)
        self.asked_at = time.monotonic()


def wait_ready(
    where: Where,
    name: str,
    timeout: float = 300.0,
    *,
    version: str = "",
    after: str = "",
    interval: float = 0.25,
    progress: Callable[[str], None] | None = None,
) -> ServiceStatus:
    """Wait until a service serves the version that it was given.

    Args:
        where: Settings or connection.
        name: The service.
        timeout: Seconds.
        version: Model version that it must have been given; any when empty.
        after: Revision before the change that is waited for (:attr:`Applied.previous_revision`): a status that still
            speaks of it is not believed.
        interval: Seconds between two looks.
        progress: Called with one line about each new state.

    Raises:
        DeploymentError: The revision failed, or time ran out; the text holds the reasons that conditions, model status,
            pods and events give.
        ServiceUnreachable: The cluster does not answer.
    """
    cluster = resolve(where)
    report = changes(progress)
    watch = _Watch(cluster, name, version, after)
    since: dict[str, float] = {}

    def done(look: _Look) -> bool:
        if look.ready:
            return True
        report(look.line)
        now, failure = time.monotonic(), look.failure
        if failure is None or failure.hold_s is None:
            since.clear()
            return False
        # It has to hold: right after a change, it can be the state of the revision before, or pass by itself.
        if now - since.setdefault("failing", now) >= failure.hold_s:
            raise _not_ready(cluster, name, "The new revision failed.", look)
        return False

    look = wait(
        watch.look,
        done,
        timeout=timeout,
        interval=interval,
        reason=lambda look: _not_ready(cluster, name, f"Not ready within {timeout:.0f} s.", look, look.line),
    )
    assert look.status is not None
    return look.status


def _not_ready(cluster: Cluster, name: str, what: str, look: _Look, *first: str) -> DeploymentError:
    reasons = [*first, *(reasons_of(cluster, look.status, look.failure) if look.status else [])]
    unique = [
        each for place, each in enumerate(reasons) if each and not any(each in other for other in reasons[:place])
    ]
    text = what + "".join(f"\n  - {each}" for each in unique)
    return DeploymentError(text, where=where_text(cluster, name), fix=fixes(cluster, name, look.failure))
