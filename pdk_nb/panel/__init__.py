"""The prediction panel, one module for each part; which one there is, the example's contract says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pdk_nb.panel.form import FormPanel
from pdk_nb.panel.panel import PredictionPanel

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["FormPanel", "PredictionPanel", "panel_of"]


def panel_of(session: Session, samples: Sequence[Any] = ()) -> PredictionPanel | FormPanel:
    """The panel of a session's example.

    Args:
        session: The session.
        samples: What a person can start with; the lab's own when empty.

    Raises:
        SpecError: The example's contract is wrong.
    """
    return FormPanel(session, samples) if session.example.panel == "form" else PredictionPanel(session, samples)
