"""A service's state, and waiting until it serves the version that it was given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, Where, api_errors, resolve
from pdk_nb.platforms.serving.objects import GROUP, PLURAL, VERSION, find, need, where_text
from pdk_nb.platforms.serving.status import ServiceStatus, failure_reasons, is_terminal, read_status
from pdk_nb.platforms.waiting import changes, wait
from pdk_shared.errors import DeploymentError

__all__ = ["service_status", "status_table", "wait_ready"]

# A failed state has to hold this long before it ends a wait: right after a change it can be the old revision's.
SETTLE_S = 3.0


def service_status(where: Where, name: str) -> ServiceStatus:
    """A service's state, read now.

    Raises:
        DeploymentError: There is no such service.
    """
    return read_status(need(resolve(where), name))


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
    failed: bool = False


def _look(cluster: Cluster, name: str, version: str, after: str) -> _Look:
    found = find(cluster, name)
    if found is None:
        return _Look(None, "it does not exist yet")
    status = read_status(found)
    if version and status.version != version:
        return _Look(status, f"it still has version {status.version or 'unknown'}")
    stale = bool(after) and after in (status.latest_created, status.latest_ready)
    return _Look(status, status.summary(), status.ready and not stale, is_terminal(status) and not stale)


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
    failing_since = 0.0

    def done(look: _Look) -> bool:
        nonlocal failing_since
        if look.ready:
            return True
        report(look.line)
        now = time.monotonic()
        failing_since = (failing_since or now) if look.failed else 0.0
        if failing_since and now - failing_since >= SETTLE_S:
            raise _not_ready(cluster, name, "The new revision failed.", _reasons(cluster, name, look))
        return False

    look = wait(
        lambda: _look(cluster, name, version, after),
        done,
        timeout=timeout,
        interval=interval,
        reason=lambda look: _not_ready(
            cluster, name, f"Not ready within {timeout:.0f} s.", [look.line, *_reasons(cluster, name, look)]
        ),
    )
    assert look.status is not None
    return look.status


def _reasons(cluster: Cluster, name: str, look: _Look) -> list[str]:
    return failure_reasons(cluster.core, cluster.namespace, name, look.status) if look.status else []


def _not_ready(cluster: Cluster, name: str, what: str, reasons: list[str]) -> DeploymentError:
    unique = list(dict.fromkeys(each for each in reasons if each))
    text = what + "".join(f"\n  - {each}" for each in unique)
    fix = (
        f"kubectl -n {cluster.namespace} describe inferenceservice {name}; "
        f"kubectl -n {cluster.namespace} logs -l serving.kserve.io/inferenceservice={name} -c kserve-container"
    )
    return DeploymentError(text, where=where_text(cluster, name), fix=fix)
