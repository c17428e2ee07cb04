"""Journey: the whole way of any id, forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.journey import lineage
from pdk_nb.platforms import serving
from pdk_shared.errors import DeploymentError

if TYPE_CHECKING:
    from pdk_nb.session import Session


def read(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The journey of an id; that of the served model without one, if a model is served."""
    wanted = parameters.get("id", "").strip()
    if not wanted and not _serves(session):
        return {"picture": "", "service": session.names.service}
    found = lineage.trace(session, wanted)
    return {"picture": Markup(found.draw().inline()), "table": found.table()}


def _serves(session: Session) -> bool:
    """Whether the lab's service names the version of its model."""
    try:
        return bool(serving.service_status(session.settings, session.names.service).version)
    except DeploymentError:  # there is no service
        return False


PAGES = (Page("/journey", "Journey", "journey.html", read, live=False, menu="Journey"),)
