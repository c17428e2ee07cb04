"""Models: the registry's versions with their metric and origin, and which one serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pdk_nb.console.pages.page import PAGE_SIZE, Page, Parameters, number
from pdk_nb.journey import read_service
from pdk_nb.journey.model import Provenance
from pdk_nb.platforms import mlde

if TYPE_CHECKING:
    from pdk_nb.session import Session


def read_models(session: Session, parameters: Parameters) -> dict[str, Any]:
    """All models of the registry."""
    return {"models": mlde.list_models(session.determined)}


def read_model(session: Session, parameters: Parameters) -> dict[str, Any]:
    """The versions of a model, the newest first."""
    name = parameters["model"]
    model = mlde.need_model(session.determined, name)
    found = mlde.versions(model)
    offset = number(parameters, "offset")
    # A journey is that of the lab's own names; other people's models have theirs in other consoles.
    own = name == session.names.model
    service = read_service(session) if own else None
    return {
        "model": model,
        "own": own,
        "versions": [
            (each, Provenance.from_metadata(each.metadata or {})) for each in found[offset : offset + PAGE_SIZE]
        ],
        "serves": service.version if service else "",
        "total": len(found),
        "offset": offset,
        "number": PAGE_SIZE,
    }


PAGES = (
    Page("/models", "Models", "models.html", read_models, menu="Models"),
    Page("/models/{model}", "Model {model}", "model.html", read_model),
)
