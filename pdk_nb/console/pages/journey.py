"""Journey: the whole way of any id, forward and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pdk_nb.console.pages.page import Page, Parameters
from pdk_nb.journey import lineage

if TYPE_CHECKING:
    from pdk_nb.session import Session


def read(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The journey of an id; that of the served model without one."""
    found = lineage.trace(session, parameters.get("id", "").strip())
    return {"picture": Markup(found.draw().inline()), "table": found.table()}


PAGES = (Page("/journey", "Journey", "journey.html", read, live=False, menu="Journey"),)
