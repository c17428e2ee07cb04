"""Services: readiness in words, traffic, versions, pods, and how to ask for a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.platforms import serving
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

PYTHON = """from pdk_nb import lab as pdk

lab = pdk.connect({participant})
lab.predict_pictures(lab.samples()[:1])
"""


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
    participant = session.names.participant
    given = f"participant={participant!r}" if participant else ""
    return {
        "status": status,
        "traffic": serving.traffic(session.settings, name),
        "revisions": serving.revisions(session.settings, name)[::-1],
        "curl": curl,
        "python": PYTHON.format(participant=given) if name == session.names.service else "",
    }


PAGES = (
    Page("/services", "Services", "services.html", read_services, menu="Services"),
    Page("/services/{service}", "Service {service}", "service.html", read_service),
    Page("/ask/{service}", "Ask {service}", "ask.html", lambda session, parameters: {}, live=False),
)
