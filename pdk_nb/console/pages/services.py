"""Services: readiness in words, traffic, versions, pods, and how to ask for a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.console.usage import Histories, History
from pdk_nb.display.diagrams import side_by_side
from pdk_nb.platforms import serving
from pdk_nb.platforms.cluster import resolve
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

PYTHON = """from pdk_nb import lab as pdk

lab = pdk.connect({participant})
lab.predict_pictures(lab.samples()[:1])
"""
#: What open pages have seen of the services.
HISTORIES = Histories()


def read_services(session: Session, parameters: Parameters) -> dict[str, Any]:
    """All InferenceServices of the namespace of models."""
    return {"services": serving.status_table(session.settings), "namespace": session.settings.kserve_model_namespace}


def read_service(session: Session, parameters: Parameters) -> dict[str, Any]:
    """One InferenceService."""
    name = parameters["service"]
    status = serving.service_status(session.settings, name)
    try:
        curl = serving.curl_command(session.settings, name)
    except PdkError as error:
        curl = f"# {error.what}"
    history = _history(session, name, status)
    plots = history.plots()
    participant = session.names.participant
    given = f"participant={participant!r}" if participant else ""
    return {
        "status": status,
        # A journey is that of the lab's own names.
        "own": status.model == session.names.model,
        "used": _figures(history),
        "usage_problem": history.problem,
        "usage": Markup(side_by_side(plots).inline()) if plots else "",
        "errors": history.errors,
        "log_problem": history.log_problem,
        "traffic": serving.traffic(session.settings, name),
        "revisions": serving.revisions(session.settings, name)[::-1],
        "curl": curl,
        "python": PYTHON.format(participant=given) if name == session.names.service else "",
    }


def _history(session: Session, name: str, status: serving.ServiceStatus) -> History:
    cluster = resolve(session.settings)
    history = HISTORIES.of(cluster, name)
    history.read(cluster, status.pods or ())
    return history


def _figures(history: History) -> list[tuple[str, str, serving.Counts]]:
    """Period, requests a second, and counts: of the last minute, and since the pods' starts."""
    recent = history.recent
    found = [("since the pods' starts", "", history.total)]
    if recent is not None:
        found.insert(0, (f"last {recent.seconds:.0f} s", f"{recent.per_second:.2g}", recent.counts))
    return found


PAGES = (
    Page("/services", "Services", "services.html", read_services, menu="Services"),
    Page("/services/{service}", "Service {service}", "service.html", read_service),
    Page("/ask/{service}", "Ask {service}", "ask.html", lambda session, parameters: {}, live=False),
)
