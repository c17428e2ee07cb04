"""Doctor: what would stop the lab on this cluster, and the command that fixes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb import doctor
from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.doctor.finding import STATES

if TYPE_CHECKING:
    from pdk_nb.session import Session


def read_doctor(session: Session, parameters: Parameters) -> dict[str, Any]:
    """All findings, the most important first; only the question whether to look before somebody asks for it."""
    if not parameters.get("look"):
        return {"report": None}
    settings = session.settings
    context = doctor.Context(str(settings.kubeconfig or ""), settings.namespace, session.names)
    return {"report": sorted(doctor.examine(context), key=lambda each: STATES.index(each.state))}


PAGES = (Page("/doctor", "Doctor", "doctor.html", read_doctor, live=False, menu="Doctor"),)
