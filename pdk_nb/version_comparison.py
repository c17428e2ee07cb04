"""Two versions of a model side by side: the one in service, and another that gets none of its traffic.

While the traffic is split, the previous revision has its own address at the ingress (KServe's tag ``prev``). Otherwise
only one revision runs, and a second InferenceService serves the other version from the same files. This doesn't change
the service in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pdk_nb.platforms import serving
from pdk_nb.platforms.cluster import resolve
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.objects import find, need
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.platforms.serving.spec import deployment_of, recorded_version
from pdk_nb.platforms.serving.status import read_status
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from pdk_nb.session import Session

PREVIOUS = "previous"


@dataclass(frozen=True)
class Candidate:
    """A version that can be compared with the one in service.

    Attributes:
        version: Its name, the commit's id; :data:`PREVIOUS` for the revision that still has a share of the traffic.
        number: Its number in the registry; None when unknown.
        endpoint: Where it answers; None when it must be started first.
        percent: Its share of the traffic; 0 unless the traffic is split.
    """

    version: str
    number: int | None = None
    endpoint: Endpoint | None = None
    percent: int = 0

    @property
    def title(self) -> str:
        """For people."""
        if self.version == PREVIOUS:
            return f"the previous revision, {self.percent}% of traffic"
        number = f"version {self.number}" if self.number else "version"
        state = "running" if self.endpoint else "not running yet"
        return f"{number} ({self.version[:12]}…), {state}"


def service_name(session: Session) -> str:
    """Name of the second service."""
    return f"{session.names.service}-compare"


def candidates(session: Session) -> list[Candidate]:
    """Versions that the one in service can be compared with, the newest first.

    Raises:
        DeploymentError: There is no service.
    """
    status = serving.service_status(session.settings, session.names.service)
    found = []
    if status.previous_url:
        main = serving.endpoint(session.settings, session.names.service)
        host = predictions.host_of(status.previous_url)
        found.append(Candidate(PREVIOUS, None, replace(main, host=host, version=""), status.previous_percent or 0))
    running = _running(session)
    for record in reversed(serving.revisions(session.settings, session.names.service)):
        if not record["current"]:
            version = str(record["version"])
            target = running if running is not None and running.version == version else None
            found.append(Candidate(version, record.get("number"), target))
    return found


def exists(session: Session) -> bool:
    """Whether there is a second service, ready or not."""
    return find(resolve(session.settings), service_name(session)) is not None


def _running(session: Session) -> Endpoint | None:
    """Where the second service answers; None when there is none, or it is not ready."""
    try:
        status = serving.service_status(session.settings, service_name(session))
    except DeploymentError:
        return None
    return serving.endpoint(session.settings, status.name) if status.ready else None


def start(
    session: Session, version: str, timeout: float = 300.0, progress: Callable[[str], None] | None = None
) -> Endpoint:
    """Serve a version in a second service. The service in use keeps all of its traffic.

    Args:
        session: The session.
        version: A version that the service has served.
        timeout: Seconds to wait until it answers.
        progress: Called with each new state, one line.

    Raises:
        DeploymentError: The service never served this version, or the second service doesn't become ready.
    """
    service = need(resolve(session.settings), session.names.service)
    record = recorded_version(service, version)
    status, predictor = read_status(service), service["spec"]["predictor"]
    resources = (predictor.get("model") or predictor.get("pytorch") or {}).get("resources") or {}
    target = deployment_of(
        record,
        service_name(session),
        protocol=status.protocol,
        service_account=predictor.get("serviceAccountName", ""),
        requests=resources.get("requests", {}),
        limits=resources.get("limits", {}),
        tolerations=predictor.get("tolerations", ()),
        max_request_size=status.max_request_size,
    )
    applied = serving.apply(session.settings, target)
    serving.wait_ready(
        session.settings,
        target.name,
        timeout,
        version=target.version,
        after=applied.previous_revision,
        progress=progress,
    )
    return serving.endpoint(session.settings, target.name)


def stop(session: Session) -> bool:
    """Remove the second service.

    Returns:
        Whether there was one.
    """
    return serving.delete(session.settings, service_name(session))
